"""The text an assistant showed, in the shapes that SDKs record."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_ext.detectors.claim_texts import DEPTH, LIMIT, texts_of

SAYS = "I've booked it."
SHAPES = {
    "plain": SAYS,
    "a string in JSON": json.dumps(SAYS),
    "semconv": json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": SAYS}], "finish_reason": "stop"}]),
    "semconv, reasoning and a call beside it": json.dumps(
        [
            {
                "role": "assistant",
                "parts": [{"type": "reasoning", "content": "Hm."}, {"type": "text", "content": SAYS}, {"type": "tool_call", "name": "x"}],
            }
        ]
    ),
    "OpenAI message": json.dumps({"role": "assistant", "content": SAYS, "tool_calls": [{"function": {"name": "x", "arguments": "{}"}}]}),
    "OpenAI chat completion": json.dumps({"id": "c", "choices": [{"index": 0, "message": {"role": "assistant", "content": SAYS}}]}),
    "OpenAI response": json.dumps(
        {
            "output": [
                {"type": "reasoning", "summary": []},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": SAYS}]},
            ]
        }
    ),
    "Anthropic": json.dumps(
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": SAYS}, {"type": "tool_use"}]}
    ),
    "Gemini": json.dumps({"candidates": [{"content": {"role": "model", "parts": [{"text": "Hm.", "thought": True}, {"text": SAYS}]}}]}),
    "Gemini content": json.dumps({"role": "model", "parts": [{"text": SAYS}, {"function_call": {"name": "x"}}]}),
    "LangChain generations": json.dumps({"generations": [[{"text": SAYS, "message": {"kwargs": {"content": SAYS}}}]]}),
    "LangChain messages": json.dumps({"messages": [{"type": "human", "content": "Book!"}, {"type": "ai", "content": SAYS}]}),
    "LangChain message": json.dumps({"lc": 1, "type": "constructor", "id": ["AIMessage"], "kwargs": {"content": SAYS, "type": "ai"}}),
    "conversation": json.dumps(
        [
            {"role": "assistant", "content": "I've cancelled it."},
            {"role": "user", "content": "Book!"},
            {"role": "assistant", "content": SAYS},
        ]
    ),
    "content blocks alone": json.dumps([{"text": SAYS}]),
}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_visible_text_is_found(shape: str) -> None:
    assert texts_of(SHAPES[shape].encode()) == SAYS


@pytest.mark.parametrize(
    "value",
    [
        [{"role": "assistant", "parts": [{"type": "tool_call", "name": "book", "arguments": {"text": SAYS}}]}],
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "x", "arguments": "{}"}}]},
        {"role": "user", "content": SAYS},
        [{"role": "tool", "parts": [{"type": "tool_call_response", "response": SAYS}]}],
        [],
    ],
)
def test_where_nothing_was_shown_there_is_nothing(value: object) -> None:
    assert texts_of(json.dumps(value).encode()) == ""


def test_parts_are_joined_by_newlines() -> None:
    assert (
        texts_of(
            json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": "a"}, {"type": "text", "content": "b"}]}]).encode()
        )
        == "a\nb"
    )


def test_an_answer_of_unknown_shape_is_the_text_itself() -> None:
    """A structured answer is what the user is shown."""
    text = json.dumps({"status": "ok", "note": SAYS})
    assert texts_of(text.encode()) == text


@pytest.mark.parametrize("cut", [b"I've", b"booked", b"ed it", b'"}]'])
def test_of_json_that_was_cut_the_text_is_still_read(cut: bytes) -> None:
    value = json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": 'I said "yes"\nI\'ve booked it.'}]}]).encode()
    assert texts_of(value[: value.index(cut)]).startswith('I said "yes"\n')


def test_reasoning_in_json_that_was_cut_stays_out() -> None:
    value = json.dumps(
        [{"role": "assistant", "parts": [{"type": "reasoning", "content": "Hm."}, {"type": "text", "content": SAYS}]}]
    ).encode()
    assert texts_of(value[:-3]) == SAYS


def test_depth_and_length_have_a_bound() -> None:
    nested: object = SAYS
    for _ in range(DEPTH + 5):
        nested = {"content": [nested]}
    assert SAYS in texts_of(json.dumps(nested).encode())  # as the raw text
    assert len(texts_of(b"x" * (LIMIT + 1000))) == LIMIT
    assert texts_of(b"[" * 100_000)


@given(st.binary(max_size=300) | st.text(alphabet='[]{}":,\\abu0123 textcontent', max_size=300).map(str.encode))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_read(value: bytes) -> None:
    assert isinstance(texts_of(value), str)


KEYS = st.sampled_from(["role", "type", "content", "parts", "text", "message", "messages", "thought", "kwargs", "x"])
LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=9)
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12)


@given(JSON)
@settings(max_examples=300, deadline=None)
def test_any_json_is_read(value: object) -> None:
    assert isinstance(texts_of(json.dumps(value).encode()), str)
