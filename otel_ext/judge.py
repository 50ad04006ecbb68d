"""Applies the rules to one trace: which hits its new steps make, which runs can be judged now, and what must be taken back.

Two kinds of verdict. A step verdict (loops) stands as soon as the step is there. A run verdict (skipping, tokens) is asked for when the
agent's own span arrives: it is given at once where nothing is outstanding, else once the trace has settled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from otel_ext.detectors import call_rules, model_rules
from otel_ext.detectors.base import END, FLAGS, KIND, NAME, SPAN, WINDOW, A, B, Hit, Step, StepRule
from otel_ext.detectors.loops import MaxIterations
from otel_ext.detectors.skipping import Expected, RequestedNotExecuted, Run
from otel_ext.detectors.spikes import TokenSpikes
from otel_ext.settings import Detect
from otel_ext.tracebook import ROW, Added, Trace, last_of
from otel_ext.wire.steps import AGENT, LLM, TOOL, Summary
from otel_ext.wire.table import GroupFlag, StepFlag

_NS_PER_MS: Final = 1_000_000
_REPEATS: Final = int(GroupFlag.REPEATS)
RUN_RULES: Final = ("tool_skipping/", "token_spike/")


@dataclass(slots=True)
class Judge:
    """The rules of one configuration. Holds no trace: state is the trace's, baselines are the agents'."""

    settings: Detect
    name: Callable[[int], str]
    intern: Callable[[str], int]
    spikes: TokenSpikes = field(init=False)
    _calls: tuple[StepRule, ...] = field(init=False)
    _models: tuple[StepRule, ...] = field(init=False)
    _iterations: MaxIterations = field(init=False)
    _expected: Expected = field(init=False)
    _requested: RequestedNotExecuted = field(init=False)

    def __post_init__(self) -> None:
        self._calls, self._models = call_rules(self.settings.loop), model_rules(self.settings.loop)
        self._iterations = MaxIterations(self.settings.loop.max_iterations)
        self._expected = Expected(self.settings.tool_skipping.expectations, self.name, self.intern)
        self._requested = RequestedNotExecuted(self.name)
        self.spikes = TokenSpikes(self.settings.token_spike)

    def steps(self, trace: Trace, added: Added, summary: Summary) -> list[Hit]:
        """Hits of the step rules for what was added. Late steps make the whole trace be judged again, in its true order."""
        hits: list[Hit] = []
        if summary.models:
            trace.models += summary.models
            if hit := self._iterations.judge(trace.models, added.fresh[-1][SPAN]):
                hits.append(hit)
        if not (added.late or added.history or summary.flags & _REPEATS):
            return hits
        history, fresh = (b"", trace.rows()) if added.late else (added.history, added.fresh)
        hits += _sequence(self._calls, TOOL, history, fresh, _call_pattern)
        hits += _sequence(self._models, LLM, history, fresh, _text_pattern)
        return hits

    def is_clean(self, packed: bytes, agent: Step, service: int, known: Summary) -> bool:
        """No run rule has anything to say of the whole run that *packed* are, with no request open: tokens as usual, calls as expected."""
        if not self.spikes.is_usual(agent[NAME], service, known.tokens, known.models):
            return False
        if self._expected.surely_met(agent[NAME], service, packed):
            return True
        calls = [step for step in ROW.iter_unpack(packed) if step[KIND] == TOOL]
        run = Run(agent=agent[NAME], service=service, span=agent[SPAN], start=started(agent), end=agent[END], error=False, calls=calls)
        return next(self._expected.judge(run), None) is None

    def run(self, run: Run) -> Iterator[Hit]:
        """Hits of the run rules."""
        yield from self._expected.judge(run)
        if run.requests:
            yield from self._requested.judge(run)
        if hit := self.spikes.judge(run):
            yield hit


def _sequence(rules: Sequence[StepRule], kind: int, history: bytes, fresh: Iterable[Step], pattern: Callable[[Step], bytes]) -> list[Hit]:
    new = [step for step in fresh if step[KIND] == kind]
    if not new or not _repeats(new, history, pattern):
        return []
    past = last_of(history, kind, WINDOW)
    steps = past + new
    positions = range(len(past), len(steps))
    return [hit for at in positions for rule in rules if (hit := rule.judge(steps, at))]


def _repeats(new: Sequence[Step], history: bytes, pattern: Callable[[Step], bytes]) -> bool:
    """Something in *new* may equal something before it. Never False where it does."""
    patterns = {pattern(step) for step in new}
    return len(patterns) < len(new) or any(history.find(each) >= 0 for each in patterns)


def _call_pattern(step: Step) -> bytes:
    """Tool and arguments, as they stand next to each other in a packed row."""
    return step[NAME].to_bytes(2, "little") + step[A].to_bytes(4, "little")


def _text_pattern(step: Step) -> bytes:
    return step[A].to_bytes(4, "little")


def runs_of(trace: Trace, rows: Sequence[Step], service: int) -> Iterator[Run]:
    """Every agent run among *rows*, in order of their ends."""
    agents = frozenset(step[NAME] for step in rows if step[KIND] == AGENT)
    visible = any(step[KIND] == TOOL for step in rows)
    for step in rows:
        if step[KIND] == AGENT:
            yield run_of(trace, rows, step, service, agents, visible)


def started(agent: Step) -> int:
    """When the run began that *agent* ended, in ns."""
    return agent[END] - agent[B] * _NS_PER_MS


def run_of(trace: Trace, rows: Sequence[Step], agent: Step, service: int, agents: frozenset[int], visible: bool) -> Run:
    """The run that *agent* ended: all steps that ended while it ran. Time tells, because parents arrive after their children."""
    end = agent[END]
    start = started(agent)
    inside = [step for step in rows if start <= step[END] <= end]
    open_requests = trace.requests.values() if trace.requests else ()
    return Run(
        agent=agent[NAME],
        service=service,
        span=agent[SPAN],
        start=start,
        end=end,
        error=bool(agent[FLAGS] & StepFlag.ERROR),
        calls=[step for step in inside if step[KIND] == TOOL],
        models=[step for step in inside if step[KIND] == LLM],
        agents=agents,
        requests=[request for request in open_requests if request.tool and start <= request.end <= end],
        expected=(trace.expected or {}).get(agent[SPAN], ()),
        tools_visible=visible,
    )
