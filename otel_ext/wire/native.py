"""The native codec: bytes from Rust, seen as arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from otel_ext.errors import MalformedPayload
from otel_ext.wire import _native, compile
from otel_ext.wire.columns import build, packed, packed_columns
from otel_ext.wire.table import CLAIM_WORDS, NO_TOOL_MARKERS, REFUSAL_MARKERS, Column, Key, Limits, NameRule, Scan


class NativeCodec:
    """Codec in Rust. Calls release the interpreter lock and may come from several threads."""

    def __init__(self, keys: Sequence[Key], rules: Sequence[NameRule], limits: Limits) -> None:
        compile.check_limits(limits)
        bounds = [limits.depth_max, limits.names_max, limits.name_bytes_max, limits.requests_max, limits.answers_max]
        entries = [
            (entry.name, int(entry.field), entry.rank, list(entry.values.items()), bytes(entry.kinds), _narrow(entry))
            for entry in compile.entries(keys)
        ]
        compiled = [
            (rule.prefix, rule.kind, None if rule.take is None else int(rule.take), bytes(rule.kinds), rule.scope, rule.suffix)
            for rule in compile.rules(rules)
        ]
        self._codec = _native.Codec(
            entries, compiled, bounds, [list(REFUSAL_MARKERS), list(NO_TOOL_MARKERS)], [word.encode() for word in CLAIM_WORDS]
        )
        self.span = self._codec.span  # once a span on an application's own thread: no call in between

    def scan(self, payload: bytes) -> Scan:
        """Columns of *payload*; raises MalformedPayload at the first byte that cannot be read."""
        try:
            return build(*self._codec.scan(payload))
        except _native.Malformed as error:
            raise MalformedPayload(*error.args) from None

    def splice(self, payload: bytes, columns: Sequence[Column]) -> bytes:
        """*payload* with each span's fragments appended; every other byte stays."""
        try:
            return _native.splice(payload, packed_columns(columns))
        except _native.Malformed as error:
            raise MalformedPayload(*error.args) from None

    def project(self, payload: bytes, keep: np.ndarray, parents: np.ndarray, columns: Sequence[Column], cuts: bytes = b"") -> bytes:
        """*payload* with only the spans to keep, see `Codec`."""
        rows = packed(keep, "u1"), packed(parents, "<u8")
        try:
            return _native.project(payload, *rows, packed_columns(columns), cuts)
        except _native.Malformed as error:
            raise MalformedPayload(*error.args) from None

    def name(self, number: int) -> str:
        """The interned name; "" for 0; raises IndexError for a number never given out."""
        return self._codec.name(number)

    def intern(self, name: str) -> int:
        """The number of *name*, adding it where there is room, else NAME_OTHER; 0 for ""."""
        return self._codec.intern(name.encode("utf-8", "replace"))


def _narrow(entry: compile.Entry) -> _native.Narrow:
    return entry.scope, entry.event, None if entry.path is None else list(entry.path), entry.between
