"""Tool skipping: what a run was expected to call, and what its model asked for, against what was called."""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from otel_ext.detectors.base import END, NAME, SPAN, C, Hit, Step, failed, hollow, refused
from otel_ext.detectors.baselines import Baselines
from otel_ext.detectors.runs import Request, Run, names_of
from otel_ext.dialects import HANDOFF_PREFIXES, OUTPUT_PREFIXES, OUTPUT_TOOLS, PROVIDER_TOOLS
from otel_ext.model import Evidence, Severity
from otel_ext.settings import Expectation
from otel_ext.wire.steps import TOOL
from otel_ext.wire.table import STEP, StepFlag

_KIND_AT: Final = int(STEP.fields["kind"][1]) if STEP.fields else 0
# Kind and flags of a call that went well, before the name: its result long or short.
_GOOD_CALLS: Final = tuple(bytes([TOOL, StepFlag.HAS_ARGUMENTS | StepFlag.HAS_RESULT | size]) for size in (0, StepFlag.SHORT_RESULT))

SKIPPING: Final = "tool_skipping"
EXPECTED: Final = "tool_skipping/expected"
REQUESTED: Final = "tool_skipping/requested_not_executed"
LEARNED: Final = "tool_skipping/learned"
_ODD: Final = re.compile(r"[^a-z0-9]+")

_REFUSED: Final = "the model asked for {tool}, and was told that it was refused or is unknown"


@dataclass(slots=True)
class _Compiled:
    """An expectation with tools as interned names."""

    agent: str
    require: tuple[int, ...]
    any_of: tuple[tuple[int, ...], ...]
    before: tuple[tuple[int, ...], ...]
    forbid: tuple[int, ...]

    @property
    def only_requires(self) -> bool:
        """A set of calls meets it, in any order."""
        return not (self.any_of or self.before or self.forbid)


@dataclass(slots=True)
class Expected:
    """`require`, `any_of`, `before`, `forbid` per agent, and `otel_ext.expected_tools` of the span itself."""

    expectations: Sequence[Expectation]
    name: Callable[[int], str]
    intern: Callable[[str], int]
    _compiled: list[_Compiled] = field(init=False)
    _matches: dict[tuple[int, int], list[_Compiled]] = field(init=False, default_factory=dict)  # bounded by the table of names

    def __post_init__(self) -> None:
        numbers = self._numbers
        self._compiled = [
            _Compiled(e.agent, numbers(e.require), tuple(map(numbers, e.any_of)), tuple(map(numbers, e.before)), numbers(e.forbid))
            for e in self.expectations
        ]

    def _numbers(self, tools: Sequence[str]) -> tuple[int, ...]:
        return tuple(self.intern(tool) for tool in tools)

    def applies(self, agent: int, service: int) -> list[_Compiled]:
        """The expectations whose glob fits the agent's name, or the service's where the agent has none."""
        key = (agent, service)
        if key not in self._matches:
            subject = self.name(agent) or self.name(service)
            self._matches[key] = [e for e in self._compiled if fnmatch.fnmatchcase(subject, e.agent)]
        return self._matches[key]

    def surely_met(self, agent: int, service: int, packed: bytes) -> bool:
        """A look at packed steps that saves most runs a closer one: True only where every required tool was called without a fault."""
        return all(e.only_requires and all(called(packed, tool) for tool in e.require) for e in self.applies(agent, service))

    def judge(self, run: Run) -> Iterator[Hit]:
        """Everything the run lacks, does in the wrong order, or must not do."""
        good = {step[NAME] for step in run.calls if not failed(step)}
        for expectation in self.applies(run.agent, run.service):
            yield from self._required(run, good, expectation.require)
            for choice in expectation.any_of:
                if good.isdisjoint(choice):
                    yield self._hit(run, "any_of", choice, "none of {tools} was called")
            for order in expectation.before:
                yield from self._ordered(run, order)
            if expectation.forbid:
                yield from self._forbidden(run, expectation.forbid)
        if run.expected:
            yield from self._required(run, good, run.expected)

    def _forbidden(self, run: Run, tools: Sequence[int]) -> Iterator[Hit]:
        called = tuple(tool for tool in tools if any(step[NAME] == tool for step in run.calls))
        if called:
            yield self._hit(run, "forbid", called, "{tools} was called, which is forbidden here")

    def _required(self, run: Run, good: set[int], tools: Sequence[int]) -> Iterator[Hit]:
        if not good.issuperset(tools):
            missing = tuple(tool for tool in tools if tool not in good)
            yield self._hit(run, "require", missing, "the run ended without a successful call of {tools}")

    def _ordered(self, run: Run, order: Sequence[int]) -> Iterator[Hit]:
        """Each tool of *order* only after a successful call of the one before it."""
        done: set[int] = set()
        for step in run.calls:
            if step[NAME] in order[1:] and order[order.index(step[NAME]) - 1] not in done:
                first = order[order.index(step[NAME]) - 1]
                yield self._hit(run, "before", (first,), f"{self.name(step[NAME])} was called before {{tools}}")
                return
            if not failed(step):
                done.add(step[NAME])

    def _hit(self, run: Run, expectation: str, tools: Sequence[int], message: str) -> Hit:
        attempted = sorted({self.name(step[NAME]) for step in run.calls if step[NAME] in tools and failed(step)})
        names = [self.name(tool) for tool in tools]
        evidence: dict[str, str | int | float | bool | list[str]] = {"expectation": expectation, "tools": names}
        if attempted and expectation != "forbid":
            evidence["attempted"] = attempted
        return Hit(
            type=SKIPPING,
            rule=EXPECTED,
            # an agent that tried and failed did not skip in silence
            severity=_softened(run, tried=set(names) <= set(attempted) and expectation != "forbid"),
            subject=hash((run.span, len(expectation), *tools)),
            span=run.span,
            message=message.replace("{tools}", ", ".join(names)),
            complete=not run.lossy,
            evidence=evidence,
        )


def _softened(run: Run, *, tried: bool) -> Severity:
    if run.lossy:
        return Severity.LOW  # what is missing may have been dropped on the way
    return Severity.MEDIUM if tried else Severity.CRITICAL


def called(packed: bytes, tool: int) -> bool:
    """Among packed steps is a call of *tool* with arguments, a result and no error; False may only mean that it is hard to see."""
    places = (packed.find(call + tool.to_bytes(2, "little")) for call in _GOOD_CALLS)
    return any(at >= 0 and at % STEP.itemsize == _KIND_AT for at in places)


class _Calls:
    """Calls of one run that requests can be matched with by name: each answers one request."""

    def __init__(self, calls: Sequence[Step], plain: Callable[[int], str]) -> None:
        made = [step for step in calls if not hollow(step)]
        self._ran = Counter(plain(step[NAME]) for step in made if not step[C] and not failed(step))
        self._tried = Counter(plain(step[NAME]) for step in made if not step[C] and failed(step))
        # A request without an id can be any call's of that name: which of those that have one are spoken for is not known any more.
        self._any = Counter(plain(step[NAME]) for step in made if step[C])
        self._turned_down = Counter(plain(step[NAME]) for step in calls if not step[C] and refused(step))
        self.denied = {step[C] for step in calls if step[C] and refused(step)}
        self.withheld = {step[C] for step in calls if step[C] and hollow(step)} - self.denied

    def turn_down(self, tool: str) -> bool:
        """Takes a call of *tool* that its own span says was not made."""
        return _spend(self._turned_down, tool)

    def spend(self, tool: str, request: Request) -> bool:
        """Takes a call that *request* may have asked for; a refused one was not made, where a call of that name did not go well either."""
        if _spend(self._ran, tool) or (not request.refused and _spend(self._tried, tool)):
            return True
        return request.call < 0 and _spend(self._any, tool)


def _spend(names: Counter[str], tool: str) -> bool:
    name = _find(names, tool)
    if name:
        names[name] -= 1
    return bool(name)


@dataclass(slots=True)
class RequestedNotExecuted:
    """The model asked for a call, and nothing shows that it was made."""

    name: Callable[[int], str]
    _plain: dict[int, str] = field(init=False, default_factory=dict)  # bounded by the table of names

    def judge(self, run: Run) -> Iterator[Hit]:
        """One hit a tool. Requests are matched by call id before; here by name, for tool spans without an id."""
        denied = [step for step in run.calls if refused(step)]
        if not run.requests and not denied:
            return
        calls = _Calls(run.calls, self.plain)
        refusals = run.refusals
        reported: set[int] = set()
        for request in sorted(run.requests, key=lambda each: (each.end, each.span, each.call)):
            if request.call in calls.denied or calls.turn_down(self.plain(request.tool)):
                request = request._replace(answered=True, refused=True)
            elif calls.spend(self.plain(request.tool), request):
                continue
            elif request.call < 0 and refusals:
                refusals -= 1
                request = request._replace(answered=True, refused=True)
            elif request.answered and not request.refused and request.call in calls.withheld:
                continue  # its span shows no result, but the model was given one
            if request.tool not in reported and self._is_call(run, request) and (hit := self._judge(run, request)):
                reported.add(request.tool)
                yield hit
        for step in denied:  # what the model asked for may be visible nowhere but here
            if step[NAME] not in reported:
                reported.add(step[NAME])
                yield self._hit(run, Request(0, step[NAME], step[SPAN], step[END], answered=True, refused=True), Severity.MEDIUM, _REFUSED)

    def plain(self, tool: int) -> str:
        """The name as hosts write it differently: lower case, everything else an underscore."""
        if tool not in self._plain:
            self._plain[tool] = _ODD.sub("_", self.name(tool).lower())
        return self._plain[tool]

    def _is_call(self, run: Run, request: Request) -> bool:
        tool = self.name(request.tool)
        answers = tool in OUTPUT_TOOLS or tool.startswith(OUTPUT_PREFIXES)
        return not (answers or tool in PROVIDER_TOOLS or tool.startswith(HANDOFF_PREFIXES) or request.tool in run.agents)

    def _judge(self, run: Run, request: Request) -> Hit | None:
        if request.refused:
            return self._hit(run, request, Severity.MEDIUM, _REFUSED)
        if request.answered:
            # Instrumentation of the model client alone never shows tool spans: then the answer is all there can be.
            return self._hit(run, request, Severity.LOW, "{tool} has an answer, but no tool span") if run.tools_visible else None
        if request.call < 0 and not run.tools_visible:
            return None  # with neither ids nor tool spans nothing could show that it was made
        went_on = any(step[END] > request.end for step in run.models)
        if went_on and not run.error:
            severity = Severity.LOW if run.lossy else Severity.HIGH
            return self._hit(run, request, severity, "the model asked for {tool}; it was not called, and the model went on without it")
        return self._hit(run, request, Severity.MEDIUM, "the model asked for {tool}; the run ended before it was called")

    @staticmethod
    def _hit(run: Run, request: Request, severity: Severity, message: str) -> Hit:
        evidence: Evidence = {"answered": request.answered, "refused": request.refused}
        return Hit(
            type=SKIPPING,
            rule=REQUESTED,
            severity=severity,
            subject=request.tool,
            tools=(request.tool,),
            span=run.span,
            message=message,
            complete=not run.lossy,
            evidence=evidence,
        )


def _find(names: Counter[str], tool: str) -> str:
    """The name in *names* that is *tool*, or ends with it, or with which it ends: hosts put the server's name in front. "" for none."""
    if names[tool]:
        return tool
    return next((name for name, left in names.items() if left and (name.endswith(f"_{tool}") or tool.endswith(f"_{name}"))), "")


@dataclass(frozen=True, slots=True)
class Learned:
    """A tool that nearly every run of this agent calls was not called. Nobody said that it must be: low, with the numbers."""

    past: Baselines

    def judge(self, run: Run) -> Iterator[Hit]:
        """One hit a tool."""
        if run.lossy or run.error or not run.models:
            return
        called = names_of(run.calls)
        for tool, runs, of in self.past.customary((run.agent, run.service)):
            if tool not in called:
                yield Hit(
                    type=SKIPPING,
                    rule=LEARNED,
                    severity=Severity.LOW,
                    subject=hash((run.span, tool)),
                    tools=(tool,),
                    span=run.span,
                    message=f"the run did without {{tool}}, which {runs} of this agent's last {of} runs called",
                    evidence={"runs_with": runs, "runs": of},
                )
