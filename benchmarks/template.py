"""One agent trace of 16 spans as protobuf, with slots where the ids, call ids and arguments of each copy go.

A slot is a marker of fixed length, so that a copy of the trace is the same bytes with the slots overwritten (benchmarks.payload).
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

SPANS_PER_TRACE: Final = 16
GENAI_SCOPE: Final = "opentelemetry.instrumentation.openai_v2"
INFRA_SCOPE: Final = "opentelemetry.instrumentation.httpx"
TRACE_MARK: Final = b"\xf1TRACE-ID-SLOT-\xf1"
TIME_MARK: Final = 0x7A7A_0000_0000_0000  # + span index * 2 (+ 1 for the end): a slot of eight bytes
CALL_WIDTH: Final = 16
NONCE_WIDTH: Final = 8
FAT_MESSAGE_BYTES: Final = 20_000

HEALTHY_TOOLS: Final = ("search", "fetch_document", "calculate", "search", "lookup_order")
OPEN_TOOLS: Final = (*HEALTHY_TOOLS, "convert", "fetch_document", "summarise")
LOOPING_TOOLS: Final = ("search",) * 5

_TEXT: Final = (
    'order invoice customer refund the policy of delivery within days "quoted" a price for 12.40 € and\nline_2 because warehouse '
    "stock {json: true} was checked by planner agent with result not found in table see https://docs.example/page?id=7 then total"
)
_WORDS: Final = tuple(_TEXT.split(" "))


def span_mark(index: int) -> bytes:
    """The eight bytes that stand for the id of span *index*."""
    return b"\xf3SPAN" + index.to_bytes(2, "big") + b"\xf3"


def call_slot(index: int) -> str:
    """The text that stands for the random part of tool call id *index*."""
    return f"@c{index:02d}".ljust(CALL_WIDTH, "@")


def nonce_slot(index: int) -> str:
    """The text that stands for what makes arguments and answers of each copy its own."""
    return f"@n{index:02d}".ljust(NONCE_WIDTH, "@")


@dataclass(frozen=True, slots=True)
class Step:
    """One span of the template, and whether it belongs to the LLM tree."""

    span: Span
    genai: bool


def resource() -> Resource:
    """What the SDK says about the process: the same on every batch."""
    return Resource(
        attributes=_attributes(
            {
                "service.name": "shop-assistant",
                "service.version": "1.14.2",
                "deployment.environment.name": "production",
                "telemetry.sdk.language": "python",
                "telemetry.sdk.name": "opentelemetry",
                "telemetry.sdk.version": "1.45.2",
                "host.name": "assistant-7c9d6b5f4-x2x8p",
            }
        )
    )


def scope(*, genai: bool) -> InstrumentationScope:
    """The instrumentation that made the spans."""
    return InstrumentationScope(name=GENAI_SCOPE if genai else INFRA_SCOPE, version="0.58b0")


def agent_trace(*, tools: Sequence[str] = HEALTHY_TOOLS, fat: bool = False, rooted: bool = True, looping: bool = False) -> list[Step]:
    """16 spans in order of their ends: chat and tool by turns, infrastructure under them, the agent span last.

    Without *rooted* there is no agent span and no infrastructure, only steps whose parent has not arrived: the trace stays open.
    With *looping* every call has the same arguments and the same result.
    """
    root, steps = SPANS_PER_TRACE - 1, list[Step]()
    add = _Adder(steps, root)
    talk = _Talk(random.Random(7), fat=fat, looping=looping)
    for turn, tool in enumerate(tools):
        chat = add(f"chat {talk.model}", talk.chat(turn, tool), genai=True, kind=Span.SPAN_KIND_CLIENT)
        if rooted and turn in (0, 2):
            add("POST", _http_attributes(), parent=chat, kind=Span.SPAN_KIND_CLIENT)
        call = add(f"execute_tool {tool}", talk.tool(turn, tool), genai=True)
        if rooted and turn in (1, 3):
            add("SELECT shop.orders", _db_attributes(), parent=call, kind=Span.SPAN_KIND_CLIENT)
    if rooted:
        add(f"chat {talk.model}", talk.answer(len(tools)), genai=True, kind=Span.SPAN_KIND_CLIENT)
        add("invoke_agent planner", talk.agent(), genai=True, parent=None)
    assert len(steps) == SPANS_PER_TRACE, len(steps)
    return steps


class _Adder:
    """Appends spans with the slots of their ids and times."""

    def __init__(self, steps: list[Step], root: int) -> None:
        self._steps = steps
        self._root = root

    def __call__(
        self,
        name: str,
        attributes: dict[str, object],
        *,
        genai: bool = False,
        parent: int | None = -1,
        kind: Span.SpanKind.ValueType = Span.SPAN_KIND_INTERNAL,
    ) -> int:
        index = len(self._steps)
        over = self._root if parent == -1 else parent
        span = Span(
            trace_id=TRACE_MARK,
            span_id=span_mark(index),
            parent_span_id=b"" if over is None else span_mark(over),
            name=name,
            kind=kind,
            start_time_unix_nano=TIME_MARK + (0 if over is None else 2 * index),
            end_time_unix_nano=TIME_MARK + 2 * index + 1,
            attributes=_attributes(attributes),
            status=Status(),
            flags=0x101,
        )
        self._steps.append(Step(span, genai))
        return index


class _Talk:
    """What an agent and its model say to each other, as attributes. With *fat*, every chat span carries the whole conversation."""

    model: Final = "gpt-4.1-mini"

    def __init__(self, rng: random.Random, *, fat: bool, looping: bool) -> None:
        self._rng = rng
        self._fat = fat
        self._looping = looping

    def chat(self, turn: int, tool: str) -> dict[str, object]:
        """A model call that ends in a request for *tool*."""
        part = {"type": "tool_call", "id": f"call_{call_slot(turn)}", "name": tool, "arguments": self._arguments(turn)}
        return self._chat(turn, [{"role": "assistant", "parts": [part], "finish_reason": "tool_call"}], "tool_calls")

    def answer(self, turn: int) -> dict[str, object]:
        """The last model call: text."""
        part = {"type": "text", "content": f"Your order {nonce_slot(2 * turn)} ships on Monday."}
        return self._chat(turn, [{"role": "assistant", "parts": [part], "finish_reason": "stop"}], "stop")

    def tool(self, turn: int, tool: str) -> dict[str, object]:
        """The run of a tool that the model asked for."""
        return {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": tool,
            "gen_ai.tool.call.id": f"call_{call_slot(turn)}",
            "gen_ai.tool.call.arguments": json.dumps(self._arguments(turn)),
            "gen_ai.tool.call.result": json.dumps({"found": nonce_slot(self._result(turn))}),
        }

    def agent(self) -> dict[str, object]:
        """The run of the agent itself."""
        return {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": "planner",
            "gen_ai.provider.name": "openai",
            "gen_ai.conversation.id": f"conv_{nonce_slot(40)}",
        }

    def _chat(self, turn: int, output: list[dict[str, object]], finish: str) -> dict[str, object]:
        return {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": self.model,
            "gen_ai.response.model": f"{self.model}-2025-04-14",
            "gen_ai.response.id": f"chatcmpl-{call_slot(20 + turn)}",
            "gen_ai.response.finish_reasons": [finish],
            "gen_ai.usage.input_tokens": 820 + 40 * turn,
            "gen_ai.usage.output_tokens": 60 + turn,
            "gen_ai.input.messages": json.dumps(self._input(turn)),
            "gen_ai.output.messages": json.dumps(output),
        }

    def _input(self, turn: int) -> list[dict[str, object]]:
        question: dict[str, object] = {"role": "user", "parts": [{"type": "text", "content": f"Where is order {nonce_slot(40)}?"}]}
        if not self._fat:
            return [self._tool_answer(turn - 1)] if turn else [question]
        system: dict[str, object] = {"role": "system", "parts": [{"type": "text", "content": self._text(FAT_MESSAGE_BYTES // 3)}]}
        history = [self._tool_answer(before) for before in range(turn)]
        padding: dict[str, object] = {"role": "user", "parts": [{"type": "text", "content": self._text(FAT_MESSAGE_BYTES * 2 // 3)}]}
        return [system, question, padding, *history]

    def _text(self, size_bytes: int) -> str:
        words, size = list[str](), 0
        while size < size_bytes:
            words.append(self._rng.choice(_WORDS))
            size += len(json.dumps(words[-1])) - 1
        return " ".join(words)

    def _arguments(self, turn: int) -> dict[str, object]:
        return {"query": f"order {nonce_slot(0 if self._looping else 2 * turn)}"}

    def _result(self, turn: int) -> int:
        return 1 if self._looping else 2 * turn + 1

    def _tool_answer(self, turn: int) -> dict[str, object]:
        part = {"type": "tool_call_response", "id": f"call_{call_slot(turn)}", "response": f"found {nonce_slot(self._result(turn))}"}
        return {"role": "tool", "parts": [part]}


def _http_attributes() -> dict[str, object]:
    return {
        "http.request.method": "POST",
        "url.full": "https://api.openai.com/v1/chat/completions",
        "server.address": "api.openai.com",
        "server.port": 443,
        "http.response.status_code": 200,
        "network.protocol.version": "1.1",
    }


def _db_attributes() -> dict[str, object]:
    return {
        "db.system.name": "postgresql",
        "db.namespace": "shop",
        "db.operation.name": "SELECT",
        "db.query.text": "SELECT id, status, total FROM orders WHERE id = $1",
        "server.address": "orders-db.internal",
        "server.port": 5432,
    }


def _attributes(values: dict[str, object]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_any_value(value)) for key, value in values.items()]


def _any_value(value: object) -> AnyValue:
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, list):
        any_value = AnyValue()
        any_value.array_value.values.extend(_any_value(item) for item in value)
        return any_value
    return AnyValue(string_value=str(value))
