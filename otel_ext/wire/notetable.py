"""The table that notes of a trace are taken by, and what comes of them: shared by both implementations of `otel_ext.wire.notes`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

import numpy as np

# Bits of a row that goes in.
KEEP: Final = 1
SPENDS: Final = 2  # a model call that says what it used
WRAPS: Final = 4  # a span that must not say again what the calls below it used
NAMES: Final = 8  # its own name is the trace's, where nothing else is

# Bits of a row that comes out: why it needs a closer look.
NESTED: Final = 1  # an attribute's value is bytes, a key-value list, an array of such or without items
ODD: Final = 2  # a check of the table failed
RAISED: Final = 4  # an exception is in its events, and its status says nothing
LARGE: Final = 8


@dataclass(frozen=True, slots=True)
class NoteTable:
    """What keys mean.

    `slots`: the key that spans gain, and those with which they say it themselves. `tags` likewise; its lists are united, and a span's own
    list is replaced by the whole. `name`: the number of the slot that a span's own name may fill.

    `usage`: prefixes of keys that say what was used; on a span that WRAPS, in a trace with a span that SPENDS, `neutral` (fragments of a
    span) is added, unless it has one of `explicit`. `integers`, `words` and `lengths` are checks on string and integer values, `pairs` are
    keys that go together; `plain` are keys whose strings must be [a-z0-9_-], 1 to 40 of them; `message` are keys that say what a status
    would.
    """

    slots: tuple[tuple[str, tuple[str, ...]], ...] = ()
    tags: tuple[str, tuple[str, ...]] = ("", ())
    name: int = -1
    usage: tuple[str, ...] = ()
    explicit: tuple[str, ...] = ()
    neutral: bytes = b""
    integers: tuple[str, ...] = ()
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    lengths: Mapping[str, int] = field(default_factory=dict)
    pairs: tuple[tuple[str, str], ...] = ()
    plain: tuple[str, ...] = ()
    message: tuple[str, ...] = ()
    traces_max: int = 100_000
    span_bytes_max: int = 8 * 1024 * 1024


class Noted(NamedTuple):
    """What the rows of a payload gain.

    `offsets` (u4, rows + 1) into `data`; `cuts`: byte ranges of the payload to leave out, packed u4 pairs, ascending; `looks` (u1 a row):
    the bits above; `resources`: u4 triples, first row, start and end of the Resource message.
    """

    offsets: np.ndarray
    data: bytes
    cuts: bytes
    looks: np.ndarray
    resources: np.ndarray


class Notes(Protocol):
    """Remembers traces, up to `traces_max`; `forgotten` were more. One thread at a time."""

    @property
    def forgotten(self) -> int:
        """Traces that made room for others."""
        ...

    def take(self, payload: bytes, rows: bytes, ranges: Sequence[bytes]) -> Noted:
        """*rows*: bits a row. *ranges*: for the first slots, packed u4 pairs a row: place and length of a value that the scan found."""
        ...
