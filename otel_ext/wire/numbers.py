"""Columns of counts as attributes that hold a JSON object, such as `{"input":12,"output":3}`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np

from otel_ext.wire import encode
from otel_ext.wire.table import RaggedColumn

try:
    from otel_ext.wire import _native
except ImportError:  # no Rust where this was installed
    _native_built = False
else:
    _native_built = os.environ.get("OTEL_EXT_CODEC") != "python"


def counts(key: str, columns: Mapping[str, np.ndarray], *, prefer_native: bool = True) -> RaggedColumn:
    """A row gains *key* with those of its numbers (i4 a row, by name) that are not negative, in order; nothing where all are."""
    if _native_built and prefer_native:
        packed = [np.ascontiguousarray(column, "<i4").tobytes() for column in columns.values()]
        offsets, data = _native.counts(key.encode(), [name.encode() for name in columns], packed)
        return RaggedColumn(np.frombuffer(offsets, "<u4"), data)
    return _pure(key, columns)


def _pure(key: str, columns: Mapping[str, np.ndarray]) -> RaggedColumn:
    fragments = []
    for row in zip(*(column.tolist() for column in columns.values()), strict=True):
        parts = [f'"{name}":{number}' for name, number in zip(columns, row, strict=True) if number >= 0]
        fragments.append(encode.attribute(key, "{" + ",".join(parts) + "}") if parts else b"")
    return ragged(fragments)


def billionths(key: str, name: str, column: np.ndarray, *, prefer_native: bool = True) -> RaggedColumn:
    """A row gains *key* with `{"name":12.000000345}` for its number of billionths (i8 a row); nothing where that is negative."""
    if _native_built and prefer_native:
        offsets, data = _native.billionths(key.encode(), name.encode(), np.ascontiguousarray(column, "<i8").tobytes())
        return RaggedColumn(np.frombuffer(offsets, "<u4"), data)
    numbers = (divmod(number, 10**9) if number >= 0 else None for number in column.tolist())
    return ragged([encode.attribute(key, f'{{"{name}":{number[0]}.{number[1]:09}}}') if number else b"" for number in numbers])


def ragged(fragments: Sequence[bytes]) -> RaggedColumn:
    """One fragment a row."""
    offsets = np.zeros(len(fragments) + 1, "<u4")
    offsets[1:] = np.cumsum([len(fragment) for fragment in fragments], dtype="<u4")
    return RaggedColumn(offsets, b"".join(fragments))
