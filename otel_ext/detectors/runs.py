"""One agent's run, as the rules over whole runs see it, and the rows of a trace without what was told twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple, Protocol

from otel_ext.detectors.base import CALLS, END, FLAGS, KIND, NAME, SPAN, A, B, C, Hit, Step
from otel_ext.detectors.claims import Said
from otel_ext.wire.steps import LLM, MCP, TOOL
from otel_ext.wire.table import StepFlag

_TWIN_NS: Final = 50_000_000  # two instrumentations end their spans of one call within this time
_SAID: Final = int(StepFlag.ERROR | StepFlag.REFUSED)  # what a server says of a call that its client does not
_LOSSY: Final = int(StepFlag.CUT)


class Request(NamedTuple):
    """A tool call the model asked for that no tool span has answered for so far. `span` and `end` are the model call's."""

    call: int
    tool: int
    span: int
    end: int
    answered: bool
    refused: bool


class Text(NamedTuple):
    """What one text said. `of_agent`: it is the agent's own output, which repeats the model's last text where that was recorded."""

    said: Said
    of_agent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One agent's run: the steps that ended inside of it, in order, each thing once. `agent` and `service` are interned names."""

    agent: int
    service: int
    span: int
    start: int
    end: int
    error: bool
    cost: float = -1.0  # dollars; negative where it is not known
    output_len: int = 0  # bytes of the agent's own output; 0 where it is not recorded
    calls: Sequence[Step] = ()  # tools and hand-offs
    models: Sequence[Step] = ()
    inner: Sequence[Step] = ()  # agent runs inside this one, and itself
    agents: frozenset[int] = frozenset()  # names of all agents seen in the trace
    requests: Sequence[Request] = ()
    refusals: int = 0  # refused answers to calls whose requests have no ids, so that they cannot be told apart
    expected: tuple[int, ...] = ()
    said: Sequence[Text] = ()
    earlier: Sequence[Step] = ()  # all calls of the trace up to its end, also those of other runs
    tools: frozenset[int] = frozenset()  # state-changing tools that the trace's models were told of
    tools_visible: bool = False  # the trace has tool spans at all
    lossy: bool = False  # attributes or steps were dropped: that something is not here says nothing
    resumed: bool = False  # the models were given answers to calls from before this trace

    @property
    def outstanding(self) -> bool:
        """Something may still arrive: a call without span or answer, or a run of which nothing was seen yet."""
        return not (self.calls or self.models) or any(not request.answered for request in self.requests)

    @property
    def tokens(self) -> int:
        """Tokens of the run's own model calls."""
        return sum(step[B] for step in self.models)

    @property
    def milliseconds(self) -> int:
        """How long it ran."""
        return (self.end - self.start) // 1_000_000


class RunRule(Protocol):
    """Judges one whole run."""

    def judge(self, run: Run) -> Iterator[Hit]:
        """Everything that is wrong with it."""
        ...


def lossy(step: Step) -> bool:
    """The span says that attributes or events of it were dropped."""
    return step[FLAGS] & _LOSSY != 0


def distinct(rows: Sequence[Step]) -> Sequence[Step]:
    """*rows* with every model call and every tool call once, whatever number of instrumentations saw it.

    A model call inside a model call is the same one, seen by the framework and by the client under it: the outer one stands, with the
    larger count of tokens. So are two that ended together with the same tokens and the same text, or without text under one parent. An MCP
    call inside a tool's span is that tool's; outside of one, it is a tool call of its own, and failed where its server says so.
    """
    again = twice(rows)
    if not again and not any(step[KIND] == MCP for step in rows):
        return rows
    heavier: dict[int, Step] = {}
    spans = {step[SPAN]: step for step in rows}
    for inner, outer in again.items():
        other = heavier.get(outer, spans[outer])
        heavier[outer] = _merged(other, spans[inner])
    kept = (heavier.get(step[SPAN], step) for step in rows if step[SPAN] not in again)
    return [_as_tool(step) if step[KIND] == MCP else step for step in kept]


def twice(rows: Sequence[Step]) -> dict[int, int]:
    """Spans that tell of a call which another span tells of too: the one that goes, and the one that stands."""
    models = [step for step in rows if step[KIND] == LLM]
    parents = {step[SPAN]: step[C] for step in models}
    again = {span: _outermost(span, parents) for span, parent in parents.items() if parent in parents and parent != span}
    for before, step in pairwise(models):
        if step[SPAN] not in again and before[SPAN] not in again and _twins(before, step):
            again[step[SPAN]] = before[SPAN]
    within = {step[SPAN]: step[C] if step[KIND] == MCP else 0 for step in rows if step[KIND] in (TOOL, MCP)}
    again.update({span: _outermost(span, within) for span, parent in within.items() if parent in within and parent != span})
    return again


def _outermost(span: int, parents: dict[int, int]) -> int:
    seen: set[int] = set()
    while span not in seen and parents[span] in parents:
        seen.add(span)
        span = parents[span]
    return span


def _twins(one: Step, other: Step) -> bool:
    if other[END] - one[END] > _TWIN_NS or one[A] != other[A] or not one[B] == other[B] != 0:
        return False
    return one[A] != 0 or one[C] == other[C] != 0  # with no text to compare, side by side under one span


def _merged(outer: Step, inner: Step) -> Step:
    if outer[KIND] == MCP:
        return (*outer[:FLAGS], outer[FLAGS] | inner[FLAGS] & _SAID, *outer[NAME:])
    if outer[KIND] != LLM:
        return outer
    text, tokens = outer[A] or inner[A], max(outer[B], inner[B])
    return (*outer[:5], text, tokens, outer[C])


def _as_tool(step: Step) -> Step:
    return (*step[:KIND], TOOL, *step[FLAGS:C], 0)


def turns(rows: Iterable[Step]) -> Iterator[tuple[Sequence[Step], int]]:
    """Step by step: all of its family up to it (calls, or model steps), and the place of the first call since the model last answered.

    A text that the next step follows from is no answer: an answer is followed by another model step, for somebody spoke in between.
    """
    calls: list[Step] = []
    models: list[Step] = []
    since, spoken = 0, False
    for step in rows:
        family = models if step[KIND] == LLM else calls
        if step[KIND] == LLM and spoken:
            since = len(calls)
        spoken = step[KIND] == LLM and step[A] != 0
        family.append(step)
        yield family, since


def is_call(step: Step) -> bool:
    """A tool call or a hand-off."""
    return step[KIND] in CALLS


def names_of(steps: Sequence[Step]) -> set[int]:
    """The interned names among *steps*."""
    return {step[NAME] for step in steps}
