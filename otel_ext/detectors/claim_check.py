"""Claimed, not done: what an agent's texts say it did, held against the calls of its run.

A claim is held against tools by what their names say. Only a known tool that does what is claimed makes a claim checkable, and any
successful call that might have done it backs it, a shell or another agent among them. Not for runs of which calls may be missing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from otel_ext.detectors import claim_words as words
from otel_ext.detectors.claim_forms import BASES, stem
from otel_ext.detectors.claims import Claim, Said

_HANDOFF: Final = "handoff"
_PARTS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_NAMESPACE: Final = re.compile(r"__|[./:]")
_END_OF_TIME: Final = 1 << 63


class Effect(NamedTuple):
    """What a tool's name says it changes. `action` "" is anything: a shell, code, another agent, a name without a known verb."""

    action: str
    object: frozenset[str]


class Call(NamedTuple):
    """A tool call or hand-off of the run, at the time it ended."""

    tool: str
    failed: bool
    time: int


@lru_cache(maxsize=4096)
def effect(tool_name: str) -> Effect | None:
    """What a call of *tool_name* changes, by the words of its name; None for a tool that only reads or thinks."""
    parts = _words_of(_NAMESPACE.split(tool_name)[-1]) or _words_of(tool_name)
    if not parts or _only_reads(parts):
        return None
    if parts[0] in words.HANDOFF_VERBS and (parts[0] != "transfer" or words.HANDOFFS.intersection(parts)):
        return Effect(_HANDOFF, frozenset())
    noun = next((word for word in parts[:0:-1] if word in words.NOUNS), None)
    if noun and parts[0] in words.LIGHT_BASES:
        return Effect(words.NOUNS[noun], _objects(part for part in parts[1:] if part != noun))
    if parts[-1] in words.HANDOFFS or words.ANYTHING.intersection(parts):
        return Effect("", frozenset())
    for at, part in enumerate(parts):
        if part in BASES and (at == 0 or part not in words.NOT_TOOL_VERBS):
            return _particle(parts) or Effect(BASES[part], _objects(parts[:at] + parts[at + 1 :]))
    return _particle(parts) or _unnamed(parts)


def _only_reads(parts: Sequence[str]) -> bool:
    if parts[0] in words.READS:
        return words.NOT_ONLY_READS.isdisjoint(parts)
    return parts[-1] in words.READ_NOUNS and (parts[0] not in BASES or parts[0] in words.NOUN_VERBS)


def _words_of(name: str) -> list[str]:
    return [part.lower() for part in _PARTS.findall(name)]


def _objects(parts: Iterable[str]) -> frozenset[str]:
    return frozenset(map(stem, parts)) - words.EMPTY


def _particle(parts: Sequence[str]) -> Effect | None:
    """Of names like "turn_on_light"."""
    for part in parts[1:]:
        if action := words.PARTICLES.get((parts[0], part)):
            return Effect(action, _objects(other for other in parts[1:] if other != part))
    return None


def _unnamed(parts: Sequence[str]) -> Effect:
    return Effect("create", _objects(parts[1:])) if parts[0] == "make" else Effect("", frozenset())


def related(one: str, other: str) -> bool:
    """Two actions that tools do for each other."""
    return one == other or any(one in family and other in family for family in words.FAMILIES)


def matches(claim: Claim, done: Effect) -> bool:
    """A tool of this effect does what is claimed: the same action on the same thing, or a related one that is named for that thing.

    Where the thing is not named, only for actions that say enough by themselves: "I've updated it" may be about a draft.
    """
    if not done.action:
        return False
    narrow = claim.action in (words.NARROW_PASSIVE if claim.voice == "passive" else words.NARROW)
    unnamed = (not claim.object and (claim.voice != "active" or claim.action in words.SURE)) or (
        not done.object and claim.action in words.SURE
    )
    if claim.action == done.action and (narrow or unnamed):
        return True
    if claim.action in words.BY_UPDATE and done.action == "update" and not claim.object and claim.voice != "passive":
        return True
    in_it = claim.about if done.action in (claim.action, "update") else frozenset()  # an update of the whole may do what is done in it
    return related(claim.action, done.action) and bool((claim.object | in_it) & done.object)


def carries(claim: Claim, done: Effect, *, exact: bool) -> bool:
    """A successful call of this effect may have done what is claimed. *exact*: a known tool is named for the very thing claimed."""
    if _HANDOFF in (done.action, claim.action):
        return done.action in (claim.action, "")
    if not done.action or (claim.object | claim.about) & words.AUTOMATIC or (claim.action == "send" and claim.voice != "active"):
        return True
    if claim.action == done.action and done.object <= words.GENERIC:
        return True
    on_it = not exact or bool(claim.object & done.object)
    if done.action in words.COMES_WITH.get(claim.action, ()):
        return on_it or claim.action not in words.OF_A_PART
    if claim.action in words.OF_PARTS and done.action in words.MAKING:
        return True
    broad = claim.action in words.BROAD and done.action in words.BROAD
    return (broad or related(claim.action, done.action)) and (on_it or not done.object)


def unbacked(said: Sequence[Said], calls: Sequence[Call], known: Collection[str]) -> list[Claim]:
    """The claims of a run that no call of it backs.

    *said*: what each text of the agent claims, in order of time. *known*: names of tools declared to the model, or seen with this agent
    before. A claim needs a known tool that does it; a call counts wherever in the run it succeeded; a later denial takes the claim back.
    What is said to be under way counts when it is said twice and no call was even tried.
    """
    if not any(text.claims or text.written or text.underway for text in said):
        return []
    tools = {done for done in map(effect, {*known, *(call.tool for call in calls)}) if done}
    made = [(call, done) for call in calls if (done := effect(call.tool))]
    found: list[Claim] = []
    denied: set[str] = set()  # by the texts that come later
    until = _END_OF_TIME
    for text in reversed(said):
        standing = [] if "" in denied else [claim for claim in text.claims if claim.action not in denied]
        open_ = [claim for claim in standing if not _backed(claim, tools, made, text.time, until)]
        found[:0] = (*open_, *_written(text, calls, known))
        denied |= text.denied
        until = text.time
    return [*found, *_never_tried(said, tools, made)]


def _never_tried(said: Sequence[Said], tools: Collection[Effect], made: Sequence[tuple[Call, Effect]]) -> Iterator[Claim]:
    """What the agent said to be at in two texts or more, and never tried."""
    last: dict[str, Claim] = {}
    for text in said:
        for claim in {claim.action: claim for claim in text.underway}.values():
            fitting = {done for done in tools if matches(claim, done)}
            if claim.action in last and fitting and not any(carries(claim, done, exact=False) for _, done in made):
                yield claim
                return
            last[claim.action] = claim


def _backed(claim: Claim, tools: Collection[Effect], made: Sequence[tuple[Call, Effect]], time: int, until: int) -> bool:
    """No known tool does what is claimed, or a call that could have done it succeeded.

    A claim after a failed call of its tool is contradicted, unless a call succeeded before: of what succeeds later, only what does so
    before the agent speaks again, at *until*, backs it.
    """
    fitting = {done for done in tools if matches(claim, done)}
    exact = any(claim.object & done.object for done in fitting)
    able = [(call, done) for call, done in made if carries(claim, done, exact=exact)]
    contradicted = any(call.failed and call.time < time and done in fitting for call, done in able)
    return not fitting or any(not call.failed and (not contradicted or call.time < until) for call, _ in able)


def _written(text: Said, calls: Sequence[Call], known: Collection[str]) -> Iterator[Claim]:
    """Calls of known tools that change something, which the model wrote out as text and nobody even tried."""
    tried = {effect(call.tool) for call in calls}
    for tool in text.written:
        done = effect(tool) if tool in known else None
        if done and done.action and done not in tried:
            yield Claim(done.action, done.object, frozenset(), 0, "written")
