"""What an agent's text says that it did. A rule over text, no model; `claim_check` holds it against the calls.

`claims` reads plain deeds of the speaker: "I've cancelled your order", "Your flight has been booked", "The refund was successfully
processed", "The ticket is now closed", "Email sent successfully". It leaves out, on purpose, whatever may be something else:

- questions, offers, plans, conditions, denials, refusals; drafts in code blocks or quotation marks, letters quoted in an answer;
- what was read or heard rather than done ("I see that", "according to", "by the airline", "already", "ago"), and the bare simple past in
  the passive ("your order was placed on May 3"), which tells of the past more often than of this run;
- states ("your meeting is scheduled"), except with "now";
- texts as deeds ("I've created a plan for you", "I've updated the list"): the text is all there is to them;
- deeds in other words ("I took care of it", "all done"), in telegraph style ("- flight booked"), in the progressive ("I am processing your
  refund"), with the verb in the infinitive ("I was able to cancel it").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from otel_ext.detectors import claim_words as words
from otel_ext.detectors.claim_forms import BASES, PAST, PAST_WORDS, things_of
from otel_ext.detectors.claim_frames import Frame, frame_of

NEAR: Final = 60  # characters before a verb that hold its auxiliaries
AFTER: Final = 120  # characters after a verb, and of its subject, that are looked at
BEFORE: Final = 400  # characters before a verb in which something may say that it is no deed
VERBS: Final = 256  # words of one text that could be a claim's
LIST: Final = 1500  # characters of a list of changes that are looked at


class Claim(NamedTuple):
    """A deed that a text claims.

    `object` are the words of the thing done to, `about` those that follow it; `at` is an index into the text. `voice` is "active"
    ("I have .."), "passive" (".. has been"), "successful" (".. has successfully been"), "underway" ("I am ..ing") or "written" (a tool
    call written out as text).
    """

    action: str
    object: frozenset[str]
    about: frozenset[str]
    at: int
    voice: str


class Said(NamedTuple):
    """What one text of the agent claims and takes back. `time` is of the same clock as that of the calls."""

    time: int
    claims: tuple[Claim, ...]
    denied: frozenset[str] = frozenset()  # actions that the text says were not done; "" is any
    written: tuple[str, ...] = ()  # names of tools whose call is written out in the text
    underway: tuple[Claim, ...] = ()  # what the agent says to be at: "I am processing your refund"

    @property
    def matters(self) -> bool:
        """There is something in it that `unbacked` looks at."""
        return bool(self.claims or self.denied or self.written or self.underway)


_WORD: Final = re.compile(r"[a-z]+")
_END: Final = re.compile(r"[.!?]+(?=[\s\"')\]]|$)|\n")
_ASIDE: Final = re.compile(r"\([^()\n]{0,80}\)")
_QUOTE_MARKS: Final = ("```", '"', "“", ">", "subject:", "dear ")
_QUOTE: Final = re.compile(
    r"```.*?(?:```|\Z)|(?<!\":)(?<!\": )\"[^\"\n]{0,300}\"|“[^”\n]{0,300}”|^>[^\n]*|^(?:subject:|dear ).*", re.DOTALL | re.MULTILINE
)
_DONE: Final = re.compile(r"\b(?:done|success)\s*[!.:]\s*$")
_CLAUSE: Final = re.compile(words.CLAUSE)
_CLAUSE_OF_MANY: Final = re.compile(r"[,;:—–(]|\b(?:but|so)\b")
_PREPOSITION: Final = re.compile(words.PREPOSITION)
_OBJECT_END: Final = re.compile(r"[.,;:!?\n(—–]|\b(?:and|but|so|which|because)\b")
_NOT_A_DEED: Final = re.compile(words.NOT_A_DEED)
_HEARSAY: Final = re.compile(words.HEARSAY)
_ELSEWHERE: Final = re.compile(words.ELSEWHERE)
_GIVEN: Final = re.compile(words.GIVEN)
_REASON: Final = re.compile(words.REASON)
_ALREADY: Final = re.compile(r"\balready\b")
_RELATIVE: Final = re.compile(r"\bthat\s+(?:(?:has|have)|(?:i|we))\b[^,]*$")
_TOLD: Final = re.compile(
    r"\b(?:inform|confirm|note|know|assure|advise|say|tell|report|glad|happy|pleased|certain|sure|advised|informed|aware)\b"
)
_HANDING_OFF: Final = re.compile(words.HANDING_OFF)
_HANDOFF_BEFORE: Final = re.compile(words.HANDOFF_BEFORE)
_YOU: Final = re.compile(r"\byou(?:'re|'ve)?\b")
_BESIDES: Final = re.compile(words.BESIDES)
_BESIDES_END: Final = re.compile(r"[.;:!?\n(—–]|\b(?:but|so|which|because)\b")
_AND_OR: Final = re.compile(r",|\band\b|&")
_LISTED: Final = re.compile(words.LISTED)
_ITEM: Final = re.compile(r"\n[ \t]{0,3}(?:[-•]|\d{1,2}[.)])[ \t]+([^\n:]{1,60}):([^\n]{0,200})")
_UNCHANGED: Final = re.compile(words.UNCHANGED)
_AT_IT: Final = re.compile(words.AT_IT)
_DENIAL: Final = re.compile(words.DENIAL)
_RETRACTION: Final = re.compile(words.RETRACTION)
_WRITTEN: Final = re.compile(r'"name"\s{0,8}:\s{0,8}"([\w.-]{1,80})"\s{0,8},\s{0,8}"(?:arguments|parameters|input)"\s{0,8}:')


def read(text: str, time: int) -> Said:
    """What a text of the agent at *time* claims, takes back, and writes out as calls."""
    plain = _plain(text)
    found = _WORD.findall(plain)
    written = tuple(call[1] for call in _WRITTEN.finditer(text)) if '"name"' in text else ()
    underway = tuple(_underway(plain)) if not words.UNDERWAY.keys().isdisjoint(found) else ()
    return Said(time, _claims(plain, found), _denials(plain, found), written, underway)


def _underway(plain: str) -> Iterator[Claim]:
    for said in _AT_IT.finditer(plain):
        start, end = _sentence(plain, said.start(1))
        before = plain[start : said.start()]
        vetoed = _NOT_A_DEED.search(before) or _HEARSAY.search(before)
        if said[1] in words.UNDERWAY and plain[end - 1 : end] != "?" and not vetoed:
            head, tail = _active_object(plain[said.end() : min(end, said.end() + AFTER)])
            if action := words.UNDERWAY[said[1]] or _by_noun(said[1], head, tail):
                yield Claim(action, things_of(head) - words.DEEDS, things_of(tail), said.start(1), "underway")


def claims(text: str) -> tuple[Claim, ...]:
    """The deeds that *text* claims for its speaker, in order; see the module for what is left out. Linear in the length of *text*.

    Of a text with more than VERBS words that could be a claim's, the first VERBS are looked at.
    """
    plain = _plain(text)
    return _claims(plain, _WORD.findall(plain))


def denials(text: str) -> frozenset[str]:
    """The actions that *text* says were not done; "" for a retraction that names none."""
    plain = _plain(text)
    return _denials(plain, _WORD.findall(plain))


def _claims(plain: str, found: list[str]) -> tuple[Claim, ...]:
    verbs = PAST_WORDS.intersection(found)
    places = sorted((at, verb) for verb in verbs for at in _places(plain, verb))[:VERBS]
    if not any(_may_claim(plain, verb, at) for at, verb in places):
        return ()
    plain = _without_quotes(plain)
    claimed: list[Claim] = []
    told = _Told(-1, "")
    for at, verb in places:
        if new := _of_verb(plain, verb, at, told):
            told = _Told(_sentence(plain, at)[0], new[0].voice)
            claimed.extend(new)
    return tuple(claimed)


def _denials(plain: str, found: list[str]) -> frozenset[str]:
    if "n't" not in plain and words.DENYING.isdisjoint(found):
        return frozenset()
    denied = {""} if _RETRACTION.search(plain) else set()
    for denial in _DENIAL.finditer(plain):
        after = _WORD.findall(plain, denial.end(), denial.end() + NEAR)
        actions = (PAST.get(word) or (BASES.get(word) if word not in words.NOT_TOOL_VERBS else None) for word in after)
        denied.update(filter(None, [next(filter(None, actions), None)]))
    return frozenset(denied)


def _plain(text: str) -> str:
    """Lower case, no emphasis, one apostrophe, newlines of JSON as such; every character stays where it was."""
    return text.replace("İ", "I").replace("’", "'").replace("*", " ").replace("\\n", "\n ").lower()


def _without_quotes(plain: str) -> str:
    if "(" in plain:
        plain = _ASIDE.sub(_blank, plain)
    return _QUOTE.sub(_blank, plain) if any(mark in plain for mark in _QUOTE_MARKS) else plain


def _blank(quoted: re.Match[str]) -> str:
    return " " * len(quoted[0])


class _Told(NamedTuple):
    """A claim that a verb after "and" goes on with: where its sentence starts, and its voice."""

    start: int
    voice: str


def _places(plain: str, word: str) -> Iterator[int]:
    """Where *word* stands in *plain* as a word."""
    at = plain.find(word)
    while at >= 0:
        end = at + len(word)
        if not (plain[at - 1 : at].isalnum() or plain[end : end + 1].isalnum()):
            yield at
        at = plain.find(word, end)


def _sentence(plain: str, at: int) -> tuple[int, int]:
    """Where the sentence around *at* begins and ends; BEFORE before and twice that after it at most."""
    low = max(0, at - BEFORE)
    start = max(low, *(plain.rfind(mark, low, at) + 1 for mark in words.SENTENCE_ENDS))
    end = _END.search(plain, at, at + 2 * BEFORE)
    return start, end.end() if end else min(len(plain), at + 2 * BEFORE)


def _may_claim(plain: str, verb: str, at: int) -> bool:
    """The words right around a verb allow for a claim: a cheap look that leaves most verbs alone."""
    if verb in words.HANDOFF_WORDS or plain.startswith(words.SUCCESSFULLY, at + len(verb) + 1):
        return True
    voice = frame_of(plain[max(0, at - NEAR) : at]).voice
    if voice == "now":
        return verb not in words.STATES
    return verb in words.COMPLETE if voice == "is" else voice != ""


def _of_verb(plain: str, verb: str, at: int, told: _Told) -> list[Claim]:
    """What *verb* at *at* claims; *told* is the claim before it."""
    start, end = _sentence(plain, at)
    if plain[end - 1 : end] == "?" or plain[at] == " ":
        return []
    before, after = plain[start:at], plain[at + len(verb) : min(end, at + len(verb) + AFTER)]
    if verb in words.HANDOFF_WORDS and _hands_off(before, after):
        return [Claim("handoff", frozenset(), frozenset(), at, "active")]
    frame = frame_of(before[-NEAR:])
    voice = _voice(plain, verb, before, at, frame)
    if not voice and told.start == start and frame.by_and:
        voice = told.voice
    elif not voice or _vetoed(before):
        return []
    claim = _claim(verb, before, after, at, voice, many=frame.many)
    return [claim, *_besides(claim, after), *_listed(claim, plain, end)] if claim else []


def _voice(plain: str, verb: str, before: str, at: int, frame: Frame) -> str:
    """The voice of a claim, or "" where the words before a verb are not those of a deed that was done."""
    late = plain.startswith(words.SUCCESSFULLY, at + len(verb) + 1)
    if frame.voice == "active":
        return "active"
    done = (
        frame.voice == "passive"
        or (frame.voice == "now" and verb not in words.STATES)
        or (frame.voice in ("is", "now") and verb in words.COMPLETE)
        or (frame.voice == "was" and _DONE.search(plain, max(0, at - len(before) - 20), at - len(before)) is not None)
        or (late and len(before) < NEAR)
    )
    return "" if not done else "successful" if frame.successfully or late else "passive"


def _vetoed(before: str) -> bool:
    if _NOT_A_DEED.search(before, _last(_CLAUSE, before)) or _HEARSAY.search(before):
        return True
    return _RELATIVE.search(before) is not None and _TOLD.search(before) is None


def _last(boundary: re.Pattern[str], before: str) -> int:
    """Where the last clause of *before* begins."""
    start = 0
    for mark in boundary.finditer(before):
        start = mark.end()
    return start


def _claim(verb: str, before: str, after: str, at: int, voice: str, *, many: bool) -> Claim | None:
    if voice != "active" and (_ELSEWHERE.match(after) or _GIVEN.match(before) or _ALREADY.search(before[-NEAR:] + after[:40])):
        return None
    if voice == "passive" and (verb in words.STATUS or _REASON.search(after)):
        return None
    head, tail = _active_object(after) if voice == "active" else _passive_subject(before, after, many=many)
    things = things_of(head)
    if verb in words.LIGHT:
        action = _by_noun(verb, head, tail) if voice != "active" or verb in words.LIGHT_ACTIVE else ""
        things -= words.DEEDS
    else:
        action = _by_particle(after, verb) if verb in words.PARTICLE_VERBS else PAST.get(verb, "")
    if not action or (action == "transfer" and (_HANDING_OFF.search(after) or _YOU.search(head))):
        return None
    if action in words.BROAD and things and things <= words.TEXTUAL:
        return None
    if verb in words.IMPLIED:
        things |= {words.IMPLIED[verb]}
    return Claim(action, things, things_of(tail) - things, at, voice)


def _active_object(after: str) -> tuple[str, str]:
    """The object of a verb, and what follows it."""
    end = _OBJECT_END.search(after)
    head, tail = _split(after[: end.start()] if end else after)
    return head, tail + " " + (after[end.start() :] if end else "")


def _passive_subject(before: str, after: str, *, many: bool) -> tuple[str, str]:
    boundary = _CLAUSE_OF_MANY if many else _CLAUSE
    head, tail = _split(before[_last(boundary, before) :][-AFTER:])
    return head, tail + " " + after


def _split(phrase: str) -> tuple[str, str]:
    """The head of a noun phrase, and what hangs on it by a preposition."""
    mark = _PREPOSITION.search(phrase, 1)
    return (phrase[: mark.start()], phrase[mark.end() :]) if mark else (phrase, "")


def _by_particle(after: str, verb: str) -> str:
    clause = _WORD.findall(_OBJECT_END.split(after, maxsplit=1)[0])
    acts = (words.PARTICLES.get((verb, word)) for word in (*clause[:1], *clause[-1:]))
    return next(filter(None, acts), PAST.get(verb, ""))


def _by_noun(verb: str, head: str, tail: str) -> str:
    """What was done, by the noun: "processed your refund"; by the verb itself where it says enough: "submitted your leave request"."""
    for word in reversed(_WORD.findall(head)):
        noun = word if word in words.NOUNS else word.removesuffix("s")
        if noun in words.NOUNS and verb in words.THINGS.get(noun, (verb,)):
            return words.NOUNS[noun]
    for word in _WORD.findall(tail[:NEAR]):
        if word in words.ASKED:
            return words.ASKED[word]
    return PAST.get(verb, "")


def _hands_off(before: str, after: str) -> bool:
    near = before[-NEAR:]
    if not _HANDOFF_BEFORE.search(near) or not (_HANDING_OFF.search(after) or _YOU.search(near)):
        return False
    return not _vetoed(before)


def _besides(claim: Claim, after: str) -> Iterator[Claim]:
    """What was added, thing by thing: "updated with the new flights and one bag"."""
    mark = _BESIDES.search(after) if claim.action == "update" else None
    if mark:
        for part in _AND_OR.split(_BESIDES_END.split(after[mark.end() :], maxsplit=1)[0]):
            if thing := things_of(_split(part)[0]):
                yield Claim("add", thing, claim.object, claim.at, claim.voice)


def _listed(claim: Claim, plain: str, end: int) -> Iterator[Claim]:
    """Of "updated with the following changes:" and a list, each item with a label is a change of what its label says."""
    if claim.action != "update" or not _LISTED.search(plain, max(claim.at, end - BEFORE), end):
        return
    for item in _ITEM.finditer(plain, end - 1, end + LIST):
        if (thing := things_of(item[1])) and not _UNCHANGED.search(item[2]):
            yield Claim("add", thing, claim.object, item.start(1), claim.voice)
