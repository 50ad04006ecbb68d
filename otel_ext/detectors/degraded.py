"""Degraded output: what the model wrote is empty, cut off, or turns in circles. Told by marks that the codec set where the bytes are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from otel_ext.detectors.base import END, FLAGS, SPAN, Hit, Step
from otel_ext.detectors.runs import Run
from otel_ext.model import Severity
from otel_ext.wire.table import StepFlag

DEGRADED = "degraded_output"
# plain numbers: a member of an enum costs ten times as much to compare with
_REPETITIVE: Final = int(StepFlag.REPETITIVE)
_EMPTY: Final = int(StepFlag.EMPTY)
_TRUNCATED: Final = int(StepFlag.TRUNCATED)


@dataclass(frozen=True, slots=True)
class DegradedOutput:
    """The last thing the model wrote in a run, and repetition in any of it."""

    def judge(self, run: Run) -> Iterator[Hit]:
        """One hit a kind of damage."""
        for step in run.models:
            if step[FLAGS] & _REPETITIVE:
                message = "the model's text repeats itself: fewer than three in ten of its words are different ones"
                yield _hit("degraded_output/repetitive", step, Severity.MEDIUM, message)
                break
        if not run.models or run.error:
            return
        last = run.models[-1]
        if run.calls and run.calls[-1][END] > last[END]:
            return  # the answer, if there is one, was not seen
        if last[FLAGS] & _EMPTY:
            yield _hit("degraded_output/empty", last, Severity.MEDIUM, "the run ended with an empty answer: no text, and no tool call")
        if last[FLAGS] & _TRUNCATED:
            yield _hit("degraded_output/truncated", last, Severity.MEDIUM, "the run ended with an answer cut off by the length limit")


def _hit(rule: str, step: Step, severity: Severity, message: str) -> Hit:
    return Hit(type=DEGRADED, rule=rule, severity=severity, subject=0, span=step[SPAN], message=message)
