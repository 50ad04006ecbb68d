"""The public names as an application uses them: type-checked with the package, never run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, assert_type

from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider

from otel_ext import (
    AgentSpanProcessor,
    AgentStopped,
    Finding,
    Severity,
    ToolsMissing,
    TraceIdFilter,
    add_trace_ids,
    correlate_traces,
    expect_tools,
    extract_context,
    inject_trace_context,
    instrument_mcp_tool,
    watch,
)


def processors(provider: TracerProvider) -> None:
    """From arguments, from a file."""

    def stop(finding: Finding) -> None:
        assert_type(finding.severity, Severity)

    provider.add_span_processor(
        AgentSpanProcessor(on_finding=stop, baggage=("user.id",), exporters={"tempo": {"endpoint": "http://t:4317"}})
    )
    processor = AgentSpanProcessor.from_config(Path("otel-ext.yaml"), on_finding=stop)
    assert_type(processor, AgentSpanProcessor)
    assert_type(processor.force_flush(), bool)
    assert_type(processor.stats.spans, int)


@instrument_mcp_tool
def plain(q: str) -> list[str]:
    """A decorated function keeps its type."""
    return [q]


@instrument_mcp_tool(record_arguments=True, mask=lambda value: value)
async def asynchronous(q: str) -> int:
    """So does a coroutine function."""
    return len(q)


@instrument_mcp_tool(name="stream")
async def stream(q: str) -> AsyncIterator[str]:
    """And a generator."""
    yield q


@expect_tools("search", raise_missing=True)
def expecting(q: str) -> str:
    """And a function that is expected to call tools."""
    return q


assert_type(plain("x"), list[str])
assert_type(expecting("x"), str)
as_coroutine: Callable[[str], Coroutine[Any, Any, int]] = asynchronous
as_stream: Callable[[str], AsyncIterator[str]] = stream


def stopping() -> str:
    """Both ways to hear of a loop."""
    try:
        with watch(max_identical_calls=3, on_finding=lambda _: None) as run, expect_tools("search") as expected:
            run.raise_if_found("loop")
            assert_type(run.found("loop"), Finding | None)
        assert_type(expected.missing, tuple[str, ...])
    except AgentStopped as stopped:
        return stopped.finding.message
    except ToolsMissing as error:
        return ", ".join(error.missing)
    return ""


async def context() -> None:
    """Carriers keep their type."""
    headers = inject_trace_context({"accept": "*/*"})
    assert_type(headers, dict[str, str])
    pairs: list[tuple[str, bytes]] = inject_trace_context([])
    assert_type(extract_context(pairs), Context)
    assert_type(extract_context(headers, context=Context()), Context)
    async with watch():
        await asyncio.sleep(0)


urls = correlate_traces("lf-1", "0af7651916cd43dd8448eb211c80319c")
assert_type(urls.langfuse_url, str)
logging.getLogger().addFilter(TraceIdFilter())
add_trace_ids(None, "info", {"event": "x"})
