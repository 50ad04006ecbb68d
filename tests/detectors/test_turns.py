"""What an answer in between changes, and the loops that show only over calls of one shape or over whole runs."""

from __future__ import annotations

import pytest

from otel_ext.detectors.circles import Recursion
from otel_ext.detectors.runs import Run
from otel_ext.model import Finding, StepKind
from otel_ext.settings import Detect, Loop, Settings
from otel_ext.testing import AgentRun, findings_of

LONG = "a result that is long enough to be more than an acknowledgement, as a page of a list would be"


def rules(run: AgentRun, settings: Settings | None = None) -> dict[str, Finding]:
    return {finding.rule: finding for finding in findings_of(run, settings=settings or Settings())}


def test_asking_again_in_the_next_turn_is_no_loop() -> None:
    """The user answers in between: whoever asks again wants it checked again."""
    run = AgentRun("support")
    for turn in range(4):
        run.call("get_line", {"id": 7}, "active").says(f"Please restart the phone, step {turn}.")
    assert rules(run) == {}


def test_asking_again_within_a_turn_is_one() -> None:
    """A text that leads to the next call is no answer: the agent only thinks aloud."""
    run = AgentRun("support")
    for _ in range(3):
        run.call("get_line", {"id": 7}, "active")
    assert set(rules(run)) == {"loop/identical_calls"}


def test_patience_ends() -> None:
    """Nine times the same call and result are a loop, whatever was said in between."""
    run = AgentRun("support")
    for turn in range(9):
        run.call("get_line", {"id": 7}, "active").says(f"Still looking into it, this is message number {turn} of mine.")
    assert "loop/identical_calls" in rules(run)


def test_a_counter_that_walks() -> None:
    """Five pages with the same content: the counter moves, nothing else does."""
    run = AgentRun("reader")
    for page in range(5):
        run.call("list_orders", {"page": page}, LONG)
    found = rules(run)
    assert set(found) == {"loop/changing_arguments"}
    assert found["loop/changing_arguments"].evidence["repeats"] == 5


@pytest.mark.parametrize("result", ["ok", None], ids=["acknowledged", "new each time"])
def test_paging_and_writing_are_no_walks(result: str | None) -> None:
    """A tool that writes says "ok" each time; a page brings something new."""
    run = AgentRun("reader")
    for page in range(8):
        run.call("save_row", {"row": page}, result or f"{LONG} {page}")
    assert rules(run) == {}


def test_a_rule_can_be_switched_off_for_one_agent() -> None:
    """`rule@agent`: others still hear of it."""
    quiet = Settings(detect=Detect(disable=("loop/identical_calls@poll*",)))
    for agent, expected in (("poller", set()), ("support", {"loop/identical_calls"})):
        run = AgentRun(agent)
        for _ in range(3):
            run.call("get_line", {"id": 7}, "active")
        assert set(rules(run, quiet)) == expected


def test_retries_that_back_off_get_more_time() -> None:
    """Waits that grow are retries; without an end they are a loop all the same."""
    run = AgentRun("booker")
    for number in range(6):
        run.call("book", {"id": 1}, "no", error="Timeout")
        run.waits(0.5 * 3**number)
        if number == 3:
            assert rules(run) == {}
    assert set(rules(run)) == {"loop/failing_call"}


def test_counts_come_from_the_settings() -> None:
    """Two equal calls, where two were asked to be enough."""
    run = AgentRun("support").call("get_line", {"id": 7}, "active").call("get_line", {"id": 7}, "active")
    assert set(rules(run, Settings(detect=Detect(loop=Loop(identical_calls=2))))) == {"loop/identical_calls"}


def nested(spans: list[tuple[int, int]], models: list[int]) -> Run:
    """Runs of one agent by start and end in seconds, the first around all; model calls by their ends."""
    second = 1_000_000_000
    inner = [(end * second, number, StepKind.AGENT, 0, 7, 0, (end - start) * 1000, 0) for number, (start, end) in enumerate(spans, 1)]
    calls = [(end * second, 100 + number, StepKind.LLM, 0, 3, 0, 10, 0) for number, end in enumerate(models)]
    start, end = spans[0]
    return Run(agent=7, service=1, span=1, start=start * second, end=end * second, error=False, models=calls, inner=sorted(inner))


@pytest.mark.parametrize(
    ("spans", "depth"),
    [
        ([(0, 100), (10, 90), (20, 80), (30, 70)], 4),
        ([(0, 100), (10, 90), (20, 80), (30, 70), (60, 85)], 0),
        ([(0, 100), (1, 90), (1, 80), (1, 70)], 0),
        ([(0, 100), (10, 20), (30, 40), (50, 60)], 0),
    ],
    ids=["inside itself", "overlapping", "started at once", "one after the other"],
)
def test_runs_side_by_side_are_not_inside_themselves(spans: list[tuple[int, int]], depth: int) -> None:
    """Sub-agents of one name that run in parallel lie inside one another by chance."""
    hits = list(Recursion(4).judge(nested(spans, [5, 15, 25, 35])))
    assert [hit.evidence["depth"] for hit in hits] == ([depth] if depth else [])
