"""An application with a real Langfuse SDK: `python -m tests.sdk.langfuse_app HOST shared|isolated`; prints what it saw as JSON.

Run with another PYTHONPATH it is another SDK version.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

import langfuse as package
from langfuse import Langfuse, observe
from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_ext import AgentSpanProcessor, correlate_traces, instrument_mcp_tool

HOST, MODE = sys.argv[1:3]
version = getattr(package, "__version__", None) or importlib.import_module("langfuse.version").__version__
memory = InMemorySpanExporter()
links = {"langfuse_url": "https://lf.example", "langfuse_project": "p", "grafana_url": "https://g.example"}
ours = TracerProvider()
ours.add_span_processor(AgentSpanProcessor(links=links, environ={}))
ours.add_span_processor(SimpleSpanProcessor(memory))
langfuse = Langfuse(
    public_key="pk-lf-test", secret_key="sk-lf-test", host=HOST, tracer_provider=ours if MODE == "shared" else TracerProvider()
)


@observe()
@instrument_mcp_tool(name="inner", tracer_provider=ours)
def outer_observe(q: str) -> str:
    return q


@instrument_mcp_tool(name="outer", tracer_provider=ours)
@observe()
async def inner_observe(q: str) -> str:
    return q


@observe(as_type="agent")
def agent() -> str | None:
    outer_observe("a")
    import asyncio

    asyncio.run(inner_observe("b"))
    return langfuse.get_current_trace_id()


def shared() -> dict[str, Any]:
    langfuse_id = agent()
    return {"langfuse_id": langfuse_id}


def isolated() -> dict[str, Any]:
    """Langfuse begins a trace of its own, and the application another."""
    langfuse_id = agent()
    token = attach(Context())
    tracer = ours.get_tracer("app")
    with tracer.start_as_current_span("POST /ask") as span:
        with tracer.start_as_current_span("before"):
            pass
        urls = correlate_traces(str(langfuse_id), span.get_span_context().trace_id)
        with tracer.start_as_current_span("after"):
            pass
    detach(token)
    return {"langfuse_id": langfuse_id, "otel_id": trace.format_trace_id(span.get_span_context().trace_id), "urls": urls}


seen = shared() if MODE == "shared" else isolated()
langfuse.flush()
spans = [
    {
        "name": span.name,
        "trace": trace.format_trace_id(span.context.trace_id),
        "parent": trace.format_span_id(span.parent.span_id) if span.parent else "",
        "id": trace.format_span_id(span.context.span_id),
        "langfuse_id": span.attributes.get("langfuse.trace_id"),
        "events": [event.name for event in span.events],
    }
    for span in memory.get_finished_spans()
]
print(json.dumps({"version": version, "spans": spans, **seen}))
