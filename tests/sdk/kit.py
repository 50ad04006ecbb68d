"""Agents on the real SDK: what the tests of the in-process half run."""

from __future__ import annotations

import json
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_ext import AgentSpanProcessor, Finding


class App:
    """An application with a provider of its own: `app.spans` is what its own exporter got, `app.findings` what it was told."""

    def __init__(self, *others: SpanProcessor, first: bool = True, **options: Any) -> None:
        self.memory = InMemorySpanExporter()
        self.findings: list[Finding] = []
        options.setdefault("environ", {})
        options.setdefault("on_finding", self.findings.append)
        sampler = options.pop("sampler", None)
        self.processor = AgentSpanProcessor(**options)
        self.provider = TracerProvider(resource=Resource.create({"service.name": "shop"}), shutdown_on_exit=False, sampler=sampler)
        ours: list[SpanProcessor] = [self.processor]
        rest: list[SpanProcessor] = [SimpleSpanProcessor(self.memory), *others]
        for processor in ours + rest if first else rest + ours:
            self.provider.add_span_processor(processor)
        self.tracer = self.provider.get_tracer("app")

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        """By name; the last of a name."""
        return {span.name: span for span in self.memory.get_finished_spans()}

    def agent(self, name: str = "planner", **attributes: Any) -> Any:
        """The agent's own span, as a context manager."""
        given = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": name, **attributes}
        return self.tracer.start_as_current_span(f"invoke_agent {name}", attributes=given)

    def chat(self, text: str = "", calls: tuple[tuple[str, str], ...] = (), tokens: int = 100, **attributes: Any) -> None:
        """A model call that writes *text* and asks for *calls* of (id, tool)."""
        parts: list[dict[str, Any]] = [{"type": "text", "content": text}] if text else []
        parts += [{"type": "tool_call", "id": call, "name": tool, "arguments": {}} for call, tool in calls]
        given = {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.usage.input_tokens": tokens,
            "gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": parts}]),
            **attributes,
        }
        with self.tracer.start_as_current_span("chat gpt-4o", attributes=given):
            pass

    def tool(self, name: str = "search", arguments: str = "{}", result: str = "nothing", call: str = "", error: bool = False) -> None:
        """A tool call that was made."""
        given: dict[str, Any] = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": name,
            "gen_ai.tool.call.arguments": arguments,
            "gen_ai.tool.call.result": result,
        }
        if call:
            given["gen_ai.tool.call.id"] = call
        if error:
            given["error.type"] = "Timeout"
        with self.tracer.start_as_current_span(f"execute_tool {name}", attributes=given):
            pass

    def loop(self, times: int = 4) -> None:
        """An agent that asks the same again and again."""
        with self.agent():
            for _ in range(times):
                self.chat(calls=())
                self.tool()
