"""The real `mcp` package: one trace from the agent through the server to a downstream HTTP call."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from opentelemetry import trace
from opentelemetry.context import Context, attach, detach

from otel_ext import extract_context, inject_trace_context
from tests.doubles.tempo import TempoDouble
from tests.sdk.kit import App

mcp = pytest.importorskip("mcp")

ROOT = Path(__file__).parent.parent.parent


class Downstream:
    """A service that notes the trace it is called in."""

    def __init__(self) -> None:
        self.traces: list[str] = []
        self.langfuse: list[str | None] = []

    async def __call__(self, request: web.Request) -> web.Response:
        context = extract_context(dict(request.headers), context=Context())
        self.traces.append(trace.format_trace_id(trace.get_current_span(context).get_span_context().trace_id))
        from opentelemetry import baggage

        self.langfuse.append(baggage.get_baggage("langfuse_trace_id", context))
        return web.Response(text="found")


@pytest.fixture
async def downstream() -> AsyncIterator[tuple[Downstream, str]]:
    service = Downstream()
    app = web.Application()
    app.router.add_get("/", service)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield service, f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


@pytest.fixture
async def tempo() -> AsyncIterator[TempoDouble]:
    double = TempoDouble()
    await double.start()
    yield double
    await double.stop()


def parameters(mode: str, tempo: TempoDouble, url: str) -> Any:
    return mcp.StdioServerParameters(
        command=sys.executable, args=["-m", "tests.sdk.mcp_server", mode, tempo.http_endpoint, url], cwd=ROOT, env={"PYTHONPATH": str(ROOT)}
    )


@asynccontextmanager
async def stdio(mode: str, tempo: TempoDouble, url: str) -> AsyncIterator[Any]:
    async with mcp.stdio_client(parameters(mode, tempo, url)) as (read, write), mcp.ClientSession(read, write) as session:
        await session.initialize()
        yield session


@asynccontextmanager
async def http(tempo: TempoDouble, url: str) -> AsyncIterator[Any]:
    from mcp.client.streamable_http import streamable_http_client

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = [sys.executable, "-m", "tests.sdk.mcp_server", "http", tempo.http_endpoint, url, str(port)]
    server = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: ASYNC220
    try:
        for _ in range(200):
            await asyncio.sleep(0.05)
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
        async with streamable_http_client(f"http://127.0.0.1:{port}/mcp") as (read, write, *_), mcp.ClientSession(read, write) as session:
            await session.initialize()
            yield session
    finally:
        server.terminate()
        await asyncio.to_thread(server.communicate, timeout=20)


async def arrived(tempo: TempoDouble, name: str) -> Any:
    async with asyncio.timeout(15):
        while True:
            found = [span for span in tempo.spans if span.name == name]
            if found:
                return found[-1]
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_one_trace_through_meta(tempo: TempoDouble, downstream: tuple[Downstream, str], transport: str) -> None:
    """`_meta` carries it over both transports; the Langfuse id reaches the last service."""
    service, url = downstream
    app = App()
    async with stdio("stdio", tempo, url) if transport == "stdio" else http(tempo, url) as session:
        with app.agent() as agent:
            app.chat()
            with app.tracer.start_as_current_span("call"):
                result = await session.call_tool("search", {"q": "x"}, meta=inject_trace_context({}))
        assert result.content[0].text == "found"
        span = await arrived(tempo, "execute_tool search")
    trace_id = trace.format_trace_id(agent.get_span_context().trace_id)
    assert service.traces == [trace_id]
    assert service.langfuse == [trace_id]
    assert span.trace_id.hex() == trace_id
    given = {pair.key: pair.value.string_value for pair in span.attributes}
    assert (given["mcp.tool"], given["gen_ai.tool.call.arguments"], given["langfuse.trace_id"]) == ("search", '{"q": "x"}', trace_id)


async def test_one_trace_through_a_parameter(tempo: TempoDouble, downstream: tuple[Downstream, str]) -> None:
    """A server that cannot read `_meta`: the parameter is the parent, and the tool does not see it."""
    service, url = downstream
    app = App()
    async with stdio("lowlevel", tempo, url) as session:
        with app.agent() as agent:
            arguments = inject_trace_context({"q": "x"}, parameter=True)
        token = attach(Context())
        result = await session.call_tool("search", arguments)
        detach(token)
        assert result.content[0].text == "found"
    assert service.traces == [trace.format_trace_id(agent.get_span_context().trace_id)]


async def test_a_tool_that_fails(tempo: TempoDouble, downstream: tuple[Downstream, str]) -> None:
    """Its span is an error, and the client gets the server's answer."""
    async with stdio("stdio", tempo, downstream[1]) as session:
        result = await session.call_tool("search", {"q": "broken"})
        assert result.is_error
    span = await arrived(tempo, "execute_tool search")
    assert span.status.code == 2
    assert {pair.key: pair.value.string_value for pair in span.attributes}["error.type"] == "ValueError"
