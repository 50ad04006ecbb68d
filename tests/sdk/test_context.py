"""Context out of one process and into the next: every carrier, and whatever strangers put into one."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage, trace
from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.context import get_current as current_context

from otel_ext import extract_context, inject_trace_context
from otel_ext.sdk import carriers
from tests.sdk.kit import App

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE = "0af7651916cd43dd8448eb211c80319c"


def trace_of(context: Context) -> str:
    return trace.format_trace_id(trace.get_current_span(context).get_span_context().trace_id)


CARRIERS: dict[str, Any] = {
    "headers": {"TraceParent": PARENT, "Accept": "*/*"},
    "bytes headers": {b"traceparent": PARENT.encode()},
    "asgi": [(b"host", b"x"), (b"traceparent", PARENT.encode())],
    "kafka": [("traceparent", PARENT.encode()), ("other", b"\xff")],
    "list values": {"traceparent": [PARENT]},
    "mcp params": {"name": "search", "arguments": {}, "_meta": {"traceparent": PARENT}},
    "parameter": {"q": "x", "_trace_parent": PARENT},
}


@pytest.mark.parametrize("name", CARRIERS)
def test_every_carrier_is_read(name: str) -> None:
    """Text or bytes, dict or pairs, in any case."""
    assert trace_of(extract_context(CARRIERS[name], context=Context())) == TRACE


def test_the_parameter_is_gone_before_the_tool_sees_it() -> None:
    """Taken out, also when `_meta` has precedence, and also when it is malformed."""
    for given_value in (PARENT, "nonsense"):
        arguments = {"q": "x", "_trace_parent": given_value, "_meta": {"traceparent": PARENT}}
        assert trace_of(extract_context(arguments, context=Context())) == TRACE
        assert "_trace_parent" not in arguments


@pytest.mark.parametrize("make", [dict, list], ids=["dict", "pairs"])
def test_what_goes_in_comes_out(make: Any) -> None:
    """traceparent, baggage, and the id by which Langfuse knows the trace."""
    app = App()
    with app.agent() as span:
        app.chat()
        span.set_attribute("langfuse.trace_id", "lf-1")
        token = attach(baggage.set_baggage("user.id", "ü 1"))
        carrier = inject_trace_context(make())
        detach(token)
    context = extract_context(carrier, context=Context())
    assert trace_of(context) == trace.format_trace_id(span.get_span_context().trace_id)
    assert baggage.get_all(context) == {"user.id": "ü 1", "langfuse_trace_id": "lf-1"}
    again = inject_trace_context(carrier, context=context)
    assert len(again) == len(make(carrier))


def test_the_next_service_has_the_langfuse_id_on_its_spans() -> None:
    """Through baggage, from the first span on."""
    here, there = App(), App()
    with here.agent():
        here.chat()
        with here.tracer.start_as_current_span("GET"):
            carrier = inject_trace_context({})
    token = attach(extract_context(carrier, context=Context()))
    with there.tracer.start_as_current_span("handle"):
        pass
    detach(token)
    agent = here.spans["invoke_agent planner"].context
    assert there.spans["handle"].attributes["langfuse.trace_id"] == trace.format_trace_id(agent.trace_id)
    assert there.spans["handle"].context.trace_id == agent.trace_id


def test_parameter_mode_fills_one_key() -> None:
    """For arguments of a tool whose server cannot read `_meta`."""
    with App().agent():
        assert list(inject_trace_context({"q": "x"}, parameter=True)) == ["q", "_trace_parent"]
    assert inject_trace_context({}, parameter=True, context=Context()) == {}


BAD = ["", "00-0-0-01", PARENT.replace("0af7", "zzzz"), "00-" + "0" * 32 + "-b7ad6b7169203331-01", "x" * 10_000, None, 7, ["x"], {"a": 1}]


@pytest.mark.parametrize("bad", BAD, ids=range(len(BAD)))
def test_malformed_values_are_ignored_and_counted(bad: Any) -> None:
    """The context stays as it was."""
    before = carriers.malformed["traceparent"]
    base = baggage.set_baggage("k", "v", Context())
    assert extract_context({"traceparent": bad}, context=base) == base
    assert carriers.malformed["traceparent"] == before + 1


@given(
    st.recursive(
        st.none() | st.text() | st.binary() | st.integers() | st.floats(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["traceparent", "tracestate", "baggage", "_meta", "_trace_parent", "x"]), inner)
        ),
    )
)
def test_no_carrier_raises(carrier: object) -> None:
    """Whatever it is."""
    extract_context(carrier)
    inject_trace_context(carrier)


def test_an_empty_carrier_leaves_the_current_span() -> None:
    """Server instrumentation may have set a parent already."""
    with App().agent() as span:
        assert trace.get_current_span(extract_context({})) is span
        assert trace.get_current_span(extract_context(None)) is span


async def test_parents_are_right_across_tasks_and_threads() -> None:
    """gather, TaskGroup, run_in_executor, threads and callbacks that were given the context."""
    app = App()

    async def work(name: str) -> None:
        await asyncio.sleep(0)
        app.tool(name)

    def run_with(context: Context, name: str) -> None:
        token = attach(context)
        app.tool(name)
        detach(token)

    with app.agent() as agent:
        await asyncio.gather(work("gather 1"), work("gather 2"))
        async with asyncio.TaskGroup() as group:
            group.create_task(work("group"))
        context = get_current()
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor() as pool:
            await loop.run_in_executor(pool, run_with, context, "executor")
        await asyncio.to_thread(app.tool, "to_thread")
        thread = threading.Thread(target=run_with, args=(current_context(), "thread"))
        thread.start()
        thread.join()
        called = asyncio.Event()
        loop.call_soon(lambda: (app.tool("callback"), called.set()))
        await called.wait()
    tools = [span for span in app.memory.get_finished_spans() if span.name.startswith("execute_tool")]
    assert len(tools) == 7
    assert {span.parent.span_id for span in tools if span.parent} == {agent.get_span_context().span_id}
    assert all(span.attributes["langfuse.trace_id"] == trace.format_trace_id(agent.get_span_context().trace_id) for span in tools)
