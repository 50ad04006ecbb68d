"""The strings of a request: which one holds a byte, and a request with other strings in it.

Both go by the messages of OTLP, since protobuf's bytes alone do not tell a string from a message.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from otel_ext.wire import encode
from otel_ext.wire.fields import LEN
from otel_ext.wire.reader import Piece, pieces

_TEXT: Final = "text"
# By message: length-delimited fields that hold text, directly or further down.
_MESSAGES: Final[dict[str, dict[int, str]]] = {
    "request": {1: "resource_spans"},
    "resource_spans": {1: "resource", 2: "scope_spans"},
    "resource": {1: "pair"},
    "scope_spans": {1: "scope", 2: "span"},
    "scope": {3: "pair"},
    "span": {5: _TEXT, 9: "pair", 11: "event", 13: "link", 15: "status"},
    "event": {2: _TEXT, 3: "pair"},
    "link": {4: "pair"},
    "status": {2: _TEXT},
    "pair": {1: _TEXT, 2: "value"},
    "value": {1: _TEXT, 5: "array", 6: "pairs"},
    "array": {1: "value"},
    "pairs": {1: "pair"},
}
_KEY: Final = 1
_DEPTH_MAX: Final = 64  # deeper nesting was refused when the request was read


class Leaf(NamedTuple):
    """A string in bytes `start` to `end`. Of a key, `value` is the range of the AnyValue beside it; else that is empty."""

    start: int
    end: int
    value: tuple[int, int] = (0, 0)

    @property
    def is_key(self) -> bool:
        """Whether it names an attribute."""
        return self.value != (0, 0)


def leaves(payload: bytes, places: Sequence[int]) -> Iterator[tuple[int, Leaf]]:
    """Each of *places* (ascending byte indexes) that lies in a string, and that string. What cannot be read ends it."""
    yield from _descend(payload, "request", 0, len(payload), places, 0)


def _descend(payload: bytes, message: str, start: int, end: int, places: Sequence[int], depth: int) -> Iterator[tuple[int, Leaf]]:
    inside = _MESSAGES[message]
    parts = list(pieces(payload, start, end)) if message == "pair" else pieces(payload, start, end)
    value = next(((part.start, part.end) for part in parts if part.tag == _tag(2)), (0, 0)) if message == "pair" else (0, 0)
    for piece in parts:
        child = inside.get(piece.tag >> 3) if piece.tag & 7 == LEN else None
        here = places[bisect_left(places, piece.start) : bisect_left(places, piece.end)] if child else ()
        if not child or not here or depth > _DEPTH_MAX:
            continue
        if child == _TEXT:
            leaf = Leaf(piece.start, piece.end, value if message == "pair" and piece.tag == _tag(_KEY) else (0, 0))
            yield from ((place, leaf) for place in here)
        else:
            yield from _descend(payload, child, piece.start, piece.end, here, depth + 1)


def texts_below(payload: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The ranges of all strings in the AnyValue at *start* to *end*, keys left out."""
    yield from _texts(payload, "value", start, end, 0)


def _texts(payload: bytes, message: str, start: int, end: int, depth: int) -> Iterator[tuple[int, int]]:
    for piece in pieces(payload, start, end):
        child = _MESSAGES[message].get(piece.tag >> 3) if piece.tag & 7 == LEN else None
        if not child or depth > _DEPTH_MAX or (message == "pair" and piece.tag == _tag(_KEY)):
            continue
        if child == _TEXT:
            yield piece.start, piece.end
        else:
            yield from _texts(payload, child, piece.start, piece.end, depth + 1)


# Of a key ("" where the string is no attribute's value) and a text: what to put there, or the same.
Change = Callable[[str, str], str]


def map_texts(payload: bytes, change: Change) -> bytes:
    """*payload* with every string of it, but for keys, as *change* gives it back. Bytes of what stays are as they came."""
    return _mapped(payload, "request", 0, len(payload), "", change, 0)


def _mapped(payload: bytes, message: str, start: int, end: int, key: str, change: Change, depth: int) -> bytes:
    parts = []
    for piece in pieces(payload, start, end):
        if message == "pair" and piece.tag == _tag(_KEY):
            key = payload[piece.start : piece.end].decode("utf-8", "replace")
        parts.append(_piece(payload, message, piece, key, change, depth))
    return b"".join(parts)


def _piece(payload: bytes, message: str, piece: Piece, key: str, change: Change, depth: int) -> bytes:
    child = _MESSAGES[message].get(piece.tag >> 3) if piece.tag & 7 == LEN else None
    old = payload[piece.start : piece.end]
    if not child or depth > _DEPTH_MAX or (message == "pair" and piece.tag == _tag(_KEY)):
        return payload[piece.at : piece.end]
    new = _changed(old, key, change) if child == _TEXT else _mapped(payload, child, piece.start, piece.end, key, change, depth + 1)
    if new == old:
        return payload[piece.at : piece.end]
    return payload[piece.at : piece.mid] + encode.varint(len(new)) + new


def _changed(old: bytes, key: str, change: Change) -> bytes:
    text = old.decode("utf-8", "replace")
    new = change(key, text)
    return old if new == text else new.encode("utf-8", "replace")


def _tag(number: int) -> int:
    return number << 3 | LEN
