"""Loops, on rows: what repeats and brings nothing new is one, what brings something new is none."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from otel_ext.detectors.base import Step, StepRule
from otel_ext.detectors.loops import Cycle, FailingCall, IdenticalCalls, IdenticalOutput, MaxIterations
from otel_ext.model import Severity, StepKind
from otel_ext.wire.table import StepFlag

RECORDED = StepFlag.HAS_ARGUMENTS | StepFlag.HAS_RESULT
SEARCH, CALCULATE, BOOK = 2, 3, 4


def call(tool: int = SEARCH, arguments: int = 7, result: int = 9, *, error: bool = False, flags: int = RECORDED) -> Step:
    return (0, 0, StepKind.TOOL, flags | (StepFlag.ERROR if error else 0), tool, arguments, result, 0)


def text(output: int) -> Step:
    return (0, 0, StepKind.LLM, 0, 5, output, 0, 0)


def hits(rule: StepRule, steps: Sequence[Step]) -> list[int]:
    """The positions at which the rule has something to say."""
    return [at for at in range(len(steps)) if rule.judge(steps, at)]


def test_identical_calls_hit_at_the_nth_in_a_row() -> None:
    """Three equal calls are a loop; two are not."""
    assert hits(IdenticalCalls(3), [call()] * 2) == []
    assert hits(IdenticalCalls(3), [call()] * 4) == [2, 3]


@pytest.mark.parametrize("other", [call(arguments=8), call(result=8), call(tool=BOOK), call(error=True)])
def test_identical_calls_need_everything_equal(other: Step) -> None:
    """Other arguments, a new result (polling), another tool or a failure in between break the run."""
    assert hits(IdenticalCalls(3), [call(), call(), other, call(), call()]) == []


def test_what_was_not_recorded_is_no_alert() -> None:
    """Where arguments and results are off, equal is only a guess: low, and said."""
    hit = IdenticalCalls(3).judge([call(arguments=0, result=0, flags=0)] * 3, 2)
    assert hit is not None
    assert hit.severity is Severity.LOW
    assert "not recorded" in hit.message


def test_failing_call_counts_across_other_calls() -> None:
    """The same call failing three times is a loop, whatever happens between."""
    steps = [call(BOOK, error=True), call(), call(BOOK, error=True, result=1), call(CALCULATE), call(BOOK, error=True, result=2)]
    assert hits(FailingCall(3), steps) == [4]


def test_a_success_ends_a_failing_run() -> None:
    """Retries that succeed are what retries are for."""
    steps = [call(BOOK, error=True), call(BOOK, error=True), call(BOOK), call(BOOK, error=True)]
    assert hits(FailingCall(3), steps) == []


@pytest.mark.parametrize("period", [2, 3])
def test_cycles_hit_when_they_went_round_often_enough(period: int) -> None:
    """Periods of 2 and 3, three times over; whichever call ends it, it is one fact."""
    turn = [call(tool) for tool in (SEARCH, CALCULATE, BOOK)[:period]]
    steps = turn * 4
    found = hits(Cycle(3, 3), steps)
    assert found[0] == 3 * period - 1
    subjects = {hit.subject for at in found if (hit := Cycle(3, 3).judge(steps, at))}
    assert len(subjects) == 1


def test_a_cycle_with_new_results_is_none() -> None:
    """Searching and reading in turns, with something new each time, is work."""
    steps = [step for number in range(5) for step in (call(SEARCH, result=number), call(CALCULATE, result=number))]
    assert hits(Cycle(3, 3), steps) == []


def test_a_cycle_of_one_call_is_another_rules_fact() -> None:
    """The same call nine times is IdenticalCalls."""
    assert hits(Cycle(3, 3), [call()] * 9) == []


def test_identical_output_needs_a_text() -> None:
    """Model calls without text (only tool calls) are not equal texts."""
    assert hits(IdenticalOutput(3), [text(0)] * 5) == []
    assert hits(IdenticalOutput(3), [text(4), text(6), text(4), text(4)]) == [3]


def test_max_iterations_is_a_measure() -> None:
    """Low, and only past the limit."""
    assert MaxIterations(10).judge(10, 1) is None
    hit = MaxIterations(10).judge(11, 1)
    assert hit is not None
    assert hit.severity is Severity.LOW
