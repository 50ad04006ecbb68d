"""`instrument_mcp_tool` around every kind of function."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode

from otel_ext import instrument_mcp_tool
from tests.sdk.kit import App


@pytest.fixture
def app() -> App:
    return App()


def test_a_function(app: App) -> None:
    """Name, kind and what the conventions ask for; arguments and results are not recorded unless asked for."""

    @instrument_mcp_tool(tracer_provider=app.provider)
    def search(q: str, limit: int = 3) -> str:
        """Look things up."""
        assert trace.get_current_span().is_recording()
        return f"{q} {limit}"

    assert search("x") == "x 3"
    span = app.spans["execute_tool search"]
    given = dict(span.attributes)
    assert given.pop("langfuse.observation.metadata.tempo_span_id") == trace.format_span_id(span.context.span_id)
    assert (
        given.pop("langfuse.trace.metadata.tempo_trace_id")
        == given.pop("langfuse.trace_id")
        == trace.format_trace_id(span.context.trace_id)
    )
    assert given == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "search",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.description": "Look things up.",
        "mcp.method.name": "tools/call",
        "mcp.tool": "search",
    }
    assert search.__name__ == "search"
    assert list(inspect.signature(search).parameters) == ["q", "limit"]


def test_arguments_and_results_when_asked_for(app: App) -> None:
    """Cut at the limit, through the mask."""

    def mask(value: Any) -> Any:
        return {**value, "password": "***"} if isinstance(value, dict) else value

    @instrument_mcp_tool(name="log_in", record_arguments=True, record_results=True, limit=40, mask=mask, tracer_provider=app.provider)
    def log_in(user: str, password: str) -> str:
        return "y" * 100

    log_in("ann", password="secret")
    given = app.spans["execute_tool log_in"].attributes
    assert given["gen_ai.tool.call.arguments"] == '{"user": "ann", "password": "***"}'
    assert given["gen_ai.tool.call.result"] == "y" * 39 + "…"


def test_a_mask_that_raises_hides_everything(app: App) -> None:
    """Nothing leaks, and the tool runs."""

    def broken(value: Any) -> Any:
        raise RuntimeError

    @instrument_mcp_tool(record_arguments=True, record_results=True, mask=broken, tracer_provider=app.provider)
    def tool(secret: str) -> str:
        return secret

    assert tool("s") == "s"
    assert app.spans["execute_tool tool"].attributes["gen_ai.tool.call.arguments"] == "(could not be recorded)"


@pytest.mark.parametrize("different", [False, True])
def test_loops_are_found_though_nothing_is_recorded(app: App, different: bool) -> None:
    """Arguments and results are compared in memory: the same three times is a loop, three pages are none."""

    @instrument_mcp_tool(tracer_provider=app.provider)
    def fetch(page: int) -> str:
        return f"page {page}"

    with app.agent():
        for number in range(3):
            fetch(number if different else 1)
    assert [(finding.rule, str(finding.severity)) for finding in app.findings] == (
        [] if different else [("loop/identical_calls", "critical")]
    )
    assert all("gen_ai.tool.call.arguments" not in span.attributes for span in app.memory.get_finished_spans())


async def test_coroutines_and_methods(app: App) -> None:
    """Also a class method; `self` is no argument."""

    class Tools:
        @instrument_mcp_tool(record_arguments=True, tracer_provider=app.provider)
        async def one(self, q: str) -> str:
            await asyncio.sleep(0)
            return q

        @instrument_mcp_tool(record_arguments=True, tracer_provider=app.provider)
        @classmethod
        def two(cls, q: str) -> str:
            return q

        @instrument_mcp_tool(record_arguments=True, tracer_provider=app.provider)
        @staticmethod
        def three(q: str) -> str:
            return q

    assert inspect.iscoroutinefunction(Tools().one)
    assert await Tools().one("a") == Tools.two("a") == Tools().three("a") == "a"
    assert {span.attributes["gen_ai.tool.call.arguments"] for span in app.memory.get_finished_spans()} == {'{"q": "a"}'}


def test_a_generator(app: App) -> None:
    """One span over all of it; between two items the context is the caller's; what is sent in arrives."""
    inside: list[bool] = []

    @instrument_mcp_tool(record_results=True, tracer_provider=app.provider)
    def count(limit: int) -> Iterator[int]:
        for number in range(limit):
            inside.append(trace.get_current_span().is_recording())
            yield number

    got = []
    for number in count(3):
        got.append(number)
        assert not trace.get_current_span().is_recording()
    assert (got, inside) == ([0, 1, 2], [True, True, True])
    assert app.spans["execute_tool count"].attributes["gen_ai.tool.call.result"] == "[0, 1, 2]"
    stopped = count(5)
    next(stopped)
    stopped.close()
    assert len(app.memory.get_finished_spans()) == 2


async def test_an_async_generator(app: App) -> None:
    """The same; an exception inside is the span's."""

    @instrument_mcp_tool(tracer_provider=app.provider)
    async def stream() -> AsyncIterator[int]:
        yield 1
        assert trace.get_current_span().is_recording()
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):  # noqa: PT012
        async for _ in stream():
            assert not trace.get_current_span().is_recording()
    span = app.spans["execute_tool stream"]
    assert (span.status.status_code, span.attributes["error.type"]) == (StatusCode.ERROR, "ValueError")


def test_errors(app: App) -> None:
    """What raises is raised on; a result that says isError is one."""

    class Result:
        is_error = True

    @instrument_mcp_tool(tracer_provider=app.provider)
    def tool(kind: str) -> Any:
        if kind == "raise":
            raise KeyError("x")
        return {"isError": True} if kind == "dict" else Result()

    with pytest.raises(KeyError):
        tool("raise")
    assert app.spans["execute_tool tool"].attributes["error.type"] == "KeyError"
    for kind in ("dict", "model"):
        tool(kind)
        assert app.spans["execute_tool tool"].attributes["error.type"] == "tool_error"
        assert app.spans["execute_tool tool"].status.status_code is StatusCode.ERROR


def test_the_trace_parent_parameter(app: App) -> None:
    """Becomes the parent, and never reaches the tool."""

    @instrument_mcp_tool(record_arguments=True, tracer_provider=app.provider)
    def tool(**arguments: Any) -> list[str]:
        return sorted(arguments)

    assert tool(q=1, _trace_parent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01") == ["q"]
    span = app.spans["execute_tool tool"]
    assert span.parent is not None
    assert trace.format_trace_id(span.context.trace_id) == "0af7651916cd43dd8448eb211c80319c"
    assert "_trace_parent" not in span.attributes["gen_ai.tool.call.arguments"]


def test_without_any_provider_the_tool_just_runs() -> None:
    """No SDK, no span, no harm."""

    @instrument_mcp_tool
    def tool() -> int:
        return 1

    assert tool() == 1
