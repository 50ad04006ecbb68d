"""How alike two texts are, in 16 bits, and what else one pass over a text tells: the twin of native/src/prints.rs.

A word is a run of ASCII letters and digits, in lower case, or a run of bytes that are no ASCII. A backslash takes the next byte with it,
and `\\u` up to four hex digits after that: escapes are between words. Of a text over 2 * WINDOW_BYTES only its first and last WINDOW_BYTES
are read.

A word's hash: h = 0; for every 8 bytes of it, little-endian and filled up with zeros: h = (h ^ bytes) * _FACTOR, h ^= h >> 32. The simhash
has the bits that over half of all words have in the upper 16 of their hashes. Words are different where bits 16 and up of their hashes
are, modulo _FEW_WORDS for texts of up to _FEW_BYTES, else _MANY_WORDS: a chance meeting is the price of a table that fits.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from typing import Final, NamedTuple

from otel_ext.wire.names import fold, hashed
from otel_ext.wire.table import CLAIM_WORDS, REPETITIVE_PERCENT, REPETITIVE_WORDS_MIN, SHAPE_BYTES_MAX

WINDOW_BYTES: Final = 8_192
_FACTOR: Final = 0x9E3779B97F4A7C15
_MASK: Final = 2**64 - 1
_FEW_BYTES: Final = 1_024
_FEW_WORDS: Final = 4_096
_MANY_WORDS: Final = 65_536
_WORD: Final = re.compile(rb"\\(?:u[0-9A-Fa-f]{0,4}|.?)|([0-9A-Za-z]+|[\x80-\xff]+)", re.DOTALL)
_DIGITS: Final = re.compile(rb"[0-9]+")
_CLAIMS: Final = frozenset(word.encode() for word in CLAIM_WORDS)
_SIM_BITS: Final = range(16)


class Print(NamedTuple):
    """What the words of a text tell. `sim` is 1 to 65535."""

    sim: int
    repetitive: bool
    claim: bool


@lru_cache(maxsize=65_536)
def word_hash(word: bytes) -> int:
    """64 bits of a lower-case word."""
    sum_ = 0
    for at in range(0, len(word), 8):
        sum_ = ((sum_ ^ int.from_bytes(word[at : at + 8], "little")) * _FACTOR) & _MASK
        sum_ ^= sum_ >> 32
    return sum_


def text_print(text: bytes) -> Print:
    """The print of a text that is not empty."""
    parts = [text] if len(text) <= 2 * WINDOW_BYTES else [text[:WINDOW_BYTES], text[-WINDOW_BYTES:]]
    words = Counter(found.lower() for part in parts for found in _WORD.findall(part) if found)
    count = words.total()
    hashes = [(word_hash(word), times) for word, times in words.items()]
    sim = sum(1 << bit for bit in _SIM_BITS if 2 * sum(times for number, times in hashes if number >> 48 + bit & 1) > count)
    places = _FEW_WORDS if len(text) <= _FEW_BYTES else _MANY_WORDS
    different = len({(number >> 16) % places for number, _ in hashes})
    repetitive = count >= REPETITIVE_WORDS_MIN and different * 100 < count * REPETITIVE_PERCENT
    return Print(sim or 1, repetitive, not _CLAIMS.isdisjoint(words))


def pair(likeness: int, exact: int) -> int:
    """A step's `a`: *likeness* (16 bits) over the lower half of the fold of the hash *exact*; 0 where that is 0."""
    return likeness << 16 | (fold(exact) & 0xFFFF or 1) if exact else 0


def shape(arguments: bytes) -> int:
    """16 bits of arguments that are not empty, the same whatever their numbers and the case of their letters."""
    head = _DIGITS.sub(b"0", arguments[:SHAPE_BYTES_MAX].lower())
    return hashed(head + arguments[SHAPE_BYTES_MAX:]) >> 48 or 1
