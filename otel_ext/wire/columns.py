"""Packed rows from and to numpy: what both codecs hand out and take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from otel_ext.wire.table import ANSWER, DECLARED, GROUP, REQUEST, SCOPE, SPAN, STEP, Column, IdColumn, RaggedColumn, Scan

_NOTHING_DECLARED: Final = np.frombuffer(b"", DECLARED)  # most payloads

# fragments; ids; ragged
PackedColumn = tuple[bytes, list[bytes]] | tuple[bytes, bytes, bytes, bool] | tuple[bytes, bytes]
Texts = list[tuple[int, int, str | list[str]]]


def build(arrays: Sequence[bytes], trace_ids: list[bytes], texts: Texts, overflow: int) -> Scan:
    """A Scan over *arrays*: spans, steps, step rows, groups, requests, answers, declared, scopes."""
    spans, steps, step_rows, groups, requests, answers, declared, scopes = arrays
    return Scan(
        spans=np.frombuffer(spans, SPAN),
        steps=np.frombuffer(steps, STEP),
        step_rows=np.frombuffer(step_rows, "<u4"),
        groups=np.frombuffer(groups, GROUP),
        requests=np.frombuffer(requests, REQUEST),
        answers=np.frombuffer(answers, ANSWER),
        declared=np.frombuffer(declared, DECLARED) if declared else _NOTHING_DECLARED,
        scopes=np.frombuffer(scopes, SCOPE),
        trace_ids=trace_ids,
        texts=texts,
        overflow=overflow,
    )


def packed(array: np.ndarray, dtype: str) -> bytes:
    """*array* as little-endian bytes of *dtype*."""
    return np.asarray(array).astype(dtype, copy=False).tobytes()


def packed_columns(columns: Sequence[Column]) -> list[PackedColumn]:
    """*columns* with their indices as packed u4, their masks as packed u1."""
    return [_packed(column) for column in columns]


def _packed(column: Column) -> PackedColumn:
    if isinstance(column, IdColumn):
        return (packed(column.mask, "u1"), *column[1:])
    if isinstance(column, RaggedColumn):
        return packed(column.offsets, "<u4"), column.data
    return packed(column[0], "<u4"), column[1]
