"""Tool skipping, on runs: what was expected or asked for, against what was called."""

from __future__ import annotations

import pytest

from otel_ext.detectors.base import Step
from otel_ext.detectors.runs import Request, Run
from otel_ext.detectors.skipping import Expected, RequestedNotExecuted
from otel_ext.model import Severity, StepKind
from otel_ext.settings import Expectation
from otel_ext.wire.table import StepFlag

NAMES = [
    "",
    "__other__",
    "planner",
    "support",
    "search",
    "calculate",
    "lookup",
    "refund",
    "delete",
    "final_answer",
    "transfer_to_x",
    "sub",
    "shop",
]
AGENT, SERVICE, SEARCH, CALCULATE = NAMES.index("planner"), NAMES.index("shop"), NAMES.index("search"), NAMES.index("calculate")
RECORDED = StepFlag.HAS_ARGUMENTS | StepFlag.HAS_RESULT


def call(tool: str, at: int = 10, *, error: bool = False, call_id: int = 0, flags: int = RECORDED) -> Step:
    return (at, at, StepKind.TOOL, flags | (StepFlag.ERROR if error else 0), NAMES.index(tool), 1, 1, call_id)


def chat(at: int) -> Step:
    return (at, at, StepKind.LLM, 0, 0, 0, 100, 0)


def run(*calls: Step, agent: str = "planner", **more: object) -> Run:
    fields: dict[str, object] = {"agent": NAMES.index(agent), "service": SERVICE, "span": 77, "start": 0, "end": 100, "error": False}
    return Run(**{**fields, "calls": calls, "tools_visible": bool(calls), **more})  # type: ignore[arg-type]


def expected(*expectations: Expectation) -> Expected:
    return Expected(expectations, lambda number: NAMES[number], NAMES.index)


def asked(tool: str, at: int = 5, *, answered: bool = False, refused: bool = False, call_id: int = 1) -> Request:
    return Request(call_id, NAMES.index(tool), at, at, answered, refused)


REQUIRE = Expectation(agent="plan*", require=("search", "calculate"))


def test_a_run_with_all_required_calls_is_clean() -> None:
    """Nothing is said of a run that did what it should."""
    assert not list(expected(REQUIRE).judge(run(call("search"), call("calculate"))))


def test_missing_tools_are_named() -> None:
    """One finding a run, with every missing tool."""
    (hit,) = expected(REQUIRE).judge(run(call("search")))
    assert hit.severity is Severity.CRITICAL
    assert hit.evidence["tools"] == ["calculate"]


def test_a_failed_call_is_not_a_call() -> None:
    """But the evidence says that it was attempted, and that is no alert."""
    (hit,) = expected(REQUIRE).judge(run(call("search"), call("calculate", error=True)))
    assert hit.evidence["attempted"] == ["calculate"]
    assert hit.severity is Severity.MEDIUM


def test_other_agents_are_left_alone() -> None:
    """The glob decides; an agent without a name goes by its service."""
    assert not list(expected(REQUIRE).judge(run(agent="support")))
    assert list(expected(Expectation(agent="shop", require=("search",))).judge(run(agent="")))


def test_any_of_wants_one() -> None:
    """One of the list is enough."""
    rule = expected(Expectation(agent="*", any_of=(("search", "lookup"),)))
    assert not list(rule.judge(run(call("lookup"))))
    assert [hit.evidence["expectation"] for hit in rule.judge(run(call("calculate")))] == ["any_of"]


def test_before_wants_an_order() -> None:
    """The first must have succeeded before the second is called."""
    rule = expected(Expectation(agent="*", before=(("lookup", "refund"),)))
    assert not list(rule.judge(run(call("lookup"), call("refund"))))
    assert not list(rule.judge(run(call("lookup"))))
    assert list(rule.judge(run(call("refund"), call("lookup"))))
    assert list(rule.judge(run(call("lookup", error=True), call("refund"))))


def test_forbidden_tools_are_never_called() -> None:
    """Also a failed attempt counts."""
    rule = expected(Expectation(agent="*", forbid=("delete",)))
    assert not list(rule.judge(run(call("search"))))
    assert list(rule.judge(run(call("delete", error=True))))


def test_a_span_can_state_its_own_expectation() -> None:
    """`otel_ext.expected_tools` needs no configuration."""
    (hit,) = expected().judge(run(call("search"), expected=(SEARCH, CALCULATE)))
    assert hit.evidence["tools"] == ["calculate"]


def requested(the_run: Run) -> list[tuple[str, Severity]]:
    return [(NAMES[hit.tools[0]], hit.severity) for hit in RequestedNotExecuted(lambda number: NAMES[number]).judge(the_run)]


def test_a_request_without_a_trace_is_an_alert_when_the_model_went_on() -> None:
    """The model asked, nothing happened, and it answered all the same."""
    assert requested(run(call("search", call_id=9), requests=[asked("calculate")], models=[chat(5), chat(50)])) == [
        ("calculate", Severity.HIGH)
    ]


def test_a_request_at_the_end_of_a_run_is_no_alert() -> None:
    """A limit struck, or a client runs the tool: medium."""
    assert requested(run(requests=[asked("calculate")], models=[chat(5)])) == [("calculate", Severity.MEDIUM)]


def test_tool_spans_without_an_id_match_by_name() -> None:
    """Each one settles one request of its name."""
    two = [asked("search", 5), asked("search", 6, call_id=2)]
    assert requested(run(call("search"), requests=two[:1])) == []
    assert requested(run(call("search"), requests=two)) == [("search", Severity.MEDIUM)]


def test_a_refused_request_is_reported_below_alert() -> None:
    """Unknown tools and guards answer with an error: a fact, no silent failure."""
    assert requested(run(requests=[asked("calculate", answered=True, refused=True)])) == [("calculate", Severity.MEDIUM)]


def test_a_refusal_of_a_call_that_ran_is_a_result() -> None:
    """`not found` can be an honest answer of a tool that ran."""
    assert requested(run(call("search"), requests=[asked("search", answered=True, refused=True)])) == []


@pytest.mark.parametrize("tool", ["final_answer", "transfer_to_x", "sub"])
def test_output_tools_handoffs_and_agents_are_no_tools(tool: str) -> None:
    """They are asked for like tools and show otherwise, or not at all."""
    assert requested(run(requests=[asked(tool)], agents=frozenset({NAMES.index("sub")}))) == []


def test_an_answer_is_enough_where_tool_spans_are_invisible() -> None:
    """Instrumentation of the model client alone shows no tool span, ever."""
    assert requested(run(requests=[asked("calculate", answered=True)])) == []


def test_a_request_without_an_id_proves_nothing_where_tool_spans_are_invisible() -> None:
    """No answer can be told to be its own. Where other calls have spans, it is reported."""
    model = RequestedNotExecuted(lambda number: NAMES[number])
    assert not list(model.judge(run(requests=[asked("lookup", call_id=-1)], models=[chat(20)])))
    assert list(model.judge(run(call("search"), requests=[asked("lookup", call_id=-1)], models=[chat(20)])))


def test_a_withheld_call_is_reported() -> None:
    """A tool span with arguments, but neither result nor error, does not show that the tool ran."""
    hollow = call("calculate", flags=StepFlag.HAS_ARGUMENTS)
    assert requested(run(hollow, requests=[asked("calculate")])) == [("calculate", Severity.MEDIUM)]


def test_outstanding_until_every_request_has_a_span_or_an_answer() -> None:
    """And while nothing was seen of a run."""
    assert run().outstanding
    assert not run(call("search")).outstanding
    assert run(call("search"), requests=[asked("calculate")]).outstanding
    assert not run(call("search"), requests=[asked("calculate", answered=True)]).outstanding
