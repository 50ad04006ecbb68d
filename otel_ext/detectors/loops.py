"""Loops: the same again, and nothing new comes of it.

What changes each time (polling, paging) is no loop. Nor is what is asked for again after an answer: re-checking in the next turn of a
conversation is what whoever got the answer wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from otel_ext.detectors.base import END, FLAGS, KIND, NAME, SPAN, WINDOW, A, B, Hit, Step, alike, failed, recorded, same_call
from otel_ext.model import Severity
from otel_ext.wire.steps import HANDOFF
from otel_ext.wire.table import StepFlag

LOOP: Final = "loop"
# Answers in between excuse a repetition for this many times the count: nobody asks for the same thing that often.
PATIENCE: Final = 3
_BACKOFF: Final = 1.5  # each wait this many times the one before
_BACKOFF_NS: Final = 200_000_000  # shorter waits are no backoff


@dataclass(frozen=True, slots=True)
class IdenticalCalls:
    """The same tool, arguments and result, `count` times in a row, with no answer to the user in between."""

    count: int

    def judge(self, steps: Sequence[Step], at: int, since: int = 0, /) -> Hit | None:
        """A hit when the run of equal calls that ends here is `count` long within one turn, or PATIENCE times that over several."""
        last = steps[at]
        if failed(last) or last[KIND] == HANDOFF:
            return None
        if self._equal(steps, at, since, self.count):
            return self._hit(last, self.count)
        if self._equal(steps, at, 0, self.count * PATIENCE):
            return self._hit(last, self.count * PATIENCE)
        return None

    @staticmethod
    def _equal(steps: Sequence[Step], at: int, since: int, count: int) -> bool:
        first = at + 1 - count
        last = steps[at]
        return first >= since and all(same_call(step, last) and step[B] == last[B] and not failed(step) for step in steps[first:at])

    @staticmethod
    def _hit(last: Step, count: int) -> Hit:
        return Hit(
            type=LOOP,
            rule="loop/identical_calls",
            severity=Severity.CRITICAL if recorded(last) else Severity.LOW,
            subject=last[NAME],
            tools=(last[NAME],),
            span=last[SPAN],
            message=f"{{tool}} called {count} times in a row with the same arguments and the same result{_unrecorded(last)}",
            evidence={"repeats": count, "arguments_recorded": bool(last[FLAGS] & StepFlag.HAS_ARGUMENTS)},
        )


@dataclass(frozen=True, slots=True)
class FailingCall:
    """The same call fails `count` times, whatever else happens between, until it succeeds once.

    Retries that wait longer each time get as many again.
    """

    count: int

    def judge(self, steps: Sequence[Step], at: int, _since: int = 0, /) -> Hit | None:
        """A hit when this failure is the `count`-th of the same call."""
        last = steps[at]
        if not failed(last):
            return None
        failures = self._failures(steps, at)
        if len(failures) < self.count or (len(failures) < 2 * self.count and backs_off(failures)):
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

    @staticmethod
    def _failures(steps: Sequence[Step], at: int) -> list[int]:
        """When the same call failed, the newest first, back to its last success."""
        last = steps[at]
        ends = []
        for step in reversed(steps[max(0, at + 1 - WINDOW) : at + 1]):
            if same_call(step, last):
                if not failed(step):
                    break
                ends.append(step[END])
        return ends


def backs_off(ends: Sequence[int]) -> bool:
    """Each wait is clearly longer than the one before: *ends* are times in ns, the newest first."""
    waits = [later - earlier for later, earlier in pairwise(ends)]
    return len(waits) > 1 and all(new >= _BACKOFF * old and old >= _BACKOFF_NS for new, old in pairwise(waits))


@dataclass(frozen=True, slots=True)
class ChangingArguments:
    """The arguments walk (a counter, the case of a letter) while the result stays the same, `count` times within one turn.

    Short results are no evidence: "ok" is what a tool that writes says each time.
    """

    count: int

    def judge(self, steps: Sequence[Step], at: int, since: int = 0, /) -> Hit | None:
        """A hit when `count` calls of one shape up to here all had another argument and brought the same result."""
        last = steps[at]
        run = steps[max(since, at + 1 - self.count) : at + 1]
        if len(run) < self.count or not _telling(last) or not all(_same_shape(step, last) for step in run):
            return None
        if len({step[A] for step in run}) < self.count:
            return None
        return Hit(
            type=LOOP,
            rule="loop/changing_arguments",
            severity=Severity.MEDIUM,
            subject=last[NAME],
            tools=(last[NAME],),
            span=last[SPAN],
            message=f"{{tool}} called {self.count} times in a row with arguments that differ in a number only, always with the same result",
            evidence={"repeats": self.count, "failed": failed(last)},
        )


@dataclass(frozen=True, slots=True)
class Cycle:
    """A sequence of calls of period 2 to `period`, `repeats` times over within one turn. Period 1 is IdenticalCalls."""

    period: int
    repeats: int

    def judge(self, steps: Sequence[Step], at: int, since: int = 0, /) -> Hit | None:
        """A hit when the calls up to here repeat with one of the periods."""
        for period in range(2, self.period + 1):
            length = period * self.repeats
            if at + 1 - since >= length and self._repeats(steps[at + 1 - length : at + 1], period):
                return self._hit(steps[at + 1 - period : at + 1])
        return None

    @staticmethod
    def _repeats(run: Sequence[Step], period: int) -> bool:
        if all(same_call(step, run[0]) for step in run[1:period]):
            return False  # the same call throughout: another rule's fact
        return all(same_call(run[i], run[i - period]) and _nothing_new(run[i], run[i - period]) for i in range(period, len(run)))

    def _hit(self, turn: Sequence[Step]) -> Hit:
        last = turn[-1]
        handoffs = all(step[KIND] == HANDOFF for step in turn)
        what = "hand-offs" if handoffs else "calls"
        return Hit(
            type=LOOP,
            rule="loop/handoffs" if handoffs else "loop/cycle",
            severity=self._severity(turn, handoffs=handoffs),
            # whichever call of the cycle came last, the fact is the same
            subject=hash(tuple(sorted({step[NAME] for step in turn}))),
            # whichever call comes last: that depends on where the watching began
            tools=tuple({step[NAME] for step in turn}),
            span=last[SPAN],
            message=f"a cycle of {len(turn)} {what} ({{tool}}) went round {self.repeats} times{'' if handoffs else _unrecorded(last)}",
            evidence={"period": len(turn), "repeats": self.repeats},
        )

    @staticmethod
    def _severity(turn: Sequence[Step], *, handoffs: bool) -> Severity:
        if handoffs:
            return Severity.MEDIUM  # what agents tell each other is rarely recorded
        return Severity.CRITICAL if all(map(recorded, turn)) else Severity.LOW


@dataclass(frozen=True, slots=True)
class IdenticalOutput:
    """The model writes the same text `count` times. Short texts are greetings, not loops."""

    count: int

    def judge(self, steps: Sequence[Step], at: int, _since: int = 0, /) -> Hit | None:
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


def _telling(step: Step) -> bool:
    """The result is recorded, and an error or more than a word."""
    return step[FLAGS] & StepFlag.HAS_RESULT != 0 and (failed(step) or not step[FLAGS] & StepFlag.SHORT_RESULT)


def _same_shape(one: Step, other: Step) -> bool:
    return one[NAME] == other[NAME] and alike(one[A]) == alike(other[A]) and one[B] == other[B] and failed(one) == failed(other)
