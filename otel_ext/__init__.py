"""otel_ext: the span path between LLM agents and the stack that observes them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from otel_ext.inprocess import AgentSpanProcessor
    from otel_ext.model import Finding, Severity
    from otel_ext.sdk.carriers import extract_context, inject_trace_context
    from otel_ext.sdk.correlation import correlate_traces
    from otel_ext.sdk.expecting import ToolsMissing, expect_tools
    from otel_ext.sdk.records import TraceIdFilter, add_trace_ids
    from otel_ext.sdk.tools import instrument_mcp_tool
    from otel_ext.sdk.watching import AgentStopped, watch

__version__ = "0.1.0"

# Imported when first asked for: the sidecar needs none of it, and an application only what it names.
_HOMES = {
    "AgentSpanProcessor": "inprocess",
    "Finding": "model",
    "Severity": "model",
    "AgentStopped": "sdk.watching",
    "ToolsMissing": "sdk.expecting",
    "TraceIdFilter": "sdk.records",
    "add_trace_ids": "sdk.records",
    "correlate_traces": "sdk.correlation",
    "expect_tools": "sdk.expecting",
    "extract_context": "sdk.carriers",
    "inject_trace_context": "sdk.carriers",
    "instrument_mcp_tool": "sdk.tools",
    "watch": "sdk.watching",
}

__all__ = [
    "AgentSpanProcessor",
    "AgentStopped",
    "Finding",
    "Severity",
    "ToolsMissing",
    "TraceIdFilter",
    "add_trace_ids",
    "correlate_traces",
    "expect_tools",
    "extract_context",
    "inject_trace_context",
    "instrument_mcp_tool",
    "watch",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
