"""A structured value as JSON, so that messages are read in one way however they came: the twin of native/src/structured.rs.

Of a member that is there twice, and of a value that is there twice, the last one counts. Bytes, and numbers JSON has not, are null.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Final

from otel_ext.wire.reader import ARRAY, BOOL, DOUBLE, INT, ITEM, KEY, KVLIST, STRING, VALUE, Piece, double, pieces, signed

_MEMBERS: Final = (STRING, BOOL, INT, DOUBLE, ARRAY, KVLIST)
_SPECIAL: Final = re.compile(rb'["\\\x00-\x1f]')


def to_json(payload: bytes, start: int, end: int) -> bytes:
    """The JSON text of the AnyValue in *start* to *end*, whose nesting was checked before."""
    last: Piece | None = None
    for piece in pieces(payload, start, end):
        last = piece if piece.tag in _MEMBERS else last
    return b"null" if last is None else _member(payload, last)


def _member(payload: bytes, piece: Piece) -> bytes:
    if piece.tag == STRING:
        return _string(payload[piece.start : piece.end])
    if piece.tag == BOOL:
        return b"true" if piece.number else b"false"
    if piece.tag == INT:
        return str(signed(piece.number)).encode()
    if piece.tag == DOUBLE:
        return _double(double(piece.number))
    items = (item for item in pieces(payload, piece.start, piece.end) if item.tag == ITEM)
    if piece.tag == ARRAY:
        return b"[" + b",".join(to_json(payload, item.start, item.end) for item in items) + b"]"
    return b"{" + b",".join(_pair(payload, item) for item in items) + b"}"


def _pair(payload: bytes, parent: Piece) -> bytes:
    key, value = b"", b"null"
    for piece in pieces(payload, parent.start, parent.end):
        if piece.tag == KEY:
            key = payload[piece.start : piece.end]
        elif piece.tag == VALUE:
            value = to_json(payload, piece.start, piece.end)
    return _string(key) + b":" + value


def _string(text: bytes) -> bytes:
    return b'"' + _SPECIAL.sub(lambda found: b"\\u%04x" % found[0][0] if found[0] < b" " else b"\\" + found[0], text) + b'"'


def _double(number: float) -> bytes:
    """The shortest digits that give the number back, one of them before the point."""
    if not math.isfinite(number):
        return b"null"
    sign, digits, exponent = Decimal(repr(number)).as_tuple()
    text = "".join(map(str, digits)).rstrip("0")
    shown = f"{text[0]}.{text[1:]}".rstrip(".") if text else "0"
    power = int(exponent) + len(digits) - 1 if text else 0
    return f"{'-' * sign}{shown}e{power}".encode()
