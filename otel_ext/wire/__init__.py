"""OTLP bytes <-> columns. No I/O, no clock.

`make_codec(keys, rules, limits)` gives the native codec where it was built, else the pure one; `NATIVE` says which.
Both hold to `Codec`, and agree on values, errors and byte index for every input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from otel_ext.wire.table import Column, Key, Limits, NameRule, Scan


class Codec(Protocol):
    """Reads and edits ExportTraceServiceRequests. One per process is enough: its table of names only grows to its bound."""

    def scan(self, payload: bytes) -> Scan:
        """Columns of *payload*; raises MalformedPayload at the first byte that cannot be read."""
        ...

    def splice(self, payload: bytes, columns: Sequence[Column]) -> bytes:
        """*payload* with each span's fragments appended; every other byte stays."""
        ...

    def project(
        self,
        payload: bytes,
        keep: np.ndarray,
        parents: np.ndarray,
        columns: Sequence[Column],
        id_key: str = "",
    ) -> bytes:
        """*payload* with only the spans where *keep* (u1 a row) is set; scopes and resources left without a span go too.

        *parents* (u8 a row) are the new parents: equal to the old one leaves the bytes alone, 0 removes the field, else its eight bytes are
        overwritten (or the field appended where there was none). With *id_key* each kept span also gets that attribute with its own id in hex.
        """
        ...

    def name(self, number: int) -> str:
        """The interned name; "" for 0."""
        ...

    def intern(self, name: str) -> int:
        """The number of *name*, adding it where there is room, else NAME_OTHER; 0 for ""."""
        ...
