"""Masks secrets in a request: by what they look like, by the name they stand under, and by whatever a function of the user says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np

from otel_ext.redact.secrets import COMMON, COMMON_NAMES, MEMBER, Secret
from otel_ext.wire.finder import HIT, Around, make_finder
from otel_ext.wire.leaves import Leaf, leaves, map_texts, texts_below

LABEL: Final = b"[redacted]"
_FAILED: Final = LABEL.decode()
# A pattern that begins with so many plain characters is looked for only where they are.
_PREFIX: Final = re.compile(r"[A-Za-z0-9_\-=:/@ ]{3,}")
_QUANTIFIERS: Final = "?*{+"
_WORD: Final = frozenset(b"_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
# Of the key that a text stands under ("" where there is none) and the text: what shall stand there instead.
Change = Callable[[str, str], str]
_Range = tuple[int, int]


class Redactor:
    """Gives requests back without secrets. One thread at a time.

    *common* masks what `otel_ext.redact.secrets` knows; *names* are more names of attributes and JSON members whose value goes, *patterns*
    regular expressions over bytes; *change* is called with every text at last. `counts` says how many were masked, by kind.
    """

    def __init__(self, *, common: bool, names: Sequence[str] = (), patterns: Sequence[str] = (), change: Change | None = None) -> None:
        self.counts: dict[str, int] = {}
        compiled = [_compiled(pattern) for pattern in patterns]
        self._secrets: list[Secret] = [*(COMMON if common else ()), *(each for each in compiled if each.words)]
        self._unanchored = [each.pattern for each in compiled if not each.words]
        self._change = change
        words = [(word, int(secret.around), secret) for secret in self._secrets for word in secret.words]
        named = [(name.encode(), int(Around.NAME), None) for name in dict.fromkeys((*(COMMON_NAMES if common else ()), *names))]
        self._of: list[Secret | None] = [of for _, _, of in (*words, *named)]
        self._words = [word for word, _, _ in (*words, *named)]
        self._finder = make_finder([(word, around) for word, around, _ in (*words, *named)])

    def __call__(self, payload: bytes) -> bytes:
        """*payload* without secrets: the same object where there are none. All but a `change` keep every length."""
        found = self._finder.find(payload)
        if found or self._unanchored:
            payload = self._masked(payload, np.frombuffer(found, HIT))
        return map_texts(payload, self._changed) if self._change else payload

    def _masked(self, payload: bytes, hits: np.ndarray) -> bytes:
        wanted = [(at, number) for at, number in hits.tolist() if self._may_be(payload, at, number)]
        places = sorted({at for at, _ in wanted} | {match.start() for pattern in self._unanchored for match in pattern.finditer(payload)})
        if not places:
            return payload
        by_place: dict[int, list[int]] = {}
        for at, number in wanted:
            by_place.setdefault(at, []).append(number)
        secrets = [each for at, leaf in leaves(payload, places) for each in self._found(payload, at, leaf, by_place.get(at, ()))]
        return self._overwritten(payload, secrets) if secrets else payload

    def _overwritten(self, payload: bytes, secrets: Sequence[tuple[str, int, int]]) -> bytes:
        out = bytearray(payload)
        for kind, start, end in secrets:
            if out[start:end] != (mask := _mask(end - start)):
                out[start:end] = mask
                self._count(kind)
        return bytes(out)

    def _may_be(self, payload: bytes, at: int, number: int) -> bool:
        """Whether it is worth finding the string that holds it: the pattern may still run over that string's end."""
        secret = self._of[number]
        return secret is None or secret.pattern.match(payload, at) is not None

    def _found(self, payload: bytes, at: int, leaf: Leaf, numbers: Sequence[int]) -> Iterator[tuple[str, int, int]]:
        for number in numbers:
            if secret := self._of[number]:
                match = secret.pattern.match(payload, at, leaf.end)
                if match and (secret.around != Around.START or at == leaf.start or not _in_word(payload[at - 1])):
                    yield secret.kind, *_secret_range(match)
            else:
                yield from (("name", *place) for place in _under(payload, at, len(self._words[number]), leaf))
        for pattern in self._unanchored:
            if match := pattern.match(payload, at, leaf.end):
                yield "pattern", *_secret_range(match)

    def _changed(self, key: str, text: str) -> str:
        try:
            new = self._change(key, text) if self._change else text
        except Exception:  # it is the user's: what it could not judge does not leave
            self._count("function_failed")
            return _FAILED
        if not isinstance(new, str):
            self._count("function_failed")
            return _FAILED
        if new != text:
            self._count("function")
        return new

    def _count(self, kind: str) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1


def _under(payload: bytes, at: int, size: int, leaf: Leaf) -> Iterator[_Range]:
    """What stands under the name of *size* bytes at *at*: the value of an attribute, or of a JSON member."""
    before = payload[at - 1 : at] if at > leaf.start else b"."
    if leaf.is_key:
        if at + size == leaf.end and before in (b".", b"_", b"-"):
            yield from texts_below(payload, *leaf.value)
    elif before == b'"' and (match := MEMBER.match(payload, at + size, leaf.end)):
        yield match.span(1) if match[1] is not None else match.span(3)


def _in_word(byte: int) -> bool:
    return byte in _WORD


def _secret_range(match: re.Match[bytes]) -> _Range:
    return match.span(1) if match.re.groups and match[1] is not None else match.span()


def _mask(size: int) -> bytes:
    return LABEL + b"*" * (size - len(LABEL)) if size >= len(LABEL) else b"*" * size


def _compiled(pattern: str) -> Secret:
    """A pattern of the user, anchored at its plain beginning where it has one."""
    plain = _PREFIX.match(pattern)
    word = plain[0] if plain and "|" not in pattern and pattern.isascii() else ""
    if plain and pattern[plain.end() : plain.end() + 1] and pattern[plain.end()] in _QUANTIFIERS:
        word = word[:-1]
    return Secret("pattern", (word.encode(),) if len(word) > 2 else (), re.compile(pattern.encode()), Around.ANYTHING)
