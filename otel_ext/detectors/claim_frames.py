"""The words right before a verb: who did it, and whether it was done. Plain splitting, no regular expressions: it runs for every verb."""

from __future__ import annotations

from typing import NamedTuple

from otel_ext.detectors import claim_words as words


class Frame(NamedTuple):
    """The auxiliaries before a verb: `voice` is "active", "passive", "now", "is", "was" or ""."""

    voice: str
    by_and: bool = False
    successfully: bool = False
    many: bool = False


def frame_of(near: str) -> Frame:
    """What the words right before a verb make of it."""
    if near and not near[-1].isspace():
        return Frame("")
    tokens = near.rpartition("\n")[2].split()
    adverbs = _pop_adverbs(tokens)
    by_and = bool(tokens) and (tokens[-1] in words.AND or tokens[-1][-1] == ",")
    last = _word_of(tokens)
    if last in words.BEEN:
        tokens.pop()
        adverbs += _pop_adverbs(tokens)
        last = _word_of(tokens)
        voice = "passive" if last in words.HAVE or last.endswith("'s") else ""
    else:
        voice = _auxiliary(tokens, last, adverbs)
    return Frame(voice, by_and, words.SUCCESSFULLY in adverbs, last in words.MANY)


def _auxiliary(tokens: list[str], last: str, adverbs: list[str]) -> str:
    if last in words.SPEAKER:
        return "active"
    if last in words.HAVE:
        tokens.pop()
        _pop_adverbs(tokens)
        return "active" if _word_of(tokens) in words.SPEAKER else ""
    if last in words.IS:
        return "now" if words.NOW in adverbs else "is"
    if last in words.WAS:
        return "passive" if words.SUCCESSFULLY in adverbs else "was"
    starts = not tokens or tokens[-1][-1] in ".!?:" or not tokens[-1][-1].isalnum()
    return "active" if starts and words.SUCCESSFULLY in adverbs else ""


def _pop_adverbs(tokens: list[str]) -> list[str]:
    """Take the adverbs from the end of *tokens*."""
    found: list[str] = []
    while tokens and len(found) < 4:
        if tokens[-1] in words.ADVERBS or tokens[-1].endswith(words.ADVERB_ENDING):
            found.append(tokens.pop())
        elif tokens[-1] in words.AND and tuple(tokens[-3:-1]) in words.WENT_AHEAD:
            del tokens[-3:]
        else:
            break
    return found


def _word_of(tokens: list[str]) -> str:
    return tokens[-1].lstrip("(-–—•:✅\"'“") if tokens else ""
