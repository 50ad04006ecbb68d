"""A span in memory is read like the same span on the wire, by both codecs."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_ext.dialects import KEYS, RULES
from otel_ext.model import StepKind
from otel_ext.wire import NATIVE, make_codec
from otel_ext.wire.pure import PureCodec
from otel_ext.wire.table import Limits

NAMES = sorted({key.name for key in KEYS})
MESSAGES = json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": "hi"}, {"type": "tool_call", "id": "c", "name": "s"}]}])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.sampled_from(["chat", "execute_tool", "TOOL", MESSAGES]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3) | st.tuples(inner),
    max_leaves=5,
)
ATTRIBUTES = st.dictionaries(st.sampled_from([*NAMES, "llm.output_messages.0.message.content", "other"]), VALUES, max_size=8)


@pytest.mark.skipif(not NATIVE, reason="no native codec here")
@given(ATTRIBUTES, st.text(max_size=20), st.booleans())
def test_both_codecs_read_the_same(attributes: dict[str, Any], name: str, inputs: bool) -> None:
    """Whatever the values are, also types that OTLP does not have."""
    native, pure = make_codec(KEYS, RULES), PureCodec(KEYS, RULES, Limits())
    arguments = (name, b"langfuse-sdk", b"shop", 77, 10, 20, 0, attributes, inputs)
    assert native.span(*arguments) == pure.span(*arguments)


def test_what_a_step_tells() -> None:
    """Kind and name, step, agent and service, requests, conversation; None for a span that is no step."""
    codec = make_codec(KEYS, RULES)
    chat = {"gen_ai.operation.name": "chat", "gen_ai.output.messages": MESSAGES, "gen_ai.conversation.id": "c1", "gen_ai.agent.name": "a"}
    read = codec.span("chat", b"", b"shop", 7, 10, 20, 2, chat, False)
    assert read is not None
    kind, name, step, agent, service, requests, answers, conversation, texts = read
    assert (kind, name, len(step), len(requests or b""), answers, conversation, texts) == (StepKind.LLM, 0, 28, 24, None, "c1", None)
    assert (codec.name(agent), codec.name(service)) == ("a", "shop")
    assert codec.span("GET", b"", b"", 7, 10, 20, 0, {"x": math.nan}, True) is None
