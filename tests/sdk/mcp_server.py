"""An MCP server as a program of its own: `python -m tests.sdk.mcp_server stdio|http|lowlevel TEMPO DOWNSTREAM [PORT]`."""

from __future__ import annotations

import asyncio
import sys
import urllib.request
from typing import Any

from opentelemetry import trace
from opentelemetry.context import attach, detach
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from otel_ext import AgentSpanProcessor, extract_context, inject_trace_context, instrument_mcp_tool

MODE, TEMPO, DOWNSTREAM = sys.argv[1:4]


def provide() -> None:
    """The server's own spans, sent by the processor itself."""
    provider = TracerProvider(resource=Resource.create({"service.name": "mcp-server"}))
    provider.add_span_processor(AgentSpanProcessor(exporters={"tempo": {"endpoint": TEMPO, "protocol": "http"}}))
    trace.set_tracer_provider(provider)


@instrument_mcp_tool(record_arguments=True)
def search(q: str) -> str:
    """Look it up elsewhere."""
    if q == "broken":
        raise ValueError("no such thing")
    request = urllib.request.Request(DOWNSTREAM, headers=inject_trace_context({}))  # noqa: S310
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        return str(answer.read().decode())


def high_level() -> Any:
    from mcp.server import MCPServer

    server = MCPServer("tools")
    server.tool()(search)
    return server


def low_level() -> Any:
    """A server that reads no `_meta`, only arguments."""
    import mcp_types as types
    from mcp.server import Server

    async def call(_context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        arguments = dict(params.arguments or {})
        token = attach(extract_context(arguments))
        try:
            assert list(arguments) == ["q"], arguments
            text = await asyncio.to_thread(search, **arguments)
        finally:
            detach(token)
        return types.CallToolResult(content=[types.TextContent(text=text)])

    async def tools(_context: Any, _params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[types.Tool(name="search", input_schema={"type": "object"})])

    return Server("tools", on_call_tool=call, on_list_tools=tools)


def main() -> None:
    provide()
    if MODE == "lowlevel":
        from mcp.server.stdio import stdio_server

        async def serve() -> None:
            server = low_level()
            async with stdio_server() as (read, write):
                await server.run(read, write, server.create_initialization_options())

        asyncio.run(serve())
    elif MODE == "http":
        high_level().run("streamable-http", host="127.0.0.1", port=int(sys.argv[4]))
    else:
        high_level().run("stdio")
    trace.get_tracer_provider().shutdown()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
