"""Both codecs say the same: values, errors and byte index, on valid, odd and damaged input."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_ext.errors import MalformedPayload
from otel_ext.model import StepKind
from otel_ext.wire import encode
from otel_ext.wire.table import MARK_SHIFT, NAME_OTHER, Field, Flag, GroupFlag, Key, Limits, StepFlag
from tests.wire import build
from tests.wire.sample import KEYS, LIMITS, assert_alike, codecs, flatten, names_of, needs_native, real_payloads, scan_outcome

# Attributes whose keys the table knows, with values of any type: right and wrong ones.
_KEY_NAMES = [key.name for key in KEYS]
_FLAT = st.builds(
    lambda prefix, i, rest: prefix + i + rest,
    st.sampled_from(["llm.output_messages.", "llm.input_messages.", "gen_ai.completion.", "llm.tools."]),
    st.sampled_from(["0", "1", "02", "10", "x", "1234567890"]),
    st.sampled_from(
        [
            ".message.content",
            ".message.contents.0.message_content.text",
            ".message.contents.1.message_content.text",
            ".message.tool_calls.0.tool_call.id",
            ".message.tool_calls.1.tool_call.function.name",
            ".message.tool_calls.1.tool_call.function.arguments",
            ".message.function_call_name",
            ".message.function_call_arguments_json",
            ".message.tool_call_id",
            ".message.role",
            ".content",
            ".tool_calls.0.id",
            ".tool_calls.0.name",
            ".function_call.arguments",
            ".tool.json_schema",
            ".name",
        ]
    ),
)
_TYPES = ["text", "output_text", "tool_call", "tool_call_response", "tool_use", "tool_result", "function_call", "function_call_output"]
_TYPES += ["tool-call", "tool-result", "reasoning", "function", "blob", "message"]
_SLOT_KEYS = ["type", "content", "text", "id", "name", "arguments", "response", "result", "args", "input", "output", "call_id", "refusal"]
_SLOT_KEYS += ["tool_call_id", "toolCallId", "toolUseId", "tool_use_id", "toolName", "audio", "role", "tool_name"]
_LISTS = ["parts", "content", "contents", "messages", "choices", "candidates", "generations", "replies", "tool_calls", "output"]
_OBJECTS = ["message", "kwargs", "data", "content", "function", "functionCall", "toolUse", "tool_call", "toolResult", "functionResponse"]
_OBJECTS += ["origin", "tool_call_result", "output"]
_JSON_WORDS = [f'"{word}"' for word in (*_TYPES, *_SLOT_KEYS, *_LISTS, *_OBJECTS, "a\\u00e9\\ud83d\\ude00\\ud800", "denied")]
_JSON_WORDS += ["null", "12", "true"]
_JSON_SOUP = st.lists(st.sampled_from([*_JSON_WORDS, "[", "]", "{", "}", ":", ",", " ", '"', "\\"]), max_size=40).map("".join)
_SMALL = st.sampled_from(["a", "", "c1", "f\n", None, 3, ["x"], {"k": "v"}, "I have booked it", "Error: tool x not found", *_TYPES])
_MESSAGE = st.recursive(
    st.dictionaries(st.sampled_from(_SLOT_KEYS), _SMALL, max_size=5),
    lambda inner: st.one_of(
        st.dictionaries(st.sampled_from([*_OBJECTS, "x"]), inner, min_size=1, max_size=2),
        st.tuples(
            st.dictionaries(st.sampled_from(_SLOT_KEYS), _SMALL, max_size=3),
            st.dictionaries(st.sampled_from(_LISTS), st.lists(st.one_of(inner, _SMALL), max_size=3), min_size=1, max_size=2),
        ).map(lambda both: both[0] | both[1]),
    ),
    max_leaves=5,
)
_DOCUMENT = st.one_of(_MESSAGE, st.lists(_MESSAGE, max_size=4))
_MESSAGES = _DOCUMENT.map(json.dumps)
# What the paths of the sample table lead to, and what they do not.
_PLACED = st.fixed_dictionaries(
    {},
    optional={
        "name": _SMALL,
        "calls": st.lists(st.dictionaries(st.sampled_from(["id", "arguments"]), _SMALL, max_size=2), max_size=2),
        "result": _SMALL,
        "usage": st.dictionaries(st.sampled_from(["in", "cost"]), st.one_of(st.integers(-3, 10), st.floats(), _SMALL)),
        "error": st.one_of(st.booleans(), _SMALL),
        "user": _SMALL,
        "texts": st.one_of(st.lists(_SMALL, max_size=3), _SMALL),
        "mark": _SMALL,
        "finish": st.sampled_from(["length", ["stop", "length"], "stop, length", None, 4]),
        "tools": st.one_of(st.lists(_SMALL, max_size=2), _SMALL),
        "messages": _DOCUMENT,
        "kind": st.lists(st.sampled_from(["LLM", "TOOL", "x"]), max_size=2),
        "text": st.sampled_from(["a -> b", "a", "\n -> "]),
    },
).map(json.dumps)
_WORDS = st.lists(st.sampled_from(["na", "Booked", "é", "“x”", "\\n", "\\u00e9", " ", ".", "word7", "a1"]), max_size=60).map(" ".join)
_TEXT = st.one_of(
    st.sampled_from(["chat", "execute_tool", "invoke_agent", "LLM", "TOOL", "", "12", "-3", "1.5e3", "timeout", "é" * 20, "x" * 300]),
    st.text(max_size=20),
    _MESSAGES,
    _JSON_SOUP,
    _PLACED,
    _PLACED.map(json.dumps),
    _WORDS,
    st.sampled_from(["length", '["length"]', "id='c1', name=f", "tools/call", "tools/list", "stop,max_tokens"]),
    st.tuples(_PLACED, st.integers(0, 60)).map(lambda cut: cut[0][: cut[1]]),
    st.tuples(_MESSAGES, st.integers(0, 200)).map(lambda cut: cut[0][: cut[1]]),
)
_VALUE = st.one_of(
    _TEXT,
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.lists(st.text(max_size=3), max_size=3),
    st.sampled_from([["length"], ["a", {"name": "t"}], None, b"x"]),
    _DOCUMENT,
)
_PAIR = st.tuples(st.one_of(st.sampled_from(_KEY_NAMES), _FLAT, st.text(max_size=4)), _VALUE)


def _attributes(pairs: list[tuple[str, object]]) -> bytes:
    return b"".join(build.attribute(key, value) for key, value in pairs)


_EVENTS = st.builds(
    lambda name, pairs, last: build.event(name, dict(pairs), name_last=last),
    st.sampled_from(["gen_ai.choice", "gen_ai.tool.message", "other", ""]),
    st.lists(st.tuples(st.sampled_from(["message", "content", "finish_reason"]), _VALUE), max_size=2),
    st.booleans(),
)
_ODD = st.sampled_from(
    [b"", b"\x30\x02", b"\x50\x01", b"\x60\x02", b"\x50\x01\x50\x00", b"\x50\x80\x80\x80\x80\x10"]
)  # kind, dropped counts


_NAMES = st.sampled_from(["execute_tool search", "agent planner run", "running x", "", "execute_tool ", "agent  run", "tools/call x"])
_SPANS = st.builds(
    lambda trace, own, parent, name, times, pairs, status, flags, kind, events, odd: (
        encode.span(trace, own, parent, name, *times, kind, status=status, flags=flags) + _attributes(pairs) + b"".join(events) + odd
    ),
    st.sampled_from([b"\1" * 16, b"\2" * 16, bytes(16), b"\1" * 8]),
    st.sampled_from([b"\1" * 8, b"\2" * 8, bytes(8), b"", b"\xff" * 8]),
    st.sampled_from([b"\1" * 8, b"\2" * 8, b"", bytes(8), b"\3" * 5]),
    _NAMES,
    st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 3)),
    st.lists(_PAIR, max_size=10),
    st.integers(0, 4),
    st.sampled_from([0, 0x100, 0x300]),
    st.sampled_from(
        [
            {},
            {"gen_ai.operation.name": "chat"},
            {"gen_ai.operation.name": "execute_tool"},
            {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"},
            {"mcp.method.name": "tools/call", "gen_ai.tool.name": "search"},
        ]
    ),
    st.lists(_EVENTS, max_size=3),
    _ODD,
)
_UNKNOWN = st.sampled_from([b"", b"\xa0\x06\x01", b"\xaa\x06\x03abc", b"\x10\x05", b"\x0d\0\0\0\0"])


@st.composite
def _requests(draw: st.DrawFn) -> bytes:
    """A request with unknown fields in it and its fields in any order."""

    def message(parts: list[bytes]) -> bytes:
        return b"".join(draw(st.permutations([*parts, draw(_UNKNOWN)])))

    out = []
    for _ in range(draw(st.integers(0, 2))):
        resource = encode.delimited(1, _resource(draw(st.sampled_from(["shop", "", "désolé"]))))
        scopes = []
        for _ in range(draw(st.integers(0, 2))):
            scope = encode.delimited(1, encode.delimited(1, draw(st.sampled_from([b"lib.x", b"chains", b""]))))
            spans = [encode.delimited(2, draw(_SPANS) + draw(_UNKNOWN)) for _ in range(draw(st.integers(0, 3)))]
            scopes.append(encode.delimited(2, message([scope, *spans])))
        out.append(encode.delimited(1, message([resource, *scopes])))
    return message(out)


def _resource(service: str) -> bytes:
    return encode.delimited(1, encode.attribute("service.name", service)[2:])


@needs_native
@settings(max_examples=400, deadline=None)
@given(st.lists(_requests(), min_size=1, max_size=3), st.integers(0, 100))
def test_alike_on_generated_requests(payloads: list[bytes], seed: int) -> None:
    """The same names are interned in the same order over several payloads, too."""
    both = codecs(replace(LIMITS, depth_max=64))
    for payload in payloads:
        assert isinstance(assert_alike(both, payload, seed), list)
    pure, native = both
    assert names_of(native, len(pure._names._list)) == names_of(pure, len(pure._names._list))


@needs_native
@settings(max_examples=400, deadline=None)
@given(_requests(), st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4), st.integers(0, 10_000))
def test_alike_on_damaged_requests(payload: bytes, edits: list[tuple[int, int]], end: int) -> None:
    """Bytes overwritten, and the end cut off."""
    data = bytearray(payload)
    for at, byte in edits:
        if data:
            data[at % len(data)] = byte
    assert_alike(codecs(), bytes(data), end)
    assert_alike(codecs(), bytes(data[: end % (len(data) + 1)]), end)


@needs_native
@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 100))
def test_alike_on_noise(payload: bytes, seed: int) -> None:
    """Bytes that nobody meant, as a payload, a span and an attribute."""
    nested = encode.delimited(1, encode.delimited(2, encode.delimited(2, payload)))
    attribute = encode.delimited(1, encode.delimited(2, encode.delimited(2, encode.delimited(9, encode.delimited(2, payload)))))
    for one in (payload, nested, attribute):
        assert_alike(codecs(), one, seed)


@needs_native
@settings(max_examples=400, deadline=None)
@given(st.one_of(_JSON_SOUP, _MESSAGES, _MESSAGES.flatmap(lambda text: st.integers(0, len(text)).map(lambda end: text[:end]))))
def test_alike_on_messages(text: str) -> None:
    """JSON in the messages attributes, right and wrong."""
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.output.messages": text, "gen_ai.input.messages": text, "output.value": ""}
    span = encode.span(b"\1" * 16, b"\2" * 8, b"", "n", 1, 2, attributes)
    assert_alike(codecs(), encode.request({}, "lib", "", [span]))


@needs_native
@settings(max_examples=200, deadline=None)
@given(_DOCUMENT)
def test_alike_on_structured_messages(messages: object) -> None:
    """As arrays and key-value lists, on the span and on an event; with as much before it that it is searched before it is read."""
    attributes = build.attribute("gen_ai.output.messages", messages) + build.attribute("gen_ai.input.messages", messages)
    long = encode.attribute("all", json.dumps({"messages": [{"content": "x" * 600}, messages]}))
    event = build.event("gen_ai.choice", {"message": messages}) + build.event("gen_ai.tool.message", {"content": messages})
    span = encode.span(b"\1" * 16, b"\2" * 8, b"", "n", 1, 2, {"gen_ai.operation.name": "chat"})
    both = codecs(Limits())
    for extra in (attributes, event, long):
        assert_alike(both, encode.request({}, "lib", "", [span + extra]))


@needs_native
@settings(max_examples=100, deadline=None)
@given(st.one_of(st.text(max_size=200), _WORDS), st.integers(0, 400), st.binary(max_size=30))
def test_alike_on_prints(text: str, times: int, noise: bytes) -> None:
    """Short and long texts, and bytes that are no text."""
    for one in (text * times, text):
        tool = build.attribute("gen_ai.tool.call.arguments", one)
        raw = encode.delimited(9, encode.delimited(1, b"output.value") + encode.delimited(2, encode.delimited(1, one.encode() + noise)))
        model = encode.span(b"\1" * 16, b"\2" * 8, b"", "n", 1, 2, {"gen_ai.operation.name": "chat"}) + raw
        other = encode.span(b"\1" * 16, b"\3" * 8, b"", "n", 1, 2, {"gen_ai.operation.name": "execute_tool"}) + tool
        assert_alike(codecs(), encode.request({}, "lib", "", [model, other]))


_WRAPPED = st.recursive(
    st.fixed_dictionaries(
        {},
        optional={
            "content": st.one_of(_SMALL, st.lists(_SMALL, max_size=2)),
            "tool_call_id": _SMALL,
            "status": st.sampled_from(["error", "success", None, "err\\u006fr"]),
            "isError": st.sampled_from([True, False, "true", None]),
            "is_error": st.sampled_from([True, False, 1]),
        },
    ),
    lambda inner: st.dictionaries(st.sampled_from(["data", "kwargs", "type", "content"]), inner, min_size=1, max_size=3),
    max_leaves=4,
).map(json.dumps)


@needs_native
@settings(max_examples=400, deadline=None)
@given(
    st.one_of(
        _WRAPPED,
        _JSON_SOUP.map('{"tool_call_id":"c",'.__add__),
        st.tuples(_WRAPPED, st.integers(0, 200)).map(lambda cut: cut[0][: cut[1]]),
    ),
    st.dictionaries(st.sampled_from(["gen_ai.tool.call.id", "error"]), st.sampled_from(["x", ""])),
    st.sampled_from(["execute_tool", "handoff"]),
)
def test_alike_on_envelopes(text: str, others: dict[str, encode.Value], operation: str) -> None:
    """JSON around a tool's result, right and wrong."""
    attributes = others | {"gen_ai.operation.name": operation, "gen_ai.tool.call.result": text}
    span = encode.span(b"\1" * 16, b"\2" * 8, b"", "n", 1, 2, attributes)
    assert_alike(codecs(), encode.request({}, "lib", "", [span]))


@pytest.mark.parametrize("codec", codecs(), ids=lambda codec: type(codec).__name__)
def test_a_result_is_taken_out_of_its_envelope(codec) -> None:
    """What the tool said, who called it and whether it failed; the whole text where nobody says who called."""

    def said(result: object, **others: encode.Value) -> tuple[int, int, int, bool]:
        text = result if isinstance(result, str) else json.dumps(result)
        scan = codec.scan(encode.request({}, "", "", [_tool(1, {"gen_ai.tool.call.result": text} | others)]))
        row = scan.spans[0]
        assert row["flags"] & Flag.HAS_RESULT
        assert bool(scan.steps["flags"][0] & StepFlag.ERROR) == bool(row["flags"] & Flag.ERROR)
        return int(row["result"]), int(row["result_len"]), int(row["call_id"]), bool(row["flags"] & Flag.ERROR)

    plain = said("a b")
    call_id = said("x", **{"gen_ai.tool.call.id": "c\n1"})[2]
    wrapped = {"content": "a b", "tool_call_id": "c\n1", "status": "success"}
    assert plain[2:] == (0, False)
    for one in (wrapped, {"type": "tool", "data": wrapped}, {"kwargs": wrapped}, {"tool_call_id": None, "data": wrapped}):
        assert said(one) == (plain[0], 3, call_id, False)
    other = said("x", **{"gen_ai.tool.call.id": "other"})[2]
    assert said(wrapped, **{"gen_ai.tool.call.id": "other"}) == (plain[0], 3, other, False)
    assert said({"data": wrapped | {"status": "error"}}) == (plain[0], 3, call_id, True)
    assert said(json.dumps(wrapped)[:-5]) == (plain[0], 3, call_id, False)
    for flag in ({"isError": True}, {"is_error": True}):
        text = json.dumps({"content": [{"text": "x"}]} | flag)
        assert said(text)[1:] == (len(text), 0, True)
        assert said(wrapped | flag) == (plain[0], 3, call_id, True)
    for flag in ({"isError": False}, {"is_error": "true"}, {"status": "error"}, {"x": {"isError": True}}, {"tool_call_id": ""}):
        text = json.dumps(flag)
        assert said(text)[1:] == (len(text), 0, False)
    assert said(" " + json.dumps(wrapped))[2] == 0
    assert said(wrapped, **{"gen_ai.operation.name": "handoff"})[2] == 0


@needs_native
def test_alike_on_every_cut_of_a_request() -> None:
    """A payload cut at each byte is refused at the same index, or read the same."""
    payload = _sample_request()
    both = codecs()
    for end in range(len(payload) + 1):
        assert_alike(both, payload[:end], end)


@needs_native
def test_alike_on_real_runs() -> None:
    """Real payloads, whole and with a byte changed."""
    both, rng = codecs(Limits()), random.Random(7)
    count = 0
    for payload in real_payloads(3):
        assert isinstance(assert_alike(both, payload, count), list)
        data = bytearray(payload)
        data[rng.randrange(len(data))] = rng.randrange(256)
        assert_alike(both, bytes(data), count)
        count += 1
    if not count:
        pytest.skip("no captures beside this checkout")


def _sample_request() -> bytes:
    output = json.dumps(
        [{"parts": [{"type": "text", "content": "hi"}, {"type": "tool_call", "id": "c1", "name": "search", "arguments": {"q": 1}}]}]
    )
    answers = json.dumps([{"parts": [{"type": "tool_call_response", "id": "c0", "response": "Error: Tool x not available"}]}])
    chat = {
        "gen_ai.operation.name": "chat",
        "gen_ai.output.messages": output,
        "gen_ai.input.messages": answers,
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": "3",
        "cost": 0.5,
        "gen_ai.request.model": "m1",
        "gen_ai.conversation.id": "c-1",
        "otel_ext.expected_tools": ["search", "book"],
        "langfuse.trace_id": "x",
    }
    tool = {"gen_ai.tool.call.id": "c1", "input.value": "{}", "output.value": "", "error.type": "timeout"}
    event = encode.event("e", 5, {"k": [1, "a", True]})
    spans = [
        encode.span(b"\1" * 16, b"\2" * 8, b"\3" * 8, "chat m1", 10, 30, chat, flags=0x300, extra=[event]),
        encode.span(b"\1" * 16, b"\4" * 8, b"", "execute_tool search", 10, 20, tool, status=2),
        encode.span(b"\1" * 16, bytes(8), b"", "refused", 10, 20, chat),
    ]
    return encode.request({"service.name": "shop"}, "lib.x", "1", spans)


@pytest.mark.parametrize("codec", codecs(), ids=lambda codec: type(codec).__name__)
def test_columns_say_what_the_span_says(codec) -> None:
    """The fields of a known request, by value."""
    payload = _sample_request()
    scan = codec.scan(payload)
    chat, tool, refused = scan.spans
    assert (chat["kind"], tool["kind"], refused["kind"]) == (StepKind.LLM, StepKind.TOOL, StepKind.OTHER)
    assert chat["flags"] == Flag.REMOTE_PARENT | 1 << MARK_SHIFT
    assert tool["flags"] == Flag.ERROR | Flag.HAS_ARGUMENTS | Flag.HAS_RESULT
    assert refused["flags"] == Flag.INVALID_ID
    assert (chat["input_tokens"], chat["output_tokens"], chat["cached_tokens"], chat["cost"]) == (12, 3, -1, 0.5)
    assert [codec.name(chat[name]) for name in ("operation", "tool", "model", "agent", "service")] == ["chat", "", "m1", "", "shop"]
    assert codec.name(tool["tool"]) == "search"
    at, length = int(chat["conversation_at"]), int(chat["conversation_len"])
    assert payload[at : at + length] == b"c-1"
    assert scan.texts == [(0, 1, ["search", "book"])]
    assert codec.name(scan.requests["tool"][0]) == "search"
    assert scan.requests["call_id"][0] == tool["call_id"] != 0
    assert scan.answers["refused"].tolist() == [1]
    assert (scan.requests["settled"].tolist(), scan.answers["settled"].tolist()) == ([1], [0])
    assert scan.step_rows.tolist() == [1, 0]  # by end
    assert scan.groups.tolist() == [(0, 0, 2, 1, 0, 0, 15)]
    assert scan.steps["b"].tolist()[1] == 15
    assert scan.trace_ids == [b"\1" * 16]


def _tool(own: int, attributes: dict[str, encode.Value], trace: int = 1, end: int = 2) -> bytes:
    attributes = {"gen_ai.operation.name": "execute_tool"} | attributes
    return encode.span(bytes([trace]) * 16, bytes([own]) * 8, b"", "t", 1, end, attributes)


def _model(own: int, attributes: dict[str, encode.Value], end: int = 2) -> bytes:
    attributes = {"gen_ai.operation.name": "chat"} | attributes
    return encode.span(b"\1" * 16, bytes([own]) * 8, b"", "m", 1, end, attributes)


@pytest.mark.parametrize("codec", codecs(), ids=lambda codec: type(codec).__name__)
def test_a_group_says_what_repeats(codec) -> None:
    """Equal calls, equal outputs, and a span that is there twice; each alone."""
    call: dict[str, encode.Value] = {"gen_ai.tool.name": "f", "gen_ai.tool.call.arguments": "{}"}
    said: dict[str, encode.Value] = {"output.value": "x", "gen_ai.usage.input_tokens": 4}
    agent = encode.span(b"\1" * 16, b"\7" * 8, b"", "agent a run", 1, 9, {})
    cases = {
        (1, 1, 0, 4): [_tool(1, call), _model(2, said), agent, _tool(1, call, trace=2)],
        (0, 0, GroupFlag.REPEATS, 0): [_tool(1, call), _tool(2, call)],
        (2, 0, GroupFlag.REPEATS | GroupFlag.DOUBLED, 8): [_model(1, said), _model(2, said)],
        (2, 0, GroupFlag.DUPLICATE, 0): [_model(1, {}), _model(1, {})],
        (2, 0, 0, 0): [_model(1, {}), _model(1, {}, end=3)],
    }
    for expected, spans in cases.items():
        group = codec.scan(encode.request({}, "lib.x", "", spans)).groups[0]
        assert tuple(group[["models", "agents", "flags", "tokens"]].item()) == expected


@pytest.mark.parametrize("codec", codecs(), ids=lambda codec: type(codec).__name__)
def test_a_call_is_settled_by_its_own_tool_step(codec) -> None:
    """Same trace, same id, and a step that says how it went."""
    parts = [{"type": "tool_call", "id": "c1", "name": "f"}, {"type": "tool_call", "name": "without"}]
    answers = [{"type": "tool_call_response", "id": "c1", "response": "x"}, {"type": "tool_call_response", "response": "x"}]
    model = _model(1, {"gen_ai.output.messages": json.dumps([{"parts": parts}]), "gen_ai.input.messages": json.dumps([{"parts": answers}])})
    called: dict[str, encode.Value] = {"gen_ai.tool.call.id": "c1", "gen_ai.tool.call.arguments": "{}"}
    cases = [
        ([_tool(2, called | {"gen_ai.tool.call.result": ""})], 1),
        ([_tool(2, called | {"error": True})], 1),
        ([_tool(2, {"gen_ai.tool.call.id": "c1"})], 1),
        ([_tool(2, called)], 0),
        ([_tool(2, called), _tool(3, called | {"error": True})], 1),
        ([_tool(2, called | {"error": True}, trace=2)], 0),
        ([_tool(2, {"gen_ai.tool.call.id": "c2"})], 0),
        ([_tool(2, {"gen_ai.operation.name": "handoff", "gen_ai.tool.call.id": "c1"})], 0),
        ([_tool(2, {})], 0),
    ]
    for tools, settled in cases:
        for spans in ([*tools, model], [model, *tools]):
            scan = codec.scan(encode.request({}, "", "", spans))
            assert (scan.requests["settled"].tolist(), scan.answers["settled"].tolist()) == ([settled, 0], [settled, 0])


@pytest.mark.parametrize("codec", codecs(), ids=lambda codec: type(codec).__name__)
def test_order_of_fields_does_not_matter(codec) -> None:
    """A resource after its scopes, a scope after its spans, a name after its attributes."""
    own = b"".join([encode.attribute("gen_ai.tool.call.id", "1"), encode.delimited(5, b"agent planner run")])
    span = encode.delimited(2, own + encode.delimited(2, b"\1" * 8) + encode.delimited(1, b"\1" * 16))
    scope = encode.delimited(1, encode.delimited(1, b"lib.x"))
    resource = encode.delimited(1, _resource("shop"))
    forward = encode.delimited(1, resource + encode.delimited(2, scope + span))
    backward = encode.delimited(1, encode.delimited(2, span + scope) + resource)
    assert flatten(codec.scan(forward)) == flatten(codec.scan(backward))
    row = codec.scan(backward).spans[0]
    assert (codec.name(row["agent"]), codec.name(row["service"]), row["kind"]) == ("planner", "shop", StepKind.AGENT)


@pytest.mark.parametrize("codec", codecs(Limits(names_max=1)), ids=lambda codec: type(codec).__name__)
def test_names_are_bounded_and_counted(codec) -> None:
    """The second name becomes NAME_OTHER, and is counted where a scan met it."""
    assert codec.intern("") == 0
    first = codec.intern("one")
    assert (codec.intern("two"), codec.intern("one"), codec.name(first)) == (NAME_OTHER, first, "one")
    span = encode.span(b"\1" * 16, b"\2" * 8, b"", "n", 1, 2, {"gen_ai.tool.name": "two"})
    assert codec.scan(encode.request({}, "", "", [span])).overflow == 1
    assert codec.scan(encode.request({}, "scope", "", [])).overflow == 1
    with pytest.raises(IndexError):
        codec.name(99)


@pytest.mark.parametrize("codec", codecs(), ids=lambda codec: type(codec).__name__)
def test_a_fault_says_why_and_where(codec) -> None:
    """One payload a class of fault."""
    cases = {
        b"\x0a": ("varint cut off", 1),
        b"\x0a\x05ab": ("length 5 over the 2 bytes left", 1),
        b"\x00\x00": ("field number 0 is not allowed", 0),
        b"\x08\x01\x0b": ("wire type 3 is not allowed", 2),
        b"\x09abc": ("8 bytes needed, 3 left", 1),
        b"\x08" + b"\xff" * 9 + b"\x02": ("varint over 64 bits", 1),
    }
    for payload, expected in cases.items():
        assert scan_outcome(codec, payload) == expected
    deep = encode.any_value("x")
    for _ in range(LIMITS.depth_max):
        deep = encode.delimited(5, encode.delimited(1, deep))
    span = encode.delimited(9, encode.delimited(2, deep))
    with pytest.raises(MalformedPayload, match="nested deeper than 5"):
        codec.scan(encode.request({}, "l", "", [span]))


@pytest.mark.parametrize("codec", codecs(), ids=lambda codec: type(codec).__name__)
def test_columns_that_do_not_fit_are_refused(codec) -> None:
    """Too few rows, an index without a fragment, a first fragment that is not empty."""
    payload = _sample_request()
    for column in [(np.zeros(2, "u4"), [b""]), (np.full(3, 7), [b"", b"x"]), (np.zeros(3, "u4"), [b"x"]), (np.zeros(3, "u4"), [])]:
        with pytest.raises(ValueError, match=r"column 0"):
            codec.splice(payload, [column])
    with pytest.raises(ValueError, match="keep has 1 rows"):
        codec.project(payload, np.ones(1, "u1"), np.zeros(3, "u8"), [])


def test_a_table_that_cannot_be_is_refused() -> None:
    """Marks out of range, and limits that would break a codec."""
    from otel_ext.wire import make_codec

    with pytest.raises(ValueError, match="mark 24"):
        make_codec([Key("x", Field.MARK, 24)], [])
    with pytest.raises(ValueError, match="FLAT_INPUT has no event"):
        make_codec([Key("x.", Field.FLAT_INPUT, event="e")], [])
    with pytest.raises(ValueError, match="depth_max"):
        make_codec([], [], Limits(depth_max=10_000))
