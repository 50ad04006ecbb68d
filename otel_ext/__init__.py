"""otel_ext: the span path between LLM agents and the stack that observes them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from otel_ext.inprocess import AgentSpanProcessor
    from otel_ext.model import Finding, Severity
    from otel_ext.sdk.expecting import ToolsMissing, expect_tools
    from otel_ext.sdk.watching import AgentStopped, watch

__version__ = "0.1.0"

# Imported when first asked for: the sidecar needs none of it, and an application only what it names.
_HOMES = {
    "AgentSpanProcessor": "inprocess",
    "Finding": "model",
    "Severity": "model",
    "AgentStopped": "sdk.watching",
    "ToolsMissing": "sdk.expecting",
    "expect_tools": "sdk.expecting",
    "watch": "sdk.watching",
}

__all__ = ["AgentSpanProcessor", "AgentStopped", "Finding", "Severity", "ToolsMissing", "expect_tools", "watch"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
