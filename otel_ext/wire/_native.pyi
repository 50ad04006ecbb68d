"""The extension of native/: plain values in, bytes out. Only `otel_ext.wire.native` uses it.

Packed rows are those of `otel_ext.wire.table`, little-endian.
"""

from collections.abc import Sequence

from otel_ext.wire.memory import Events, Single

Narrow = tuple[bytes, bytes, list[bytes | int] | None, tuple[bytes, bytes] | None]  # scope, event, path, between

class Malformed(ValueError):
    """Bytes that are not a valid request; args are the reason and the byte index."""

    args: tuple[str, int]

class Codec:
    """A compiled key table and the names seen so far. Safe to share between threads; a scan holds the names for its time."""

    def __init__(
        self,
        keys: list[tuple[bytes, int, int, list[tuple[bytes, int]], bytes, Narrow]],  # name, Field, rank, values, kinds
        rules: list[tuple[bytes, int | None, int | None, bytes, bytes, bytes]],  # prefix, kind, take, kinds, scope, suffix
        limits: list[int],  # depth_max, names_max, name_bytes_max, requests_max, answers_max
        markers: list[list[bytes]],
        claims: list[bytes],
    ) -> None: ...
    def scan(self, payload: bytes) -> tuple[list[bytes], list[bytes], list[tuple[int, int, str | list[str]]], int]:
        """Spans, steps, step rows, groups, requests, answers, declared and scopes; trace ids; texts; overflow. Raises Malformed."""

    def span(
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
        """One span in memory, see `otel_ext.wire.memory.Single`; None where it is no step."""

    def name(self, number: int) -> str:
        """Raises IndexError for a number never given out."""

    def intern(self, name: bytes) -> int: ...

class Finder:
    """Words, and what must be around them, see `otel_ext.wire.finder`."""

    def __init__(self, words: list[tuple[bytes, int]]) -> None: ...
    def find(self, payload: bytes) -> bytes:
        """Packed HIT rows."""

class Notes:
    """See `otel_ext.wire.notes`."""

    def __init__(
        self,
        slots: list[tuple[bytes, list[bytes]]],
        tags: tuple[bytes, list[bytes]],
        name: int,
        groups: list[list[bytes]],  # usage, explicit, integers, plain, message
        words: list[tuple[bytes, list[bytes]]],
        lengths: list[tuple[bytes, int]],
        pairs: list[tuple[bytes, bytes]],
        neutral: bytes,
        limits: tuple[int, int],  # traces_max, span_bytes_max
    ) -> None: ...
    def take(self, payload: bytes, rows: bytes, ranges: list[bytes]) -> list[bytes]:
        """Offsets, data, cuts, looks, resources."""

    def forgotten(self) -> int: ...

def counts(key: bytes, names: list[bytes], columns: list[bytes]) -> tuple[bytes, bytes]:
    """Offsets and data, see `otel_ext.wire.numbers`."""

def billionths(key: bytes, name: bytes, column: bytes) -> tuple[bytes, bytes]:
    """Offsets and data, see `otel_ext.wire.numbers`."""

# u4 a row, fragments; or u1 a row, before, after, of span; or offsets, data
Columns = Sequence[tuple[bytes, list[bytes]] | tuple[bytes, bytes, bytes, bool] | tuple[bytes, bytes]]

def splice(payload: bytes, columns: Columns) -> bytes:
    """Raises Malformed, or ValueError where the columns do not fit the spans."""

def project(payload: bytes, keep: bytes, parents: bytes, columns: Columns, cuts: bytes) -> bytes:
    """*keep* is u1 a row, *parents* u8, *cuts* u4 pairs. Raises like `splice`."""
