"""`watch` and `expect_tools`: the run hears of itself."""

from __future__ import annotations

import asyncio
import threading

import pytest
from opentelemetry import trace

from otel_ext import AgentStopped, Finding, ToolsMissing, expect_tools, watch
from tests.sdk.kit import App


@pytest.mark.parametrize("limit", [2, 3, 5])
def test_a_loop_is_stopped_at_the_right_call(limit: int) -> None:
    """After the call that makes it one, before the next."""
    app, made = App(), 0
    with pytest.raises(AgentStopped, match="identical_calls") as stopped, app.agent(), watch(max_identical_calls=limit) as run:  # noqa: PT012
        while made < 10:
            app.tool()
            made += 1
            run.raise_if_found("loop")
    assert made == limit
    assert stopped.value.finding.evidence["tool"] == "search"
    marked = [span for span in app.memory.get_finished_spans() if "otel_ext.findings" in span.attributes]
    assert len(marked) == (2 if limit == 5 else 1)  # the processor judges by its own count, too


def test_a_run_without_an_agent_span() -> None:
    """Each call is a trace of its own, and still one run; the finding names the trace of the last."""
    app = App()
    with watch() as run:
        for _ in range(3):
            app.tool()
    finding = run.found("loop")
    assert finding is not None
    last = app.memory.get_finished_spans()[-1].context
    assert (finding.trace_id.hex(), finding.span_id.hex()) == (trace.format_trace_id(last.trace_id), trace.format_span_id(last.span_id))
    assert [each.rule for each in app.findings] == ["loop/identical_calls"]


def test_only_what_was_asked_for() -> None:
    """By type, by rule, or anything; low ones only where they were asked for."""
    app = App()
    with watch(max_iterations=2) as run:
        for number in range(3):
            app.chat(f"text {number}")
    assert run.found("loop/max_iterations")
    assert run.found()
    assert run.found("tool_skipping") is None
    assert run.found("loo") is None
    with watch() as calm:
        for number in range(30):
            app.chat(f"text {number}")
    assert calm.findings == []


async def test_a_task_is_cancelled_by_its_finding() -> None:
    """on_finding runs in the task; cancelling it ends the run at its next await."""
    app, made = App(), []

    async def run() -> str:
        task = asyncio.current_task()
        assert task is not None
        try:
            with watch(on_finding=lambda _: task.cancel()):
                for number in range(10):
                    app.tool()
                    made.append(number)
                    await asyncio.sleep(0)
        except asyncio.CancelledError:
            task.uncancel()
            return "fallback"
        return "answer"

    assert await run() == "fallback"
    assert made == [0, 1, 2]


async def test_runs_side_by_side() -> None:
    """Each block hears of its own run only, in tasks and in threads."""
    app = App()

    async def run(loops: bool) -> bool:
        with app.agent(), watch() as each:
            for number in range(4):
                await asyncio.to_thread(app.tool, "search", "{}" if loops else f'{{"n": {number}}}')
        return each.found("loop") is not None

    assert await asyncio.gather(run(True), run(False), run(True)) == [True, False, True]


def test_a_thread_without_the_context_belongs_to_its_trace() -> None:
    """A span that starts elsewhere, in the same trace, counts."""
    app = App()
    with app.agent() as agent, watch() as run:
        app.chat()
        parent = trace.set_span_in_context(agent)

        def work() -> None:
            given = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.call.arguments": "{}", "gen_ai.tool.call.result": "x"}
            app.tracer.start_span("execute_tool search", context=parent, attributes={**given, "gen_ai.tool.name": "search"}).end()

        for _ in range(3):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
    assert run.found("loop")


def test_bad_bounds_are_refused() -> None:
    """Where the rule could not see that far."""
    with pytest.raises(ValueError, match="max_identical_calls: 1, allowed are 2 to 16"):
        watch(max_identical_calls=1)
    with pytest.raises(ValueError, match="names of tools"):
        expect_tools()


def test_missing_tools_are_returned_and_reported() -> None:
    """Inside the agent's span: told once, at the end of the block, on that span."""
    app = App()
    with app.agent():
        app.chat()
        with expect_tools("search", "calculate") as expected:
            app.tool("search")
            app.tool("calculate", error=True)
        assert expected.missing == ("calculate",)
        assert [(f.rule, f.evidence["tools"], f.evidence["attempted"]) for f in app.findings] == [
            ("tool_skipping/expected", ["calculate"], ["calculate"])
        ]
    assert len(app.findings) == 1
    agent = app.spans["invoke_agent planner"].attributes
    assert agent["otel_ext.expected_tools"] == ("search", "calculate")
    assert agent["otel_ext.findings"] == ("tool_skipping/expected",)


def test_around_the_agent_it_is_told_once() -> None:
    """The agent's own end tells of it; the block does not tell again."""
    app = App()
    with expect_tools("search") as expected, app.agent():
        app.chat("no")
    assert expected.missing == ("search",)
    assert [(f.rule, f.agent) for f in app.findings] == [("tool_skipping/expected", "planner")]


def test_nothing_missing_is_quiet() -> None:
    """All called: no finding."""
    app = App()
    with app.agent(), expect_tools("search") as expected:
        app.chat()
        app.tool("search")
    assert expected.missing == ()
    assert app.findings == []


async def test_the_decorator() -> None:
    """Sync and async; raised only when asked for, and never over the function's own error."""
    app = App()

    @expect_tools("search", raise_missing=True)
    def plain(call: bool) -> str:
        if call:
            app.tool("search")
        return "done"

    @expect_tools("search", raise_missing=True)
    async def asynchronous() -> None:
        await asyncio.sleep(0)
        app.chat()
        raise KeyError("own")

    assert plain(call=True) == "done"
    with pytest.raises(ToolsMissing, match="not called: search") as error:
        plain(call=False)
    assert error.value.missing == ("search",)
    with pytest.raises(KeyError):
        await asynchronous()


def test_without_a_processor_nothing_is_claimed(caplog: pytest.LogCaptureFixture) -> None:
    """It says so, and accuses nobody."""
    import gc

    gc.collect()
    from otel_ext.sdk import scopes

    for source in list(scopes.sources):
        source.shutdown()
    with expect_tools("search", raise_missing=True) as expected:
        pass
    assert expected.missing == ()
    assert "no AgentSpanProcessor" in caplog.text


def test_findings_of_a_run_include_those_of_the_processor() -> None:
    """What is found when an agent ends, for one."""
    heard: list[Finding] = []
    app = App()
    with watch(on_finding=heard.append) as run, app.agent(**{"otel_ext.expected_tools": ["search"]}):
        app.chat("no")
    assert run.found("tool_skipping") is heard[0]
