"""OTLP bytes <-> columns. No I/O, no clock.

`make_codec(keys, rules, limits)` gives the native codec where it was built, else the pure one; `NATIVE` says which.
Both hold to `Codec`, and agree on values, errors and byte index for every input.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np

from otel_ext.wire.memory import Events, Single
from otel_ext.wire.pure import PureCodec
from otel_ext.wire.table import Column, Key, Limits, NameRule, Scan

try:
    from otel_ext.wire.native import NativeCodec
except ImportError:  # no Rust where this was installed: the pure codec is complete, only slower
    _native_built = False
else:
    _native_built = True

# Whether make_codec gives the native codec. OTEL_EXT_CODEC=python is the way back, should the native one misbehave on some machine.
NATIVE: Final[bool] = _native_built and os.environ.get("OTEL_EXT_CODEC") != "python"

__all__ = ["NATIVE", "Codec", "ReadSpan", "make_codec"]


class ReadSpan(Protocol):
    """Attributes of a span in, its columns out. Values that OTLP does not have count as empty."""

    def __call__(
        self,
        name: str,
        scope: bytes,
        service: bytes,
        span_id: int,
        start: int,
        end: int,
        status: int,
        attributes: dict[str, object],
        inputs: bool,
        parent_id: int = 0,
        kind: int = 0,
        cut: bool = False,
        events: Events = (),
        /,
    ) -> Single | None:
        """The step that the span is, the calls it asked for, and with *inputs* the answers it was given; None where it is no step.

        *parent_id* 0 is a root; *kind* is OTLP's Span.kind (2: server); *cut* says that attributes or events were dropped; of *events* only
        those that a key names need be given (attributes as a dict).
        """
        ...


class Codec(Protocol):
    """Reads and edits ExportTraceServiceRequests. One per process is enough: its table of names only grows to its bound."""

    def scan(self, payload: bytes) -> Scan:
        """Columns of *payload*; raises MalformedPayload at the first byte that cannot be read."""
        ...

    @property
    def span(self) -> ReadSpan:
        """Reads one span that is still in memory, by the same table and the same code as `scan`."""
        ...

    def splice(self, payload: bytes, columns: Sequence[Column]) -> bytes:
        """*payload* with what *columns* say appended to each span; every other byte stays.

        Raises MalformedPayload, else ValueError where a column has not one row a span or names a fragment that is not there. The inside of
        a span is read, and so can be malformed, only where an IdColumn wants its id.
        """
        ...

    def project(
        self,
        payload: bytes,
        keep: np.ndarray,
        parents: np.ndarray,
        columns: Sequence[Column],
        cuts: bytes = b"",
    ) -> bytes:
        """*payload* with only the spans where *keep* (u1 a row) is set; scopes and resources left without a span go too.

        *parents* (u8 a row) are the new parents: equal to the old one leaves the bytes alone, 0 removes the field, else its eight bytes
        are overwritten (or the field appended where there was none), ahead of what *columns* append. A scope or resource that had no span
        to begin with goes too. *cuts* (packed u4 pairs, ascending) are byte ranges of the payload to leave out: whole fields of spans.
        """
        ...

    def name(self, number: int) -> str:
        """The interned name; "" for 0."""
        ...

    def intern(self, name: str) -> int:
        """The number of *name*, adding it where there is room, else NAME_OTHER; 0 for ""."""
        ...


def make_codec(keys: Sequence[Key], rules: Sequence[NameRule], limits: Limits | None = None, *, prefer_native: bool = True) -> Codec:
    """The native codec where it was built and is wanted, else the pure one; raises ValueError for a table that cannot be.

    Spans with invalid ids have a row with the flag, their ids, times and status, and nothing from their attributes.
    """
    bounds = Limits() if limits is None else limits
    if NATIVE and prefer_native:
        return NativeCodec(keys, rules, bounds)
    return PureCodec(keys, rules, bounds)
