"""The wire formats of model providers, for the scripted model: what a request says, and how an answer is written, whole or streamed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.frameworks.scenarios import Usage

Json = dict[str, Any]


class Asked(NamedTuple):
    """A request: the declared tools by name with their JSON schemas, the ids and texts of tool answers in its history."""

    model: str
    stream: bool
    tools: Mapping[str, Json]
    answers: Sequence[tuple[str, str]]
    wants_usage: bool = True
    has_reasoning: bool = True  # whether the protocol has a word for reasoning tokens


class ToolCall(NamedTuple):
    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """What the model says. `number` makes ids unique."""

    number: int
    model: str
    text: str
    calls: Sequence[ToolCall]
    usage: Usage


class Protocol(NamedTuple):
    """`read` takes the path and the body; `write` gives the body of a whole answer, `events` the events of a streamed one."""

    read: Callable[[str, Json], Asked]
    write: Callable[[Answer], Json]
    events: Callable[[Answer, Asked], Iterator[tuple[str, Json]]]
    ends: bytes = b""


def text_of(content: Any) -> str:
    """The text of a message, however it is wrapped."""
    if isinstance(content, list):
        return "".join(text_of(part) for part in content)
    if isinstance(content, dict):
        return text_of(content.get("text") or content.get("content") or content.get("output") or "")
    return content if isinstance(content, str) else ""


def chunks(text: str, count: int = 3) -> Iterable[str]:
    """*text* in about *count* pieces."""
    size = max(1, -(-len(text) // count))
    return [text[at : at + size] for at in range(0, len(text), size)]


# -- OpenAI chat completions


def _read_chat(_path: str, body: Json) -> Asked:
    tools = {tool["function"]["name"]: tool["function"].get("parameters") or {} for tool in body.get("tools") or ()}
    answers = [(m.get("tool_call_id", ""), text_of(m.get("content"))) for m in body["messages"] if m.get("role") == "tool"]
    wants = not body.get("stream") or bool((body.get("stream_options") or {}).get("include_usage"))
    return Asked(body["model"], bool(body.get("stream")), tools, answers, wants)


def _chat_usage(usage: Usage) -> Json:
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def _chat_call(call: ToolCall) -> Json:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": json.dumps(call.arguments)}}


def _write_chat(answer: Answer) -> Json:
    message: Json = {"role": "assistant", "content": answer.text or None}
    if answer.calls:
        message["tool_calls"] = [_chat_call(call) for call in answer.calls]
    finish = "tool_calls" if answer.calls else "stop"
    choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
    return {**_chat_head(answer, "chat.completion"), "choices": [choice], "usage": _chat_usage(answer.usage)}


def _chat_head(answer: Answer, kind: str) -> Json:
    return {"id": f"chatcmpl-{answer.number}", "object": kind, "created": 1_790_000_000, "model": answer.model}


def _chat_deltas(answer: Answer) -> Iterator[Json]:
    yield {"role": "assistant", "content": ""}
    for piece in chunks(answer.text):
        yield {"content": piece}
    for index, call in enumerate(answer.calls):
        yield {"tool_calls": [{"index": index, **_chat_call(call), "function": {"name": call.name, "arguments": ""}}]}
        for piece in chunks(json.dumps(call.arguments)):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _chat_events(answer: Answer, asked: Asked) -> Iterator[tuple[str, Json]]:
    head = _chat_head(answer, "chat.completion.chunk")
    for delta in _chat_deltas(answer):
        yield "", {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    finish = "tool_calls" if answer.calls else "stop"
    yield "", {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}
    if asked.wants_usage:
        yield "", {**head, "choices": [], "usage": _chat_usage(answer.usage)}


# -- OpenAI responses


def _read_responses(_path: str, body: Json) -> Asked:
    tools = {tool["name"]: tool.get("parameters") or {} for tool in body.get("tools") or () if tool.get("type") == "function"}
    items = body["input"] if isinstance(body["input"], list) else []
    answers = [(item["call_id"], text_of(item.get("output"))) for item in items if item.get("type") == "function_call_output"]
    return Asked(body["model"], bool(body.get("stream")), tools, answers)


def _response_items(answer: Answer) -> list[Json]:
    items: list[Json] = []
    if answer.text:
        part = {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
        items.append({"id": f"msg_{answer.number}", "type": "message", "role": "assistant", "status": "completed", "content": [part]})
    for call in answer.calls:
        given = {"call_id": call.id, "name": call.name, "arguments": json.dumps(call.arguments)}
        items.append({"id": f"fc_{call.id}", "type": "function_call", "status": "completed", **given})
    return items


def _write_responses(answer: Answer) -> Json:
    usage = {
        "input_tokens": answer.usage.input,
        "input_tokens_details": {"cached_tokens": answer.usage.cached, "cache_write_tokens": 0},
        "output_tokens": answer.usage.output,
        "output_tokens_details": {"reasoning_tokens": answer.usage.reasoning},
        "total_tokens": answer.usage.input + answer.usage.output,
    }
    return {**_response_head(answer, "completed"), "output": _response_items(answer), "usage": usage}


def _response_head(answer: Answer, status: str) -> Json:
    return {
        "id": f"resp_{answer.number}",
        "object": "response",
        "created_at": 1_790_000_000,
        "model": answer.model,
        "status": status,
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "temperature": 1.0,
        "top_p": 1.0,
    }


def _response_events(answer: Answer, _asked: Asked) -> Iterator[tuple[str, Json]]:
    for number, (name, event) in enumerate(_response_steps(answer)):
        yield name, {"type": name, "sequence_number": number, **event}


def _response_steps(answer: Answer) -> Iterator[tuple[str, Json]]:
    yield "response.created", {"response": _response_head(answer, "in_progress")}
    for index, item in enumerate(_response_items(answer)):
        place = {"output_index": index, "item_id": item["id"]}
        empty = {"content": []} if item["type"] == "message" else {"arguments": ""}
        yield "response.output_item.added", {"output_index": index, "item": {**item, "status": "in_progress", **empty}}
        yield from _text_events(item, place) if item["type"] == "message" else _argument_events(item, place)
        yield "response.output_item.done", {"output_index": index, "item": item}
    yield "response.completed", {"response": _write_responses(answer)}


def _text_events(item: Json, place: Json) -> Iterator[tuple[str, Json]]:
    (part,) = item["content"]
    place = {**place, "content_index": 0}
    yield "response.content_part.added", {**place, "part": {**part, "text": ""}}
    for piece in chunks(part["text"]):
        yield "response.output_text.delta", {**place, "delta": piece, "logprobs": []}
    yield "response.output_text.done", {**place, "text": part["text"], "logprobs": []}
    yield "response.content_part.done", {**place, "part": part}


def _argument_events(item: Json, place: Json) -> Iterator[tuple[str, Json]]:
    for piece in chunks(item["arguments"]):
        yield "response.function_call_arguments.delta", {**place, "delta": piece}
    yield "response.function_call_arguments.done", {**place, "arguments": item["arguments"], "name": item["name"]}


# -- Anthropic messages


def _read_messages(_path: str, body: Json) -> Asked:
    tools = {tool["name"]: tool.get("input_schema") or {} for tool in body.get("tools") or ()}
    blocks = [block for m in body["messages"] if isinstance(m["content"], list) for block in m["content"]]
    answers = [(block["tool_use_id"], text_of(block.get("content"))) for block in blocks if block.get("type") == "tool_result"]
    return Asked(body["model"], bool(body.get("stream")), tools, answers, has_reasoning=False)


def _blocks(answer: Answer) -> list[Json]:
    blocks: list[Json] = [{"type": "text", "text": answer.text}] if answer.text else []
    return blocks + [{"type": "tool_use", "id": call.id, "name": call.name, "input": dict(call.arguments)} for call in answer.calls]


def _messages_usage(usage: Usage) -> Json:
    """Cached tokens are not part of the input here."""
    return {
        "input_tokens": usage.input - usage.cached,
        "output_tokens": usage.output,
        "cache_read_input_tokens": usage.cached,
        "cache_creation_input_tokens": 0,
    }


def _write_messages(answer: Answer) -> Json:
    stop = "tool_use" if answer.calls else "end_turn"
    head = {"id": f"msg_{answer.number}", "type": "message", "role": "assistant", "model": answer.model}
    return {**head, "content": _blocks(answer), "stop_reason": stop, "stop_sequence": None, "usage": _messages_usage(answer.usage)}


def _messages_events(answer: Answer, _asked: Asked) -> Iterator[tuple[str, Json]]:
    for name, event in _message_steps(_write_messages(answer)):
        yield name, {"type": name, **event}


def _message_steps(whole: Json) -> Iterator[tuple[str, Json]]:
    start = {**whole, "content": [], "stop_reason": None, "usage": {**whole["usage"], "output_tokens": 1}}
    yield "message_start", {"message": start}
    for index, block in enumerate(whole["content"]):
        is_text = block["type"] == "text"
        empty = {"text": ""} if is_text else {"input": {}}
        yield "content_block_start", {"index": index, "content_block": {**block, **empty}}
        for piece in chunks(block["text"] if is_text else json.dumps(block["input"])):
            delta = {"type": "text_delta", "text": piece} if is_text else {"type": "input_json_delta", "partial_json": piece}
            yield "content_block_delta", {"index": index, "delta": delta}
        yield "content_block_stop", {"index": index}
    ended = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield "message_delta", {"delta": ended, "usage": {"output_tokens": whole["usage"]["output_tokens"]}}
    yield "message_stop", {}


# -- Gemini generateContent


def _read_gemini(path: str, body: Json) -> Asked:
    declared = [f for tool in body.get("tools") or () for f in tool.get("functionDeclarations") or ()]
    tools = {f["name"]: f.get("parameters") or f.get("parametersJsonSchema") or f.get("parameters_json_schema") or {} for f in declared}
    parts = [part for content in body["contents"] for part in content.get("parts") or ()]
    responses = [part["functionResponse"] for part in parts if "functionResponse" in part]
    answers = [(r.get("id") or r["name"], json.dumps(r.get("response"))) for r in responses]
    model = path.rpartition("/models/")[2].partition(":")[0]
    return Asked(model, ":stream" in path, tools, answers)


def _write_gemini(answer: Answer) -> Json:
    parts: list[Json] = [{"text": answer.text}] if answer.text else []
    parts += [{"functionCall": {"name": call.name, "args": dict(call.arguments)}} for call in answer.calls]
    return {
        "candidates": [{"index": 0, "content": {"role": "model", "parts": parts}, "finishReason": "STOP"}],
        "usageMetadata": _gemini_usage(answer.usage),
        "modelVersion": answer.model,
        "responseId": f"gemini-{answer.number}",
    }


def _gemini_usage(usage: Usage) -> Json:
    """Thoughts are not part of the candidates here."""
    return {
        "promptTokenCount": usage.input,
        "candidatesTokenCount": usage.output - usage.reasoning,
        "thoughtsTokenCount": usage.reasoning,
        "cachedContentTokenCount": usage.cached,
        "totalTokenCount": usage.input + usage.output,
    }


def _gemini_events(answer: Answer, _asked: Asked) -> Iterator[tuple[str, Json]]:
    yield "", _write_gemini(answer)


PROTOCOLS: Mapping[str, Protocol] = {
    "/chat/completions": Protocol(_read_chat, _write_chat, _chat_events, b"data: [DONE]\n\n"),
    "/responses": Protocol(_read_responses, _write_responses, _response_events),
    "/messages": Protocol(_read_messages, _write_messages, _messages_events),
    "enerateContent": Protocol(_read_gemini, _write_gemini, _gemini_events),
}
