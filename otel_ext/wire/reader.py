"""Protobuf, field by field, in Python: the twin of native/src/reader.rs and value.rs.

A fault is MalformedPayload with the index of the first byte of the tag, length, number or nested field that cannot be read.
Positions are indexes in the whole payload.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from otel_ext.errors import MalformedPayload
from otel_ext.wire import fields
from otel_ext.wire.fields import FIXED32, FIXED64, LEN, VARINT, tag
from otel_ext.wire.places import strings_in
from otel_ext.wire.skim import unescape

_FIELD_NUMBER_MAX: Final = 2**29 - 1
_VARINT_BYTES_MAX: Final = 10
_INT32_MAX: Final = 2**31 - 1
_NUMBER_BYTES_MAX: Final = 32
# Both languages parse these bytes alike; "inf", "nan", blanks and underscores are where they differ.
_NUMBER_BYTES: Final = b"0123456789.eE+-"
_DIGITS: Final = b"0123456789"
_FIXED: Final = {FIXED64: struct.Struct("<Q"), FIXED32: struct.Struct("<I")}

_EVENT_NAME: Final = tag(fields.Event.NAME)
_EVENT_ATTRIBUTES: Final = tag(fields.Event.ATTRIBUTES)
KEY: Final = tag(fields.KeyValue.KEY)
VALUE: Final = tag(fields.KeyValue.VALUE)
STRING: Final = tag(fields.AnyValue.STRING_VALUE)
BOOL: Final = tag(fields.AnyValue.BOOL_VALUE, VARINT)
INT: Final = tag(fields.AnyValue.INT_VALUE, VARINT)
DOUBLE: Final = tag(fields.AnyValue.DOUBLE_VALUE, FIXED64)
ARRAY: Final = tag(fields.AnyValue.ARRAY_VALUE)
KVLIST: Final = tag(fields.AnyValue.KVLIST_VALUE)
BYTES: Final = tag(fields.AnyValue.BYTES_VALUE)
ITEM: Final = tag(fields.ArrayValue.VALUES)
NONE: Final = 0
JSON: Final = -1  # an object or array out of a JSON text


class Piece(NamedTuple):
    """One field: `at` is its first byte, `mid` the first after the tag, `start` to `end` the content; `number` where that is one."""

    tag: int
    at: int
    mid: int
    start: int
    end: int
    number: int


class Value(NamedTuple):
    """What an AnyValue holds: the tag of its last member on the wire.

    The range is the content of a string or bytes value, else the whole AnyValue (the last one, where a field is repeated and so merged).
    What was taken out of a JSON text is STRING, BOOL or JSON; with `escaped` it is a string whose escapes are still there.
    """

    member: int = NONE
    start: int = 0
    end: int = 0
    number: int = 0
    escaped: bool = False


def read_varint(payload: bytes, at: int, end: int) -> tuple[int, int]:
    """The varint at *at* and the position after it."""
    value = 0
    for index in range(_VARINT_BYTES_MAX):
        if at + index >= end:
            raise MalformedPayload("varint cut off", at)
        byte = payload[at + index]
        if index == _VARINT_BYTES_MAX - 1 and byte > 1:
            break
        value |= (byte & 127) << 7 * index
        if byte < 128:
            return value, at + index + 1
    raise MalformedPayload("varint over 64 bits", at)


def pieces(payload: bytes, at: int, end: int) -> Iterator[Piece]:
    """The fields of the message in *at* to *end*, in wire order."""
    while at < end:
        key, mid = read_varint(payload, at, end)
        if not 1 <= key >> 3 <= _FIELD_NUMBER_MAX:
            raise MalformedPayload(f"field number {key >> 3} is not allowed", at)
        wire = key & 7
        start, number = mid, 0
        if wire == LEN:
            length, start = read_varint(payload, mid, end)
            if length > end - start:
                raise MalformedPayload(f"length {length} over the {end - start} bytes left", mid)
            stop = start + length
        elif wire == VARINT:
            number, stop = read_varint(payload, mid, end)
        elif wire in _FIXED:
            reader = _FIXED[wire]
            stop = mid + reader.size
            if stop > end:
                raise MalformedPayload(f"{reader.size} bytes needed, {end - mid} left", mid)
            (number,) = reader.unpack_from(payload, mid)
        else:
            raise MalformedPayload(f"wire type {wire} is not allowed", at)
        yield Piece(key, at, mid, start, stop, number)
        at = stop


class Values:
    """Reads the values of one payload with a bound on nesting; the first level is 1."""

    def __init__(self, payload: bytes, depth_max: int) -> None:
        self.payload = payload
        self.depth_max = depth_max

    def pair(self, start: int, end: int, depth: int = 1) -> tuple[bytes, Value]:
        """Key and value of a KeyValue, whose value is at nesting *depth*."""
        key, value = b"", Value()
        for piece in pieces(self.payload, start, end):
            if piece.tag == KEY:
                key = self.payload[piece.start : piece.end]
            elif piece.tag == VALUE:
                value = self.any_value(piece.start, piece.end, depth, value)
        return key, value

    def any_value(self, start: int, end: int, depth: int, value: Value) -> Value:
        """*value* with an AnyValue merged into it."""
        for piece in pieces(self.payload, start, end):
            if piece.tag in (STRING, BYTES):
                value = Value(piece.tag, piece.start, piece.end)
            elif piece.tag in (BOOL, INT, DOUBLE):
                value = Value(piece.tag, start, end, piece.number)
            elif piece.tag in (ARRAY, KVLIST):
                self._items(piece, depth + 1)
                value = Value(piece.tag, start, end)
        return value

    def _items(self, parent: Piece, depth: int) -> None:
        for piece in pieces(self.payload, parent.start, parent.end):
            if piece.tag != ITEM:
                continue
            if depth > self.depth_max:
                raise MalformedPayload(f"values nested deeper than {self.depth_max}", piece.at)
            if parent.tag == KVLIST:
                self.pair(piece.start, piece.end, depth)
            else:
                self.any_value(piece.start, piece.end, depth, Value())

    def strings(self, value: Value) -> list[bytes]:
        """The strings of the last array in *value*, also of one in JSON; items that are no strings are left out."""
        if value.member == JSON:
            return strings_in(self.content(value))
        found: list[bytes] = []
        for array in pieces(self.payload, value.start, value.end):
            if array.tag == ARRAY:
                items = (piece for piece in pieces(self.payload, array.start, array.end) if piece.tag == ITEM)
                values = (self.any_value(piece.start, piece.end, 1, Value()) for piece in items)
                found = [self.content(item) for item in values if item.member == STRING]
        return found

    def attributes_only(self, start: int, end: int, attributes: int) -> None:
        """Validates a message of which only the attributes, at that tag, matter."""
        for piece in pieces(self.payload, start, end):
            if piece.tag == attributes:
                self.pair(piece.start, piece.end)

    def event(self, start: int, end: int) -> tuple[bytes, list[tuple[bytes, Value]]]:
        """Name and attributes of a Span.Event."""
        name, pairs = b"", []
        for piece in pieces(self.payload, start, end):
            if piece.tag == _EVENT_NAME:
                name = self.payload[piece.start : piece.end]
            elif piece.tag == _EVENT_ATTRIBUTES:
                pairs.append(self.pair(piece.start, piece.end))
        return name, pairs

    def content(self, value: Value) -> bytes:
        """The bytes in the range of *value*."""
        return self.payload[value.start : value.end]

    def plain(self, value: Value) -> bytes:
        """The content without escapes."""
        return unescape(self.content(value)) if value.escaped else self.content(value)

    def text(self, value: Value) -> bytes:
        """The content of a string without escapes, else b""."""
        return self.plain(value) if value.member == STRING else b""

    def decode(self, value: Value) -> str:
        """The content as text, whatever the bytes are."""
        return self.plain(value).decode("utf-8", "replace")

    def tokens(self, value: Value) -> int | None:
        """A count of tokens: int, finite double (truncated) or decimal string, not negative, capped at 2**31 - 1."""
        count = -1
        if value.member == INT:
            count = signed(value.number)
        elif value.member == DOUBLE:
            number = double(value.number)
            count = int(number) if math.isfinite(number) and number >= 0 else -1
        elif value.member == STRING:
            text = self.content(value)
            if text and not text.strip(_DIGITS):
                digits = text.lstrip(b"0") or b"0"
                count = int(digits) if len(digits) <= len(str(_INT32_MAX)) else _INT32_MAX
        return min(count, _INT32_MAX) if count >= 0 else None

    def amount(self, value: Value) -> float | None:
        """An amount: double, int or decimal string, not negative and finite."""
        number = math.nan
        if value.member == INT:
            number = float(signed(value.number))
        elif value.member == DOUBLE:
            number = double(value.number)
        elif value.member == STRING:
            text = self.content(value)
            if len(text) <= _NUMBER_BYTES_MAX and not text.strip(_NUMBER_BYTES):
                number = _parse(text)
        return number if math.isfinite(number) and number >= 0 else None


def _parse(text: bytes) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def signed(number: int) -> int:
    """64 bits as a signed number."""
    return number - 2**64 if number >= 2**63 else number


def double(number: int) -> float:
    """64 bits as a double."""
    (value,) = struct.unpack("<d", number.to_bytes(8, "little"))
    return float(value)
