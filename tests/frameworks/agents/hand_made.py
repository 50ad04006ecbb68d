"""The agent loop and its spans where an application writes them itself: GenAI conventions, an agent span and a span a tool call."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import agent_kit
from agent_kit import REFUSED, TOOLS
from opentelemetry import trace

tracer = trace.get_tracer("travel")


def agent_span() -> AbstractContextManager[Any]:
    """The span of the whole run."""
    attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "travel_agent"}
    return tracer.start_as_current_span("invoke_agent travel_agent", attributes=attributes)


def execute(call_id: str, name: str, arguments: dict[str, str], text: str) -> str:
    """Run one tool call in a span of its own, *text* being its arguments as they came; the result, or what went wrong."""
    if name not in TOOLS:
        return f"Error: unknown tool {name}"
    if agent_kit.run.refuses(name):
        return REFUSED
    given = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name, "gen_ai.tool.call.id": call_id}
    with tracer.start_as_current_span(f"execute_tool {name}", attributes={**given, "gen_ai.tool.call.arguments": text}) as span:
        try:
            result = TOOLS[name](**arguments)
        except RuntimeError as error:
            span.set_attribute("error.type", type(error).__name__)
            return f"Error: {error}"
        span.set_attribute("gen_ai.tool.call.result", result)
        return result
