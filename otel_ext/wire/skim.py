"""A JSON text, skimmed: the twin of native/src/skim.rs, step by step.

Commas count as blanks. A value that is skipped may nest 64 brackets deep; which bracket closes which is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

_DEPTH_MAX: Final = 64

_BLANKS: Final = re.compile(rb"[ \t\n\r]*+")
_SEPARATORS: Final = re.compile(rb"[ \t\n\r,]*+")
_STRING_REST: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_SCALAR: Final = re.compile(rb'[^,\]}\[{": \t\n\r]++')
_BRACKET_OR_QUOTE: Final = re.compile(rb'["{}\[\]]')
_ESCAPE: Final = re.compile(rb'\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(["\\/bfnrt]))')
_PLAIN: Final = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}


class Json(NamedTuple):
    """A JSON value as it is on the wire; for a string what is between the quotes, still escaped."""

    raw: bytes
    is_string: bool


class FaultError(Exception):
    """The JSON cannot be read further."""


def present(value: Json | None) -> Json | None:
    """*value*, None for null."""
    return None if value == Json(b"null", False) else value


def string(value: Json | None) -> Json | None:
    """*value*, None where it is no string."""
    return value if value is not None and value.is_string else None


class Skim:
    """Positions in a JSON text: every function takes one and gives the one after what it read, or raises FaultError."""

    def __init__(self, json: bytes) -> None:
        self.json = json

    def byte(self, at: int) -> bytes:
        """The byte at *at*."""
        if at >= len(self.json):
            raise FaultError
        return self.json[at : at + 1]

    def _match(self, pattern: re.Pattern[bytes], at: int) -> int:
        found = pattern.match(self.json, at)
        if found is None:
            raise FaultError
        return found.end()

    def blanks(self, at: int) -> int:
        """Over blanks."""
        return self._match(_BLANKS, at)

    def skip(self, at: int) -> int:
        """Over one value."""
        first = self.byte(at)
        if first == b'"':
            return self._match(_STRING_REST, at + 1)
        return self._container(at) if first in (b"{", b"[") else self._match(_SCALAR, at)

    def _container(self, at: int) -> int:
        depth = 0
        while True:
            found = _BRACKET_OR_QUOTE.search(self.json, at)
            if found is None:
                raise FaultError
            at = found.end()
            if found[0] == b'"':
                at = self._match(_STRING_REST, at)
            elif found[0] in b"{[":
                depth += 1
                if depth > _DEPTH_MAX:
                    raise FaultError
            else:
                depth -= 1
                if depth == 0:
                    return at

    def take(self, key: bytes, at: int, slots: dict[bytes, Json]) -> int:
        """Over one value, noted under *key*."""
        end = self.skip(at)
        is_string = self.byte(at) == b'"'
        slots[key] = Json(self.json[at + 1 : end - 1] if is_string else self.json[at:end], is_string)
        return end

    def items(self, at: int, item: Callable[[int], int]) -> int:
        """Over an array, *item* over each of its items."""
        at += 1
        while True:
            at = self._match(_SEPARATORS, at)
            if self.byte(at) == b"]":
                return at + 1
            at = item(at)

    def members(self, at: int, member: Callable[[bytes, int], int]) -> int:
        """Over an object, *member* over the value of each key."""
        at += 1
        while True:
            at = self._match(_SEPARATORS, at)
            first = self.byte(at)
            if first == b"}":
                return at + 1
            if first != b'"':
                raise FaultError
            end = self._match(_STRING_REST, at + 1)
            key = self.json[at + 1 : end - 1]
            at = self.blanks(end)
            if self.byte(at) != b":":
                raise FaultError
            at = member(key, self.blanks(at + 1))


def unescape(raw: bytes) -> bytes:
    """The text of a JSON string. A lone surrogate becomes U+FFFD, an unknown escape stays as it is."""
    return _ESCAPE.sub(_plain, raw)


def _plain(escape: re.Match[bytes]) -> bytes:
    high, low, unit, letter = escape.groups()
    if high:
        return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00).encode()
    if unit:
        code = int(unit, 16)
        return "\ufffd".encode() if 0xD800 <= code <= 0xDFFF else chr(code).encode()
    return _PLAIN.get(letter, letter)
