"""Where any of a set of words stands in a payload: what says, at the speed of the memory, that there is nothing to look at.

A word counts only where its surroundings fit, so that ordinary text gives no hits.
"""

from __future__ import annotations

import enum
import os
import re
from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np

try:
    from otel_ext.wire._native import Finder as NativeFinder
except ImportError:  # no Rust where this was installed
    _native_built = False
else:
    _native_built = os.environ.get("OTEL_EXT_CODEC") != "python"

HIT: Final = np.dtype([("at", "<u4"), ("word", "<u4")])


_STRING_TAGS: Final = b"\x0a\x12\x2a"  # a string begins after one of these and up to five bytes of its length


class Around(enum.IntEnum):
    """What must stand around a word. The numbers are part of the contract between both implementations."""

    ANYTHING = 0
    START = 1  # no ASCII letter, digit or _ before it; or maybe the beginning of a string, whose length may look like one
    NAME = 2  # after it the end of a JSON string (" or \), or the tag of a value: it may be the name of something


class Finder(Protocol):
    """Finds words."""

    def find(self, payload: bytes) -> bytes:
        """Packed HIT rows in order of place; words do not overlap, at one place the first of them that is there counts."""
        ...


class PureFinder:
    """In Python."""

    def __init__(self, words: Sequence[tuple[bytes, int]]) -> None:
        self._numbers = {word: number for number, (word, _) in reversed(list(enumerate(words)))}
        self._around = [around for _, around in words]
        self._any = re.compile(b"|".join(re.escape(word) for word, _ in words)) if words else None

    def find(self, payload: bytes) -> bytes:
        """See `Finder`."""
        if self._any is None:
            return b""
        found = ((match.start(), match.end(), self._numbers[match[0]]) for match in self._any.finditer(payload))
        rows = [(at, number) for at, end, number in found if _fits(payload, at, end, self._around[number])]
        return np.array(rows, HIT).tobytes()


def _fits(payload: bytes, at: int, end: int, around: int) -> bool:
    if around == Around.START:
        before = payload[at - 1 : at]
        return not (before.isalnum() or before == b"_") or any(byte in _STRING_TAGS for byte in payload[max(0, at - 6) : max(0, at - 1)])
    return around != Around.NAME or payload[end : end + 1] in (b'"', b"\\", b"\x12")


def make_finder(words: Sequence[tuple[bytes, int]], *, prefer_native: bool = True) -> Finder:
    """A finder of *words*, each with what must be Around it."""
    if _native_built and prefer_native:
        return NativeFinder(list(words))
    return PureFinder(words)
