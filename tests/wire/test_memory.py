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
from otel_ext.wire.names import hashed
from otel_ext.wire.pure import PureCodec
from otel_ext.wire.table import DECLARED_JSON, Field, Key, Limits, StepFlag
from tests.wire import build, sample

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


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["gen_ai.choice", "gen_ai.tool.message", "other"]),
        st.dictionaries(st.sampled_from(["message", "content", "finish_reason", "x"]), VALUES, max_size=3),
    ),
    max_size=3,
)
DOCUMENT = json.dumps({"name": "a\n", "calls": [{"id": "c"}], "user": "u", "tools": ["t"], "texts": ["x"], "usage": {"in": 3}})
SAMPLED = st.dictionaries(
    st.sampled_from(sorted({key.name for key in sample.KEYS if not key.event} | {"llm.tools.0.name", "gen_ai.completion.0.content"})),
    VALUES | st.sampled_from([DOCUMENT, "done", ["done", {"name": "t"}]]),
    max_size=8,
)


@pytest.mark.skipif(not NATIVE, reason="no native codec here")
@given(ATTRIBUTES, st.text(max_size=20), st.booleans())
def test_both_codecs_read_the_same(attributes: dict[str, Any], name: str, inputs: bool) -> None:
    """Whatever the values are, also types that OTLP does not have."""
    native, pure = make_codec(KEYS, RULES), PureCodec(KEYS, RULES, Limits())
    arguments = (name, b"langfuse-sdk", b"shop", 77, 10, 20, 0, attributes, inputs)
    assert native.span(*arguments) == pure.span(*arguments)


@sample.needs_native
@given(SAMPLED, EVENTS, st.booleans(), st.sampled_from([0, 7, 2**64 - 1]), st.integers(0, 5), st.booleans())
def test_both_codecs_read_the_same_of_events_and_places(attributes, events, inputs, parent_id, kind, cut) -> None:
    """The keys of the sample table, which has one of each sort."""
    pure, native = sample.codecs(Limits())
    arguments = ("tools/call x", b"lib", b"shop", 77, 10, 20, 0, attributes, inputs, parent_id, kind, cut, events)
    assert native.span(*arguments) == pure.span(*arguments)


both = pytest.mark.parametrize("codec", sample.codecs(Limits()), ids=lambda codec: type(codec).__name__)


@both
def test_a_span_in_memory_is_the_step_that_it_is_on_the_wire(codec) -> None:
    """With its parent, its events and what was dropped; of MCP also the side of the server."""
    attributes: dict[str, Any] = {"gen_ai.operation.name": "chat", "gen_ai.output.messages": MESSAGES}
    events = [("gen_ai.choice", {"finish_reason": "max_tokens"}), ("other", {"message": "x"})]
    wire = build.span(7, attributes, *(build.event(name, pairs) for name, pairs in events), parent=3, name="chat", dropped=(1, 0))
    scan = codec.scan(build.request(wire))
    single = codec.span("chat", b"", b"", 0x0707070707070707, 1, 2, 0, attributes, False, 0x0303030303030303, 1, True, events)
    assert single is not None
    assert single[2] == scan.steps.tobytes()
    assert scan.steps["flags"].tolist() == [StepFlag.TRUNCATED | StepFlag.CUT]
    server = codec.span("x", b"", b"", 0x0707070707070707, 1, 2, 0, build.CALL, False, 0x0505050505050505, 2)
    assert server is not None
    assert server[2] == codec.scan(build.request(build.span(7, build.CALL, parent=5, kind=2))).steps.tobytes()
    assert codec.span("x", b"", b"", 7, 1, 2, 0, build.CALL, False, 0, 3) is not None


@pytest.mark.parametrize("make", [PureCodec, make_codec], ids=["pure", "made"])
def test_answers_on_events_are_read_where_they_are_wanted(make) -> None:
    """Like those in attributes."""
    keys = [
        Key("gen_ai.operation.name", Field.KIND, values={"chat": StepKind.LLM}),
        Key("content", Field.INPUT_MESSAGES, event="gen_ai.tool.message"),
    ]
    codec = make(keys, [], Limits())
    events = [("gen_ai.tool.message", {"content": json.dumps([{"toolResult": {"toolUseId": "c", "content": "x"}}])})]
    told = [
        codec.span("x", b"", b"", 7, 1, 2, 0, {"gen_ai.operation.name": "chat"}, inputs, 0, 0, False, events) for inputs in (True, False)
    ]
    assert [one is not None and one[6] is not None for one in told] == [True, False]


@both
def test_what_few_spans_tell(codec) -> None:
    """User, an output that may claim something, declared tools with their hashes; None where there is nothing of it."""
    chat: dict[str, Any] = {"gen_ai.operation.name": "chat"}
    more = {"user.id": "u1", "output.value": "It is booked.", "gen_ai.tool.definitions": '["search"]'}

    def read(**attributes: Any) -> object:
        single = codec.span("x", b"", b"", 7, 1, 2, 0, chat | attributes, False)
        return single and single[9]

    assert read(**more) == ("u1", "It is booked.", [(DECLARED_JSON, hashed(b'["search"]'), b'["search"]')])
    assert read(**{"user.id": "u1", "output.value": "Hello"}) == ("u1", None, None)
    assert read(**{"output.value": "Hello"}) is None


def test_what_a_step_tells() -> None:
    """Kind and name, step, agent and service, requests, conversation; None for a span that is no step."""
    codec = make_codec(KEYS, RULES)
    chat = {"gen_ai.operation.name": "chat", "gen_ai.output.messages": MESSAGES, "gen_ai.conversation.id": "c1", "gen_ai.agent.name": "a"}
    read = codec.span("chat", b"", b"shop", 7, 10, 20, 2, chat, False)
    assert read is not None
    kind, name, step, agent, service, requests, answers, conversation, texts, more = read
    assert (kind, name, len(step), len(requests or b""), answers, conversation, texts, more) == (
        StepKind.LLM,
        0,
        28,
        24,
        None,
        "c1",
        None,
        None,
    )
    assert (codec.name(agent), codec.name(service)) == ("a", "shop")
    assert codec.span("GET", b"", b"", 7, 10, 20, 0, {"x": math.nan}, True) is None
