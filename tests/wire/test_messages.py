"""Every shape of messages that `otel_ext.wire.messages` lists is read, as JSON and as a structured value, by both codecs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otel_ext.wire.names import hashed
from otel_ext.wire.structured import to_json
from otel_ext.wire.table import Limits
from tests.wire.build import CHAT, anything, attribute, double, event, request, span
from tests.wire.sample import codecs

both = pytest.mark.parametrize("codec", codecs(Limits()), ids=lambda codec: type(codec).__name__)
_ARGUMENTS = {"q": 1}
_CALL = {"id": "c1", "name": "search", "arguments": _ARGUMENTS}

_OUTPUTS: dict[str, Any] = {
    "semconv": [{"role": "assistant", "parts": [{"type": "text", "content": "hi"}, {"type": "tool_call", **_CALL}]}],
    "semconv, reasoning": [
        {
            "role": "assistant",
            "parts": [{"type": "reasoning", "content": "x"}, {"type": "text", "content": "hi"}, {"type": "tool_call", **_CALL}],
        }
    ],
    "openai": [
        {
            "role": "assistant",
            "content": "hi",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "search", "arguments": _ARGUMENTS}}],
        }
    ],
    "openai, whole": {
        "id": "r",
        "choices": [
            {
                "index": 0,
                "finish_reason": "tool_calls",
                "message": {
                    "content": "hi",
                    "refusal": None,
                    "tool_calls": [{"id": "c1", "function": {"name": "search", "arguments": _ARGUMENTS}}],
                },
            }
        ],
    },
    "openai responses": {
        "id": "resp",
        "output": [
            {"type": "reasoning", "summary": []},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]},
            {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "search", "arguments": _ARGUMENTS},
        ],
    },
    "anthropic": {
        "type": "message",
        "id": "m",
        "content": [{"type": "text", "text": "hi"}, {"type": "tool_use", "id": "c1", "name": "search", "input": _ARGUMENTS}],
    },
    "anthropic blocks": [{"type": "text", "text": "hi"}, {"type": "tool_use", "id": "c1", "name": "search", "input": _ARGUMENTS}],
    "bedrock": [{"text": "hi"}, {"toolUse": {"toolUseId": "c1", "name": "search", "input": _ARGUMENTS}}],
    "bedrock, whole": {
        "output": {
            "message": {
                "role": "assistant",
                "content": [{"text": "hi"}, {"toolUse": {"toolUseId": "c1", "name": "search", "input": _ARGUMENTS}}],
            }
        }
    },
    "gemini": {
        "candidates": [
            {"content": {"role": "model", "parts": [{"text": "hi"}, {"functionCall": {"id": "c1", "name": "search", "args": _ARGUMENTS}}]}}
        ]
    },
    "gemini, snake": {"content": {"parts": [{"text": "hi"}, {"function_call": {"id": "c1", "name": "search", "args": _ARGUMENTS}}]}},
    "langchain": {
        "generations": [
            [
                {
                    "text": "hi",
                    "message": {
                        "lc": 1,
                        "type": "constructor",
                        "id": ["langchain", "AIMessage"],
                        "kwargs": {
                            "content": [
                                {"type": "text", "text": "hi"},
                                {"type": "tool_use", "id": "c1", "name": "search", "input": _ARGUMENTS},
                            ],
                            "type": "ai",
                            "additional_kwargs": {"tool_calls": [{"id": "c1"}]},
                            "tool_calls": [{"name": "search", "args": _ARGUMENTS, "id": "c1", "type": "tool_call"}],
                        },
                    },
                }
            ]
        ]
    },
    "langgraph": {"messages": [{"type": "ai", "content": "hi", "tool_calls": [{"name": "search", "args": _ARGUMENTS, "id": "c1"}]}]},
    "langchain, dumped": {"type": "ai", "data": {"content": "hi", "tool_calls": [{"name": "search", "args": _ARGUMENTS, "id": "c1"}]}},
    "vercel": [
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "hi"},
                {"type": "tool-call", "toolCallId": "c1", "toolName": "search", "input": _ARGUMENTS},
            ],
        }
    ],
    "vercel calls": ["hi", {"toolCallId": "c1", "toolName": "search", "args": _ARGUMENTS}],
    "haystack": {
        "replies": [
            {"role": "assistant", "content": [{"text": "hi"}, {"tool_call": {"tool_name": "search", "arguments": _ARGUMENTS, "id": "c1"}}]}
        ]
    },
    "legacy choice": {
        "index": 0,
        "message": {"content": "hi", "tool_calls": [{"id": "c1", "function": {"name": "search", "arguments": _ARGUMENTS}}]},
    },
    "calls alone": ["hi", {"name": "search", "arguments": _ARGUMENTS, "id": "c1"}],
}

_ANSWERS: dict[str, Any] = {
    "semconv": [{"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "no such tool"}]}],
    "pydantic": [{"role": "user", "parts": [{"type": "tool_call_response", "id": "c1", "name": "x", "result": "no such tool"}]}],
    "openai": {"messages": [{"role": "user", "content": "x"}, {"role": "tool", "tool_call_id": "c1", "content": "no such tool"}]},
    "openai responses": [{"type": "function_call_output", "id": "o", "call_id": "c1", "output": "no such tool"}],
    "anthropic": [
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "no such tool"}]}]}
    ],
    "bedrock": [{"content": [{"toolResult": {"toolUseId": "c1", "status": "error", "content": [{"text": "no such tool"}]}}]}],
    "gemini": {"contents": [{"parts": [{"functionResponse": {"id": "c1", "name": "search", "response": {"error": "no such tool"}}}]}]},
    "gemini, snake": {"contents": [{"parts": [{"function_response": {"id": "c1", "response": "no such tool"}}]}]},
    "langchain": {
        "messages": [[{"lc": 1, "kwargs": {"content": "no such tool", "type": "tool", "tool_call_id": "c1", "status": "error"}}]]
    },
    "vercel": [
        {"role": "tool", "content": [{"type": "tool-result", "toolCallId": "c1", "toolName": "x", "output": {"value": "no such tool"}}]}
    ],
    "haystack": {
        "messages": [
            {"content": [{"tool_call_result": {"result": "no such tool", "origin": {"id": "c1", "tool_name": "x"}, "error": True}}]}
        ]
    },
}


def _shapes(table: dict[str, Any]) -> Any:
    return pytest.mark.parametrize("messages", table.values(), ids=table.keys())


@both
@_shapes(_OUTPUTS)
def test_texts_and_requests(codec, messages: Any) -> None:
    """One text, one request with its name, id and arguments; the same from a structured value but for how its arguments are written."""
    for value in (json.dumps(messages), messages):
        scan = codec.scan(request(span(1, CHAT | {"gen_ai.output.messages": value})))
        assert (scan.spans["output"][0], scan.spans["output_len"][0]) == (hashed(b"hi"), 2)
        assert [codec.name(number) for number in scan.requests["tool"]] == ["search"]
        assert scan.requests["call_id"].tolist() == [hashed(b"c1")]
        assert scan.requests["arguments"][0] == hashed(json.dumps(_ARGUMENTS).encode() if isinstance(value, str) else b'{"q":1}')
        assert scan.steps["flags"].tolist() == [0]


@both
@_shapes(_ANSWERS)
def test_answers(codec, messages: Any) -> None:
    """One answer with its id, seen to be a refusal; also beside much that is none."""
    padded = [{"role": "system", "content": "x" * 2_000}, messages]
    for value in (json.dumps(messages), messages, json.dumps(padded)):
        scan = codec.scan(request(span(1, CHAT | {"gen_ai.input.messages": value})))
        assert (scan.answers["call_id"].tolist(), scan.answers["refused"].tolist()) == ([hashed(b"c1")], [1])


@both
def test_answers_are_no_requests_and_no_texts(codec) -> None:
    """A history that is taken for an output: nothing in an answer was said or asked for by the model."""
    for name, messages in _ANSWERS.items():
        if name in ("openai", "langchain"):
            continue  # their answers are messages like any other
        scan = codec.scan(request(span(1, CHAT | {"gen_ai.output.messages": json.dumps(messages)})))
        assert (scan.spans["output"][0], len(scan.requests)) == (0, 0), name


@both
def test_structured_messages_on_an_event(codec) -> None:
    """Arrays and key-value lists are read there too."""
    one = span(1, CHAT, event("gen_ai.choice", {"message": _OUTPUTS["semconv"]}))
    scan = codec.scan(request(one))
    assert (scan.spans["output"].tolist(), scan.requests["call_id"].tolist()) == ([hashed(b"hi")], [hashed(b"c1")])


@both
def test_flattened_messages_of_openllmetry(codec) -> None:
    """Without `message` and `tool_call` in the keys."""
    prefix = "gen_ai.completion.0."
    attributes = {prefix + "content": "hi", prefix + "role": "assistant", prefix + "tool_calls.0.id": "c1"}
    attributes |= {prefix + "tool_calls.0.name": "search", prefix + "tool_calls.0.arguments": "{}"}
    scan = codec.scan(request(span(1, CHAT | attributes)))
    assert (scan.spans["output"].tolist(), scan.requests["call_id"].tolist()) == ([hashed(b"hi")], [hashed(b"c1")])
    assert codec.name(scan.requests["tool"][0]) == "search"
    called = {prefix + "function_call.name": "search", prefix + "function_call.arguments": "{}"}
    assert len(codec.scan(request(span(1, CHAT | called))).requests) == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, b"null"),
        (True, b"true"),
        (-3, b"-3"),
        (1500.0, b"1.5e3"),
        (0.1, b"1e-1"),
        (-0.0, b"-0e0"),
        (1e300, b"1e300"),
        (5e-324, b"5e-324"),
        (float("inf"), b"null"),
        (b"x", b"null"),
        ('a"\\\n\x1fé', '"a\\"\\\\\\u000a\\u001fé"'.encode()),
        ({"k": [1, {}, []], "": None}, b'{"k":[1,{},[]],"":null}'),
    ],
)
def test_a_structured_value_as_json(value: Any, expected: bytes) -> None:
    """The same text whoever writes it, so that equal arguments have equal hashes."""
    payload = double(value) if isinstance(value, float) else anything(value)
    assert to_json(payload, 0, len(payload)) == expected
    assert attribute("k", value)
