"""Rules of one's own: a class with a `judge` method over one agent run, in plain names and values.

Named in the configuration (`detect: {rules: ["package.module:Class"]}`) or offered by an installed package (entry point group
`otel_ext.rules`), made without arguments, called once for every agent run when it has ended, and again should late spans change the run.
`otel_ext.testing` has the kit to test one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from otel_ext.detectors import base
from otel_ext.detectors.runs import Run
from otel_ext.errors import ConfigError
from otel_ext.model import Evidence, Severity, StepKind
from otel_ext.wire.table import StepFlag

__all__ = ["AgentRun", "AgentStep", "Evidence", "Hit", "Rule", "Severity", "StepKind"]

TYPES: Final = ("tool_skipping", "loop", "token_spike", "degraded_output", "latency_spike", "anomaly", "drift")
_RULE_ID: Final = re.compile(r"[a-z][a-z0-9_]*/[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class AgentStep:
    """One step: a model call, a tool call, a hand-off, or an agent run inside the run.

    `name` is the tool's, model's or agent's. `arguments`, `result` and `output` are fingerprints: equal numbers mean equal values, 0 means
    not recorded. `end_ns` is in ns since the epoch, `tokens` counts input and output of a model call.
    """

    kind: StepKind
    name: str
    failed: bool
    end_ns: int
    arguments: int = 0
    result: int = 0
    output: int = 0
    tokens: int = 0
    span: int = 0


@dataclass(frozen=True, slots=True)
class AgentRun:
    """One agent run, its steps in the order in which they ended. `lossy`: parts were dropped on the way, so absence proves nothing."""

    agent: str
    service: str
    steps: Sequence[AgentStep]
    failed: bool
    milliseconds: int
    tokens: int
    lossy: bool

    def calls(self, tool: str | None = None) -> list[AgentStep]:
        """The tool calls, or those of one tool."""
        return [step for step in self.steps if step.kind is StepKind.TOOL and tool in (None, step.name)]


@dataclass(frozen=True, slots=True)
class Hit:
    """What a rule has to say of a run. Without `step` it is about the agent's own span.

    `subject` tells several facts of one rule within a run apart; the same subject again is the same fact.
    """

    message: str
    severity: Severity = Severity.MEDIUM
    step: AgentStep | None = None
    subject: str = ""
    evidence: Evidence = field(default_factory=dict)


class Rule(Protocol):
    """`rule` is the id its findings carry, `family/name`; `type` one of the types of findings, "anomaly" where the class has none."""

    rule: str

    def judge(self, run: AgentRun) -> Iterable[Hit]:
        """Everything that is wrong with the run. No I/O, no clock; an exception is counted, and costs only this rule's verdict."""
        ...


@dataclass(slots=True)
class OwnRule:
    """A Rule as the judge calls it. `failed` counts what it raised, by type."""

    own: Rule
    name: Callable[[int], str]
    failed: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check(self.own)

    def judge(self, run: Run) -> Iterator[base.Hit]:
        """Its hits, in the judge's own terms; none where it raised."""
        try:
            hits = [self._hit(run, hit) for hit in self.own.judge(_seen(run, self.name))]
        except Exception as error:  # somebody else's code: whatever it raises must not cost a span
            kind = type(error).__name__
            self.failed[kind] = self.failed.get(kind, 0) + 1
            return
        yield from hits

    def _hit(self, run: Run, hit: Hit) -> base.Hit:
        return base.Hit(
            type=getattr(self.own, "type", "anomaly"),
            rule=self.own.rule,
            severity=Severity(hit.severity),
            subject=hash((run.span, hit.subject)),
            span=hit.step.span if hit.step else run.span,
            message=hit.message,
            evidence=hit.evidence,
            complete=not run.lossy,
        )


def check(rule: Rule) -> None:
    """Raises ConfigError where *rule* is not one."""
    where = f"{type(rule).__module__}:{type(rule).__qualname__}"
    if not callable(getattr(rule, "judge", None)):
        raise ConfigError([f"{where}: a rule needs a method judge(run)"])
    name = getattr(rule, "rule", None)
    if not isinstance(name, str) or not _RULE_ID.fullmatch(name):
        raise ConfigError([f"{where}.rule: {name!r}, needed is an id like 'shop/refund_unseen': lower case, a family and a name"])
    if (kind := getattr(rule, "type", "anomaly")) not in TYPES:
        raise ConfigError([f"{where}.type: {kind!r}, allowed are {', '.join(TYPES)}"])


def _seen(run: Run, name: Callable[[int], str]) -> AgentRun:
    rows = sorted([*run.calls, *run.models, *(step for step in run.inner if step[base.SPAN] != run.span)])
    return AgentRun(
        agent=name(run.agent),
        service=name(run.service),
        steps=[_step(row, name) for row in rows],
        failed=run.error,
        milliseconds=run.milliseconds,
        tokens=run.tokens,
        lossy=run.lossy,
    )


def _step(row: base.Step, name: Callable[[int], str]) -> AgentStep:
    kind = StepKind(row[base.KIND])
    called, model = row[base.KIND] in base.CALLS, kind is StepKind.LLM
    return AgentStep(
        kind=kind,
        name=name(row[base.NAME]),
        failed=row[base.FLAGS] & StepFlag.ERROR != 0,
        end_ns=row[base.END],
        arguments=row[base.A] if called else 0,
        result=row[base.B] if called else 0,
        output=0 if called else row[base.A],
        tokens=row[base.B] if model else 0,
        span=row[base.SPAN],
    )
