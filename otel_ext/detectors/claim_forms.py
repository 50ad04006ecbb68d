"""The words of `claim_words` in their forms: verbs by base and past, things in one form for singular, plural and synonyms."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from otel_ext.detectors import claim_words as words

_THING: Final = re.compile(r"(?<![a-z0-9])[a-z]{2,}(?![a-z0-9])")  # no parts of identifiers


def _forms() -> tuple[dict[str, str], dict[str, str]]:
    bases: dict[str, str] = {}
    past: dict[str, str] = {}
    for action, verbs in words.VERBS.items():
        for verb in verbs.split(","):
            base, *forms = verb.split()
            bases.setdefault(base, action)
            past.update((form, action) for form in forms)
    return bases, past


BASES, PAST = _forms()

# Every claim that `claims` finds has one of these words in it, in lower case.
PAST_WORDS: Final = frozenset({*PAST, *words.LIGHT, *(words.PARTICLE_VERBS - {"turn", "switch"}), *words.HANDOFF_WORDS})
# What `read` finds besides: deeds under way, calls written out ("arguments"), corrections. `wire.words` has the same list, which lets a
# scanner leave other texts alone.
CLAIM_WORDS: Final = PAST_WORDS | words.UNDERWAY.keys() | words.CORRECTING | {"arguments"}


def things_of(phrase: str) -> frozenset[str]:
    """The words of *phrase* that tell things apart, each in one form."""
    return frozenset(map(stem, _THING.findall(phrase))) - words.EMPTY


@lru_cache(maxsize=4096)
def stem(word: str) -> str:
    """One form for singular, plural and synonyms."""
    if word in words.SYNONYMS:
        return words.SYNONYMS[word]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        one = word[:-3] + "y" if word.endswith("ies") else word[:-2] if word.endswith(("sses", "shes", "ches", "xes")) else word[:-1]
        return words.SYNONYMS.get(one, one)
    return word
