"""In the application: what an agent says that it did is held against what it did, with real spans of the SDK."""

from __future__ import annotations

import json
from typing import Any

from opentelemetry.sdk.trace import TracerProvider

from otel_ext import AgentSpanProcessor
from otel_ext.model import Finding

TOOLS = json.dumps([{"type": "function", "name": "book_flight"}, {"type": "function", "name": "search"}])
BOOKED = "Your flight has been booked. The confirmation number is 7."


def run(*, called: bool, declared: str = TOOLS) -> list[str]:
    """The rules that alarmed for an agent that says BOOKED, after a call or without one."""
    found: list[Finding] = []
    provider = TracerProvider()
    provider.add_span_processor(AgentSpanProcessor(environ={}, on_finding=found.append))
    tracer = provider.get_tracer("test")
    chat: dict[str, Any] = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.tool.definitions": declared}
    with tracer.start_as_current_span(
        "invoke_agent clerk", attributes={"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "clerk"}
    ):
        if called:
            with tracer.start_as_current_span("execute_tool book_flight") as tool:
                tool.set_attributes({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "book_flight"})
                tool.set_attributes({"gen_ai.tool.call.arguments": "{}", "gen_ai.tool.call.result": "booked"})
        said = [{"role": "assistant", "parts": [{"type": "text", "content": BOOKED}], "finish_reason": "stop"}]
        with tracer.start_as_current_span("chat m", attributes=chat | {"gen_ai.output.messages": json.dumps(said)}):
            pass
    return [finding.rule for finding in found]


def test_a_claim_without_a_call() -> None:
    """It was told when the agent's span ended."""
    assert run(called=False) == ["tool_skipping/claimed"]


def test_a_claim_with_its_call() -> None:
    """Nothing to say."""
    assert run(called=True) == []


def test_a_claim_that_no_known_tool_could_have_carried_out() -> None:
    """Whether it is true cannot be told."""
    assert run(called=False, declared=json.dumps([{"type": "function", "name": "search"}])) == []
