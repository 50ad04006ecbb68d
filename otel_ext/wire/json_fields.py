"""Encoders from JSON values to protobuf fields, for the tables of `otlp_json`. Each raises MismatchError where the type is wrong.

An encoder takes (JSON value, depth) and gives bytes: a Body the inside of a message, a Field with its tag.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Callable
from typing import Final

DEPTH_MAX: Final = 100  # messages within messages: protobuf readers stop at 100 too, so what is let through here can be read downstream
BAD_ID: Final = b"\0"  # stands for an id that is not hex: no id has this length, so its span is refused, and only its span
INT32: Final = (-(1 << 31), (1 << 31) - 1)
INT64: Final = (-(1 << 63), (1 << 63) - 1)
UINT32: Final = (0, (1 << 32) - 1)

Body = Callable[[object, int], bytes]
Field = Callable[[object, int], bytes]

_SHORT: Final = tuple(bytes((n,)) for n in range(128))
_INT_TEXT: Final = re.compile(r"-?[0-9]{1,20}\Z")
_DOUBLE_TEXT: Final = re.compile(r"-?[0-9]{1,400}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,5})?\Z")
_DOUBLE_NAMES: Final = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
_BASE64_URL: Final = str.maketrans("-_", "+/")


class MismatchError(ValueError):
    """A value of the wrong type; `path` grows from the inside out while the error travels up."""

    def __init__(self, wanted: str) -> None:
        super().__init__(wanted)
        self.wanted = wanted
        self.path: list[str | int] = []

    def where(self) -> str:
        """The path as people write it: `resourceSpans[0].scopeSpans[1]`."""
        steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in reversed(self.path))
        return steps.removeprefix(".") or "the request"


def varint(number: int) -> bytes:
    """A number in base 128, low digits first; 0 <= number < 2**64."""
    if number < 128:
        return _SHORT[number]
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _tag(number: int, wire_type: int) -> bytes:
    return varint(number << 3 | wire_type)


def utf8(text: str) -> bytes:
    """The text in UTF-8, whatever it holds."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        # Half a surrogate pair, as JavaScript leaves where it cuts a string: U+FFFD, as other receivers do, rather than refusing the batch.
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def _whole(value: object, low: int, high: int) -> int:
    """64-bit integers are strings or numbers, both are accepted for every width (protobuf JSON mapping)."""
    if (type(value) is str and _INT_TEXT.match(value)) or (type(value) is float and value.is_integer()):
        value = int(value)
    if type(value) is not int:
        raise MismatchError("a whole number, or one in a string")
    if not low <= value <= high:
        raise MismatchError(f"between {low} and {high}")
    return value


def text(number: int) -> Field:
    """A string."""
    tag = _tag(number, 2)

    def encode(value: object, _depth: int) -> bytes:
        if type(value) is not str:
            raise MismatchError("a string")
        raw = utf8(value)
        return tag + varint(len(raw)) + raw

    return encode


def hex_id(number: int) -> Field:
    """Bytes written in hex, as OTLP has ids; what is not hex becomes BAD_ID."""
    tag = _tag(number, 2)

    def encode(value: object, _depth: int) -> bytes:
        if type(value) is not str:
            raise MismatchError("a string of hex digits")
        try:
            raw = binascii.unhexlify(value)
        except ValueError:
            raw = BAD_ID
        return tag + varint(len(raw)) + raw

    return encode


def base64_bytes(number: int) -> Field:
    """Bytes in base64, standard or URL-safe, padded or not (protobuf JSON mapping)."""
    tag = _tag(number, 2)

    def encode(value: object, _depth: int) -> bytes:
        if type(value) is not str:
            raise MismatchError("a string in base64")
        digits = value.translate(_BASE64_URL).rstrip("=")
        try:
            raw = base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
        except ValueError:
            raise MismatchError("a string in base64") from None
        return tag + varint(len(raw)) + raw

    return encode


def fixed(number: int, bits: int) -> Field:
    """fixed64 or fixed32."""
    tag = _tag(number, 1 if bits == 64 else 5)
    pack = struct.Struct("<Q" if bits == 64 else "<I").pack
    high = (1 << bits) - 1

    def encode(value: object, _depth: int) -> bytes:
        return tag + pack(_whole(value, 0, high))

    return encode


def integer(number: int, low: int, high: int) -> Field:
    """A varint between *low* and *high*; negative ones take ten bytes."""
    tag = _tag(number, 0)

    def encode(value: object, _depth: int) -> bytes:
        return tag + varint(_whole(value, low, high) & 0xFFFFFFFFFFFFFFFF)

    return encode


def enum(number: int) -> Field:
    """An enum, by number only."""
    tag = _tag(number, 0)

    def encode(value: object, _depth: int) -> bytes:
        if type(value) is not int:  # "Values of enum fields MUST be encoded as integer values", names are not allowed
            raise MismatchError("a number: enum names are not allowed")
        return tag + varint(_whole(value, -(1 << 31), (1 << 31) - 1) & 0xFFFFFFFFFFFFFFFF)

    return encode


def boolean(number: int) -> Field:
    """A bool."""
    tag = _tag(number, 0)

    def encode(value: object, _depth: int) -> bytes:
        if type(value) is not bool:
            raise MismatchError("true or false")
        return tag + _SHORT[value]

    return encode


def double(number: int) -> Field:
    """A double; a number, a number in a string, or one of three names."""
    tag = _tag(number, 1)
    pack = struct.Struct("<d").pack

    def encode(value: object, _depth: int) -> bytes:
        if type(value) is str and (value in _DOUBLE_NAMES or _DOUBLE_TEXT.match(value)):
            value = _DOUBLE_NAMES[value] if value in _DOUBLE_NAMES else float(value)
        if type(value) is not float and type(value) is not int:
            raise MismatchError('a number, "NaN", "Infinity" or "-Infinity"')
        try:
            return tag + pack(float(value))
        except OverflowError:
            raise MismatchError("in the range of a double") from None

    return encode


def message(fields: dict[str, Field]) -> Body:
    """The inside of a message: *fields* by JSON name, unknown names ignored. It may refer to itself."""

    def encode(value: object, depth: int) -> bytes:
        if type(value) is not dict:
            raise MismatchError("an object")
        if depth > DEPTH_MAX:
            raise MismatchError(f"at most {DEPTH_MAX} messages deep")
        parts = []
        for key, item in value.items():
            field = fields.get(key)
            if field is None or item is None:
                continue
            try:
                parts.append(field(item, depth))
            except MismatchError as error:
                error.path.append(key)
                raise
        return b"".join(parts)

    return encode


def one(number: int, body: Body) -> Field:
    """A message as a field."""
    tag = _tag(number, 2)

    def encode(value: object, depth: int) -> bytes:
        raw = body(value, depth + 1)
        return tag + varint(len(raw)) + raw

    return encode


def many(number: int, body: Body) -> Field:
    """A repeated message."""
    return items(one(number, body))


def items(field: Field) -> Field:
    """A repeated *field*; null items count as absent."""

    def encode(value: object, depth: int) -> bytes:
        if type(value) is not list:
            raise MismatchError("an array")
        parts = []
        for index, item in enumerate(value):
            if item is None:
                continue
            try:
                parts.append(field(item, depth))
            except MismatchError as error:
                error.path.append(index)
                raise
        return b"".join(parts)

    return encode
