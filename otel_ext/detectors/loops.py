"""Loops: the same again, and nothing new comes of it. What changes each time (polling, paging) is no loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from otel_ext.detectors.base import FLAGS, NAME, SPAN, WINDOW, A, B, Hit, Step, failed, recorded, same_call
from otel_ext.model import Severity, StepKind
from otel_ext.wire.table import StepFlag

LOOP = "loop"


@dataclass(frozen=True, slots=True)
class IdenticalCalls:
    """The same tool, arguments and result, `count` times in a row."""

    count: int
    kind: StepKind = StepKind.TOOL

    def judge(self, steps: Sequence[Step], at: int) -> Hit | None:
        """A hit when the run of equal calls that ends here is exactly `count` long, or its multiple: the first is reported."""
        last = steps[at]
        if at + 1 < self.count or failed(last):
            return None
        run = steps[at + 1 - self.count : at + 1]
        if not all(same_call(step, last) and step[B] == last[B] and not failed(step) for step in run):
            return None
        return Hit(
            type=LOOP,
            rule="loop/identical_calls",
            severity=Severity.CRITICAL if recorded(last) else Severity.LOW,
            subject=last[NAME],
            tools=(last[NAME],),
            span=last[SPAN],
            message=f"{{tool}} called {self.count} times in a row with the same arguments and the same result{_unrecorded(last)}",
            evidence={"repeats": self.count, "arguments_recorded": bool(last[FLAGS] & StepFlag.HAS_ARGUMENTS)},
        )


@dataclass(frozen=True, slots=True)
class FailingCall:
    """The same call fails `count` times, whatever else happens between, until it succeeds once."""

    count: int
    kind: StepKind = StepKind.TOOL

    def judge(self, steps: Sequence[Step], at: int) -> Hit | None:
        """A hit when this failure is the `count`-th of the same call."""
        last = steps[at]
        if not failed(last):
            return None
        failures = 0
        for step in reversed(steps[max(0, at + 1 - WINDOW) : at + 1]):
            if same_call(step, last):
                if not failed(step):
                    break
                failures += 1
        if failures < self.count:
            return None
        return Hit(
            type=LOOP,
            rule="loop/failing_call",
            severity=Severity.CRITICAL,
            subject=last[NAME],
            tools=(last[NAME],),
            span=last[SPAN],
            message=f"{{tool}} failed {self.count} times with the same arguments",
            evidence={"failures": self.count},
        )


@dataclass(frozen=True, slots=True)
class Cycle:
    """A sequence of calls of period 2 to `period`, `repeats` times over. Period 1 is IdenticalCalls."""

    period: int
    repeats: int
    kind: StepKind = StepKind.TOOL

    def judge(self, steps: Sequence[Step], at: int) -> Hit | None:
        """A hit when the calls up to here repeat with one of the periods."""
        for period in range(2, self.period + 1):
            length = period * self.repeats
            if at + 1 >= length and self._repeats(steps[at + 1 - length : at + 1], period):
                return self._hit(steps[at + 1 - period : at + 1])
        return None

    @staticmethod
    def _repeats(run: Sequence[Step], period: int) -> bool:
        if all(same_call(step, run[0]) for step in run[1:period]):
            return False  # the same call throughout: another rule's fact
        return all(same_call(run[i], run[i - period]) and _nothing_new(run[i], run[i - period]) for i in range(period, len(run)))

    def _hit(self, turn: Sequence[Step]) -> Hit:
        last = turn[-1]
        return Hit(
            type=LOOP,
            rule="loop/cycle",
            severity=Severity.CRITICAL if all(map(recorded, turn)) else Severity.LOW,
            # whichever call of the cycle came last, the fact is the same
            subject=hash(tuple(sorted({step[NAME] for step in turn}))),
            # whichever call comes last: that depends on where the watching began
            tools=tuple({step[NAME] for step in turn}),
            span=last[SPAN],
            message=f"a cycle of {len(turn)} calls ({{tool}}) went round {self.repeats} times{_unrecorded(last)}",
            evidence={"period": len(turn), "repeats": self.repeats},
        )


@dataclass(frozen=True, slots=True)
class IdenticalOutput:
    """The model writes the same text `count` times. Short texts are greetings, not loops."""

    count: int
    kind: StepKind = StepKind.LLM

    def judge(self, steps: Sequence[Step], at: int) -> Hit | None:
        """A hit when this text stood `count` times among the last model calls."""
        text = steps[at][A]
        if not text:
            return None
        seen = sum(1 for step in steps[max(0, at + 1 - WINDOW) : at + 1] if step[A] == text)
        if seen < self.count:
            return None
        return Hit(
            type=LOOP,
            rule="loop/identical_output",
            severity=Severity.HIGH,
            subject=0,  # one text or another: the model repeats itself
            span=steps[at][SPAN],
            message=f"the model wrote the same text {self.count} times",
            evidence={"repeats": self.count},
        )


@dataclass(frozen=True, slots=True)
class MaxIterations:
    """More model calls than usual in one trace. A measure, no alert: half of all good runs of a service agent pass ten."""

    count: int

    def judge(self, calls: int, span: int) -> Hit | None:
        """A hit when *calls*, the number of model calls in the trace, passes the limit."""
        if calls <= self.count:
            return None
        return Hit(
            type=LOOP,
            rule="loop/max_iterations",
            severity=Severity.LOW,
            subject=0,
            span=span,
            message=f"more than {self.count} model calls in one trace",
            evidence={"limit": self.count},
        )


def _nothing_new(one: Step, other: Step) -> bool:
    return one[B] == other[B] or failed(one)


def _unrecorded(step: Step) -> str:
    return "" if recorded(step) else " (arguments or results were not recorded)"
