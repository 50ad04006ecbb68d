"""Small agent runs as OTLP requests, by the GenAI conventions: what the demo sends, and a kit for tests. Pure; times and ids come in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from otel_ext.settings import NS_PER_S
from otel_ext.wire import encode

MODEL = "gpt-4o"


@dataclass(slots=True)
class Agent:
    """Writes one agent run down, step by step, as its instrumentation would export it: children first, the agent's own span last.

    Each step takes `step_s` seconds; ids are made from the trace id and a counter.
    """

    trace_id: bytes
    name: str
    start_ns: int
    service: str = "demo"
    step_s: float = 0.4
    expected: Sequence[str] = ()
    model: str = MODEL
    _spans: list[bytes] = field(default_factory=list)
    _now_ns: int = 0
    _count: int = 0
    _history: list[dict[str, object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._now_ns = self.start_ns

    @property
    def span_id(self) -> bytes:
        """Of the agent's own span."""
        return self._id(0)

    def _id(self, number: int) -> bytes:
        return self.trace_id[:6] + (number + 1).to_bytes(2, "big")

    def ask(self, text: str) -> None:
        """The user says something."""
        self._history.append({"role": "user", "parts": [{"type": "text", "content": text}]})

    def wait(self, seconds: float) -> None:
        """Time passes before the next step."""
        self._now_ns += int(seconds * NS_PER_S)

    def chat(self, text: str = "", calls: Sequence[tuple[str, str, dict[str, object]]] = (), tokens: tuple[int, int] = (900, 60)) -> None:
        """A model call that answers with *text*, or asks for *calls* of (id, tool, arguments)."""
        parts: list[dict[str, object]] = [{"type": "text", "content": text}] if text else []
        parts += [{"type": "tool_call", "id": call, "name": tool, "arguments": arguments} for call, tool, arguments in calls]
        output: dict[str, object] = {"role": "assistant", "parts": parts, "finish_reason": "tool_call" if calls else "stop"}
        attributes: dict[str, encode.Value] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": self.model,
            "gen_ai.agent.name": self.name,
            "gen_ai.usage.input_tokens": tokens[0],
            "gen_ai.usage.output_tokens": tokens[1],
            "gen_ai.input.messages": json.dumps(self._history),
            "gen_ai.output.messages": json.dumps([output]),
        }
        self._history.append(output)
        self._add(f"chat {self.model}", attributes, kind=3)

    def tool(self, call: str, name: str, arguments: dict[str, object], result: str, error: str = "") -> None:
        """A tool call that was made."""
        attributes: dict[str, encode.Value] = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": name,
            "gen_ai.tool.call.id": call,
            "gen_ai.tool.call.arguments": json.dumps(arguments),
            "gen_ai.tool.call.result": result,
            "gen_ai.agent.name": self.name,
        }
        if error:
            attributes["error.type"] = error
        self._history.append({"role": "tool", "parts": [{"type": "tool_call_response", "id": call, "response": result}]})
        self._add(f"execute_tool {name}", attributes, failed=bool(error))

    def call(self, tool: str, arguments: dict[str, object], result: str, error: str = "", tokens: tuple[int, int] = (900, 60)) -> None:
        """The model asks for a tool, and gets it."""
        call = f"call_{self._count}"
        self.chat(calls=[(call, tool, arguments)], tokens=tokens)
        self.tool(call, tool, arguments, result, error)

    def _add(self, name: str, attributes: dict[str, encode.Value], kind: int = 1, *, failed: bool = False) -> None:
        self._count += 1
        start, self._now_ns = self._now_ns, self._now_ns + int(self.step_s * NS_PER_S)
        self._spans.append(self._span(self._id(self._count), self.span_id, name, start, attributes, kind, failed=failed))

    def _span(
        self, span_id: bytes, parent: bytes, name: str, start: int, attributes: dict[str, encode.Value], kind: int, *, failed: bool = False
    ) -> bytes:
        return encode.span(
            trace_id=self.trace_id,
            span_id=span_id,
            parent_id=parent,
            name=name,
            start=start,
            end=self._now_ns,
            attributes=attributes,
            kind=kind,
            status=2 if failed else 0,
        )

    def end(self) -> bytes:
        """The request with all spans so far; the agent's own is the last."""
        attributes: dict[str, encode.Value] = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": self.name}
        if self.expected:
            attributes["otel_ext.expected_tools"] = list(self.expected)
        root = self._span(self.span_id, b"", f"invoke_agent {self.name}", self.start_ns, attributes, 1)
        return encode.request({"service.name": self.service}, "otel_ext.samples", "1", [*self._spans, root])


def healthy(trace_id: bytes, start_ns: int) -> bytes:
    """Searches, calculates, answers."""
    agent = Agent(trace_id, "travel-planner", start_ns, expected=("search", "calculate"))
    agent.ask("How much are two tickets from Paris to Rome?")
    agent.call("search", {"q": "fare Paris Rome"}, "from 129 euros")
    agent.call("calculate", {"expr": "2*129"}, "258")
    agent.chat("Two tickets cost 258 euros.")
    return agent.end()


def looping(trace_id: bytes, start_ns: int, times: int = 6) -> bytes:
    """Asks the same thing again and again, and gets the same answer."""
    agent = Agent(trace_id, "travel-planner", start_ns)
    agent.ask("Find the cheapest hotel in Rome.")
    for _ in range(times):
        agent.call("search", {"q": "cheapest hotel Rome"}, "no results")
    agent.chat("I could not find a hotel.")
    return agent.end()


def skipping(trace_id: bytes, start_ns: int) -> bytes:
    """Answers with confidence, and never searched."""
    agent = Agent(trace_id, "fact-checker", start_ns, expected=("search",))
    agent.ask("Is flight AZ 610 on time today?")
    agent.chat("Yes, AZ 610 is on time and lands at 14:20.")
    return agent.end()


def spiking(trace_id: bytes, start_ns: int) -> bytes:
    """One run with many times the tokens a run should need."""
    agent = Agent(trace_id, "summarizer", start_ns)
    agent.ask("Summarise this page.")
    agent.chat("It is about trains.", tokens=(41_000, 900))
    return agent.end()
