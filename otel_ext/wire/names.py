"""Interned names and hashes in Python: the twin of native/src/names.rs."""

from __future__ import annotations

import xxhash

from otel_ext.wire.table import NAME_NONE, NAME_OTHER, Limits


def hashed(content: bytes) -> int:
    """XXH3-64, with 0 kept for "absent": an empty value is 0, a true 0 becomes 1."""
    return (xxhash.xxh3_64_intdigest(content) or 1) if content else 0


def fold(number: int) -> int:
    """32 bits of a hash; 0 stays "absent"."""
    return ((number ^ number >> 32) & 0xFFFFFFFF or 1) if number else 0


class Names:
    """A bounded table that only grows."""

    def __init__(self, limits: Limits) -> None:
        self._list = ["", "__other__"]
        self._numbers = {"": NAME_NONE, "__other__": NAME_OTHER}
        self._list_max = limits.names_max + 2
        self._bytes_max = limits.name_bytes_max

    def intern(self, raw: bytes) -> tuple[int, bool]:
        """The number of a name, and whether there was no room for it."""
        name = self._cut(raw).decode("utf-8", "replace")
        number = self._numbers.get(name)
        if number is not None:
            return number, False
        if len(self._list) >= self._list_max:
            return NAME_OTHER, True
        self._list.append(name)
        self._numbers[name] = len(self._list) - 1
        return len(self._list) - 1, False

    def name(self, number: int) -> str:
        """The name of a number that was given out; raises IndexError for another."""
        if not 0 <= number < len(self._list):
            raise IndexError(f"there is no name {number}")
        return self._list[number]

    def _cut(self, raw: bytes) -> bytes:
        end = self._bytes_max
        for _ in range(3):
            if end < len(raw) and raw[end] & 0xC0 == 0x80:
                end -= 1  # not in the middle of a character
        return raw[:end]
