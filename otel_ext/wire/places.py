"""Places in a JSON text, and what stands between two markers: the twin of native/src/places.rs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from otel_ext.wire.skim import FaultError, Json, Skim, unescape

_NUMBER_BYTES: Final = b"0123456789.eE+-"
_QUOTE: Final = b'"'


class Place(NamedTuple):
    """Where a value stands: a string's content without its quotes."""

    start: int
    end: int
    first: bytes  # the byte that tells what it is: one of `"{[tf`, or a digit or sign


class _FoundError(Exception):
    """Stops a walk at what was looked for."""

    def __init__(self, at: int) -> None:
        self.at = at


def find(json: bytes, path: Sequence[bytes | int]) -> Place | None:
    """What stands at *path*; None for null, for what is not there, and for what is no JSON."""
    skim = Skim(json)
    try:
        at = skim.blanks(0)
        for step in path:
            at = _member(skim, at, step) if isinstance(step, bytes) else _item(skim, at, step)
        place = _value(skim, at)
    except FaultError:
        return None
    return place if path or place is None or _ends(json, place) else None


def _ends(json: bytes, place: Place) -> bool:
    rest = json[place.end :].strip(b" \t\n\r")
    return rest == (_QUOTE if place.first == _QUOTE else b"") or place.first in (b"{", b"[")


def _member(skim: Skim, at: int, name: bytes) -> int:
    def member(key: bytes, at: int) -> int:
        if key == name:
            raise _FoundError(at)
        return skim.skip(at)

    try:
        if skim.byte(at) == b"{":
            skim.members(at, member)
    except _FoundError as found:
        return found.at
    raise FaultError


def _item(skim: Skim, at: int, number: int) -> int:
    left = number

    def item(at: int) -> int:
        nonlocal left
        if left == 0:
            raise _FoundError(at)
        left -= 1
        return skim.skip(at)

    try:
        if skim.byte(at) == b"[":
            skim.items(at, item)
    except _FoundError as found:
        return found.at
    raise FaultError


def _value(skim: Skim, at: int) -> Place | None:
    first = skim.byte(at)
    if first in (b"{", b"["):
        try:
            return Place(at, skim.skip(at), first)
        except FaultError:
            return Place(at, len(skim.json), first)
    end = skim.skip(at)
    if first == _QUOTE:
        return Place(at + 1, end - 1, first)
    raw = skim.json[at:end]
    known = raw in (b"true", b"false") or not raw.strip(_NUMBER_BYTES)
    return Place(at, end, first) if known else None


def between(text: bytes, before: bytes, after: bytes) -> tuple[int, int] | None:
    """The range between the first *before* and the next *after*; an empty one is the start or the end."""
    at = text.find(before)
    if at < 0:
        return None
    start = at + len(before)
    end = text.find(after, start) if after else len(text)
    return None if end < 0 else (start, end)


def strings_in(json: bytes) -> list[bytes]:
    """The strings of the JSON array that *json* starts with, without escapes; other items are left out."""
    skim = Skim(json)
    found: list[bytes] = []

    def item(at: int) -> int:
        slots: dict[bytes, Json] = {}
        end = skim.take(b"", at, slots)
        if slots[b""].is_string:
            found.append(unescape(slots[b""].raw))
        return end

    with suppress(FaultError):
        if skim.byte(0) == b"[":
            skim.items(0, item)
    return found
