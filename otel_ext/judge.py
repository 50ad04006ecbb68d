"""Applies the rules to one trace: which hits its new steps make, which runs can be judged now, and what must be taken back.

Two kinds of verdict. A step verdict (loops) stands as soon as the step is there. A run verdict (skipping, spikes, output) is asked for
when the agent's own span arrives: it is given at once where nothing is outstanding, else once the trace has settled.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from otel_ext.detectors import call_rules, model_rules, run_rules
from otel_ext.detectors.base import CALLS, END, FLAGS, KIND, NAME, SPAN, WINDOW, A, B, C, Hit, Step, StepRule, alike
from otel_ext.detectors.baselines import COST, MILLISECONDS, MODELS, OUTPUT, TOKENS, Baselines, Values
from otel_ext.detectors.circles import may_be_similar
from otel_ext.detectors.claimed import KnownTools
from otel_ext.detectors.loops import MaxIterations
from otel_ext.detectors.runs import Run, RunRule, distinct, lossy, turns
from otel_ext.detectors.skipping import Expected, called
from otel_ext.rules import OwnRule, Rule
from otel_ext.settings import Detect
from otel_ext.tracebook import ROW, Added, Trace, last_of
from otel_ext.wire.steps import AGENT, LLM, TOOL, Summary
from otel_ext.wire.table import GroupFlag, StepFlag

_NS_PER_MS: Final = 1_000_000
# REPEATS and SIMILAR are told of tools and models only; hand-offs are UNUSUAL, MCP calls may be DOUBLED.
_MAY_REPEAT: Final = int(GroupFlag.REPEATS | GroupFlag.SIMILAR | GroupFlag.UNUSUAL | GroupFlag.DOUBLED)
_STEPS: Final = (*CALLS, LLM)
STEP_RULES: Final = (
    "loop/identical_calls",
    "loop/failing_call",
    "loop/cycle",
    "loop/handoffs",
    "loop/changing_arguments",
    "loop/identical_output",
)


@dataclass(slots=True)
class Judge:
    """The rules of one configuration. Holds no trace: state is the trace's, baselines are the agents'."""

    settings: Detect
    name: Callable[[int], str]
    intern: Callable[[str], int]
    rules: Sequence[Rule] = ()
    own: tuple[OwnRule, ...] = field(init=False)  # `rules`, as they are called
    past: Baselines = field(init=False)
    tools: KnownTools = field(init=False)
    _calls: tuple[StepRule, ...] = field(init=False)
    _models: tuple[StepRule, ...] = field(init=False)
    _iterations: MaxIterations = field(init=False)
    _expected: Expected = field(init=False)
    _runs: tuple[RunRule, ...] = field(init=False)
    _off: tuple[tuple[str, str], ...] = field(init=False)  # globs over rule and agent

    def __post_init__(self) -> None:
        self.past = Baselines(self.settings.baselines)
        self.tools = KnownTools(self.name)
        self._make_rules()

    def reconfigure(self, settings: Detect, rules: Sequence[Rule]) -> None:
        """Judge by other settings from now on. What is usual for each agent stays known."""
        self.settings, self.rules = settings, rules
        self.past.settings = settings.baselines
        self._make_rules()

    def _make_rules(self) -> None:
        self._calls, self._models = call_rules(self.settings.loop), model_rules(self.settings.loop)
        self._iterations = MaxIterations(self.settings.loop.max_iterations)
        self._expected = Expected(self.settings.tool_skipping.expectations, self.name, self.intern)
        self.own = tuple(OwnRule(rule, self.name) for rule in self.rules)
        self._runs = (self._expected, *run_rules(self.settings, self.past, self.tools, self.name), *self.own)
        self._off = tuple((rule, agent or "*") for rule, _, agent in (each.partition("@") for each in self.settings.disable))

    def steps(self, trace: Trace, added: Added, summary: Summary) -> list[Hit]:
        """Hits of the step rules for what was added. Late steps make the whole trace be judged again, in its true order."""
        hits: list[Hit] = []
        if summary.models:
            trace.models += summary.models
            if hit := self._iterations.judge(trace.models, added.fresh[-1][SPAN]):
                hits.append(hit)
        if added.late or added.history or summary.flags & _MAY_REPEAT:
            history, fresh = (b"", trace.rows()) if added.late else (added.history, added.fresh)
            hits += self._sequence(history, fresh)
        return hits

    def _sequence(self, history: bytes, fresh: Sequence[Step]) -> list[Hit]:
        new = [step for step in fresh if step[KIND] in _STEPS]
        if not new or not _repeats(new, history):
            return []
        rows = distinct([*last_of(history, _STEPS, 2 * WINDOW), *new])
        first = new[0][:2]
        hits: list[Hit] = []
        for steps, since in turns(rows):
            last = steps[-1]
            if last[:2] >= first:
                rules = self._models if last[KIND] == LLM else self._calls
                hits += [hit for rule in rules if (hit := rule.judge(steps, len(steps) - 1, since))]
        return hits

    def is_clean(self, packed: bytes, agent: Step, service: int, known: Summary, cost: float) -> bool:
        """No run rule has anything to say of the whole run that *packed* are, with no request open: as usual, and calls as expected."""
        key = (agent[NAME], service)
        if self.own:
            return False
        if not self._is_usual(key, agent, known, cost) or any(
            not (called(packed, tool) or _is_named(packed, tool)) for tool, _, _ in self.past.customary(key)
        ):
            return False
        if self._expected.surely_met(agent[NAME], service, packed):
            return True
        calls = [step for step in ROW.iter_unpack(packed) if step[KIND] == TOOL]
        run = Run(agent=agent[NAME], service=service, span=agent[SPAN], start=started(agent), end=agent[END], error=False, calls=calls)
        return next(self._expected.judge(run), None) is None

    def may_be_similar(self, packed: bytes) -> bool:
        """Among packed steps are answers that the rule on similar ones must look at."""
        return may_be_similar([step[A] for step in ROW.iter_unpack(packed) if step[KIND] == LLM], self.settings.loop.similar_outputs)

    def _is_usual(self, key: tuple[int, int], agent: Step, known: Summary, cost: float) -> bool:
        """No measure is so far from the mean that a rule must look closer."""
        settings, means = self.settings, self.past.means(key)
        usual_tokens: float = settings.token_spike.baseline_tokens * max(1, known.models)
        if means is None:
            return known.tokens <= settings.token_spike.multiplier * usual_tokens
        if self.past.runs(key) >= settings.token_spike.min_samples:
            usual_tokens = means[TOKENS]
        return (
            known.tokens <= settings.token_spike.multiplier * usual_tokens
            # each rule has a warm-up of its own: to look closer too early costs a moment, too late a finding
            and agent[B] <= max(settings.latency_spike.multiplier * means[MILLISECONDS], settings.latency_spike.floor // _NS_PER_MS)
            and known.models <= settings.iterations.multiplier * means[MODELS]
            and cost <= max(settings.cost_spike.floor, settings.cost_spike.multiplier * means[COST])
            and (not agent[C] or agent[C] >= settings.degraded_output.short_share * means[OUTPUT])
        )

    def run(self, run: Run) -> Iterator[Hit]:
        """Hits of the run rules, one a fact: of several the first."""
        told: set[tuple[str, int]] = set()
        for rule in self._runs:
            for hit in rule.judge(run):
                if (hit.rule, hit.subject) not in told:
                    told.add((hit.rule, hit.subject))
                    yield hit

    def is_off(self, rule: str, agent: str) -> bool:
        """The rule is switched off, for everybody or for this agent."""
        return any(fnmatch.fnmatchcase(rule, off) and fnmatch.fnmatchcase(agent, of) for off, of in self._off)

    def learn(self, key: tuple[int, int], values: Values, tools: set[int]) -> None:
        """A run has settled: its agent's past grows by it."""
        self.past.learn(key, values, tools)
        self.tools.learn(key, tools)


def _is_named(packed: bytes, tool: int) -> bool:
    """Among packed steps is one of this name. May be True where other bytes look like it: then the closer look is missed, no more."""
    at = packed.find(tool.to_bytes(2, "little"))
    while at >= 0:
        if at % ROW.size == _NAME_AT:
            return True
        at = packed.find(tool.to_bytes(2, "little"), at + 1)
    return False


_NAME_AT: Final = 14


def _repeats(new: Sequence[Step], history: bytes) -> bool:
    """Something in *new* may equal something before it, but for a number. Never False where it does."""
    patterns = [pattern for step in new for pattern in _patterns(step)]
    return len(set(patterns)) < len(patterns) or any(history.find(each) >= 0 for each in patterns)


def _patterns(step: Step) -> tuple[bytes, ...]:
    """As they stand in a packed row: of a call its tool and arguments, and their shape with the result; of a model step its text."""
    if step[KIND] == LLM:
        return (step[A].to_bytes(4, "little"),) if step[A] else ()
    call = step[NAME].to_bytes(2, "little") + step[A].to_bytes(4, "little")
    return call, alike(step[A]).to_bytes(2, "little") + step[B].to_bytes(4, "little")


def runs_of(trace: Trace, rows: Sequence[Step], service: int) -> Iterator[Run]:
    """Every agent run among *rows*, in order of their ends."""
    rows = distinct(rows)
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
        # what a trace cost is known, not what a part of it did
        cost=trace.cost if trace.cost and len(inside) == len(rows) else -1.0,
        output_len=agent[C],
        calls=[step for step in inside if step[KIND] in CALLS],
        models=[step for step in inside if step[KIND] == LLM],
        inner=[step for step in inside if step[KIND] == AGENT],
        agents=agents,
        refusals=sum(request.refused and not request.tool for request in open_requests),
        requests=[request for request in open_requests if request.tool and start <= request.end <= end],
        expected=(trace.expected or {}).get(agent[SPAN], ()),
        tools_visible=visible,
        said=[text for text in trace.said if start <= text.said.time <= end],
        earlier=[step for step in rows if step[KIND] in CALLS and step[END] <= end] if trace.said else (),
        tools=trace.tools or frozenset(),
        lossy=trace.evicted or any(map(lossy, inside)),
        # an answer to a call that no model of this trace asked for: the conversation is older than the trace
        resumed=any(request.answered and not request.tool for request in open_requests),
    )


def values_of(run: Run) -> Values:
    """What the run came to, for its agent's past."""
    return Values(run.tokens, run.milliseconds, len(run.models), run.output_len or -1, run.cost)


def whole_run(packed: bytes, span: int, cost: float) -> tuple[Values, set[int]]:
    """The same, and the tools it called, of packed steps that are all of the run that *span* ended, each call told of once."""
    tokens = models = milliseconds = output = 0
    tools: set[int] = set()
    for _, low, kind, _, name, _, b, c in ROW.iter_unpack(packed):
        if kind == TOOL:
            tools.add(name)
        elif kind == LLM:
            tokens += b
            models += 1
        elif low == span:
            milliseconds, output = b, c
    return Values(tokens, milliseconds, models, output or -1, cost or -1.0), tools
