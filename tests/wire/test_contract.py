"""What `table.py` promises, by value, of both codecs: keys with places, tokens, steps, groups, scopes, declared tools."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otel_ext.model import StepKind
from otel_ext.wire.names import fold, hashed
from otel_ext.wire.prints import pair, shape, text_print
from otel_ext.wire.table import (
    CLAIM_WORDS,
    DECLARED_ESCAPED,
    DECLARED_JSON,
    DECLARED_ONE,
    DECLARED_VALUE,
    MARK_SHIFT,
    Flag,
    GroupFlag,
    StepFlag,
)
from tests.wire.build import AGENT, CALL, CHAT, TOOL, event, request, scopes, span
from tests.wire.sample import KEYS, codecs

both = pytest.mark.parametrize("codec", codecs(), ids=lambda codec: type(codec).__name__)


def chat(own: int = 1, /, *events: bytes, **more: Any) -> bytes:
    return span(own, CHAT | more, *events)


def tool(own: int = 1, /, parent: int = 0, **more: Any) -> bytes:
    return span(own, TOOL | more, parent=parent)


def calls(*, id: str = "c1", name: str = "search") -> str:
    return json.dumps([{"parts": [{"type": "tool_call", "id": id, "name": name}]}])


@both
def test_a_path_takes_what_stands_there(codec) -> None:
    """Names, ids, numbers, flags, texts, marks and messages out of one JSON attribute."""
    document = {
        "name": "se\u00e4rch\n",
        "calls": [{"id": "c\n1", "arguments": '{"q": 1}'}],
        "usage": {"in": 12, "cost": 0.5},
        "error": True,
        "user": "u1",
        "texts": ["a\n", 1, "b"],
        "mark": 0,
        "finish": ["stop", "length"],
        "tools": [{"name": "search"}],
        "messages": [{"role": "tool", "tool_call_id": "c0", "content": "not found"}],
    }
    payload = request(chat(all=json.dumps(document)))
    scan = codec.scan(payload)
    row = scan.spans[0]
    assert codec.name(row["tool"]) == "se\u00e4rch\n"
    assert row["call_id"] == hashed(b"c\n1")
    assert row["arguments"] == hashed(b'{\\"q\\": 1}')
    assert (row["input_tokens"], row["cost"]) == (12, 0.5)
    assert row["flags"] & Flag.ERROR
    assert row["flags"] & 1 << MARK_SHIFT + 4
    assert payload[row["user_at"] : row["user_at"] + row["user_len"]] == b"u1"
    assert scan.texts == [(0, 2, ["a\n", "b"])]
    assert scan.steps["flags"][0] & StepFlag.TRUNCATED
    assert scan.answers["refused"].tolist() == [1]
    (declared,) = scan.declared
    assert payload[declared["at"] : declared["at"] + declared["len"]] == json.dumps(document["tools"]).encode()


@both
@pytest.mark.parametrize(
    "text", ["", "plain", "12 apples", "null", "{}", "[1]", '{"name": null}', '{"name": {}}', '{"name": wrong}', '{"name']
)
def test_a_path_into_anything_else_yields_nothing(codec, text: str) -> None:
    """No name, no mark, and no fault."""
    scan = codec.scan(request(chat(all=text)))
    row = scan.spans[0]
    assert (row["tool"], row["call_id"], row["flags"] >> MARK_SHIFT, len(scan.declared)) == (0, 0, 0, 0)


@both
def test_the_whole_of_a_json_string_is_unquoted(codec) -> None:
    """The path () reads a quoted text as what is in the quotes; what is no JSON is left to the next key."""
    assert codec.scan(request(chat(all='"hello"'))).spans["output"][0] == hashed(b"hello")
    assert codec.scan(request(chat(all="hello"))).spans["output"][0] == hashed(b"hello")
    assert codec.scan(request(chat(all='"hello" he said'))).spans["output"][0] == hashed(b'"hello" he said')
    inner = json.dumps(calls())
    assert codec.scan(request(chat(all=inner))).requests["call_id"].tolist() == [hashed(b"c1")]


@both
def test_a_list_that_is_cut_off_is_taken_as_far_as_it_goes(codec) -> None:
    """Answers that were complete by then."""
    text = json.dumps({"messages": [{"tool_call_id": "a", "content": "x"}, {"tool_call_id": "b", "content": "y"}]})
    assert codec.scan(request(chat(all=text[:-5]))).answers["call_id"].tolist() == [hashed(b"a")]


@both
def test_between_two_markers(codec) -> None:
    """To the end where the second is empty, from the start where the first is; nothing without the markers."""
    scan = codec.scan(request(tool(repr="ToolCall(id='c1', name=search"), tool(2, repr="id='c1"), tool(3, repr='{"text": "a -> b"}')))
    assert scan.spans["call_id"].tolist() == [hashed(b"c1"), 0, 0]
    assert codec.name(scan.spans["tool"][0]) == "search"
    assert scan.spans["arguments"].tolist() == [0, 0, hashed(b"a")]


@both
def test_a_scope_limits_a_key(codec) -> None:
    """The start of its name decides, for kinds too."""
    one = span(1, {"x.kind": '{"kind": ["TOOL"]}', "scoped": "search"})
    row = codec.scan(request(one, scope="lib.x")).spans[0]
    assert (row["kind"], codec.name(row["tool"])) == (StepKind.TOOL, "search")
    row = codec.scan(request(one, scope="other")).spans[0]
    assert (row["kind"], row["tool"]) == (StepKind.OTHER, 0)


@both
@pytest.mark.parametrize("name_last", [False, True])
def test_events_are_read_where_a_key_names_them(codec, name_last: bool) -> None:
    """A model's answer and calls, its finish reason, all its tool answers; a tool's arguments and result."""
    said = json.dumps([{"text": "hi"}, {"toolUse": {"toolUseId": "c1", "name": "search", "input": {"q": 1}}}])
    told = [json.dumps([{"toolResult": {"toolUseId": name, "content": [{"text": "x"}]}}]) for name in ("a", "b")]
    model = chat(
        1,
        *(event("gen_ai.tool.message", {"content": text}, name_last=name_last) for text in told),
        event("gen_ai.choice", {"message": said, "finish_reason": "max_tokens"}, name_last=name_last),
        event("other", {"message": "not this"}),
    )
    called = span(2, TOOL, event("gen_ai.tool.message", {"content": "{}"}), event("gen_ai.choice", {"message": "ok"}))
    scan = codec.scan(request(model, called, chat(3, message=said)))
    assert scan.spans["output"].tolist() == [hashed(b"hi"), 0, 0]
    assert (codec.name(scan.requests["tool"][0]), scan.requests["call_id"].tolist()) == ("search", [hashed(b"c1")])
    assert scan.answers["call_id"].tolist() == [hashed(b"a"), hashed(b"b")]
    assert [bool(flags & StepFlag.TRUNCATED) for flags in scan.steps["flags"]] == [True, False, False]
    assert (scan.spans["arguments"][1], scan.spans["result"][1]) == (hashed(b"{}"), hashed(b"ok"))


@both
def test_input_tokens_have_the_cached_ones_in_them(codec) -> None:
    """Whatever the dialect: a net count grows by what is known, and so does a gross one that cannot have had them."""

    def read(**more: Any) -> tuple[int, int, int]:
        row = codec.scan(request(chat(**more))).spans[0]
        return int(row["input_tokens"]), int(row["cached_tokens"]), int(row["cache_write_tokens"])

    gross = "gen_ai.usage.input_tokens"
    assert read(net=10) == (10, -1, -1)
    assert read(net=10, cached=5, written=3) == (18, 5, 3)
    assert read(net=10, cached=5, **{gross: 100}) == (100, 5, -1)
    assert read(cached=60, written=30, **{gross: 100}) == (100, 60, 30)
    assert read(cached=90, written=20, **{gross: 100}) == (210, 90, 20)
    assert read(cached=90, written=20) == (-1, 90, 20)
    assert read(net=2**31 - 1, cached=5) == (2**31 - 1, 5, -1)
    assert read(**{"net": 10, "llm.token_count.prompt": 7}) == (7, -1, -1)


@both
def test_a_pair_of_arguments_tells_a_counter_from_a_difference(codec) -> None:
    """Equal, the same but for numbers and case, different; and none."""
    texts = ['{"page": 1}', '{"page": 1}', '{"Page": 22}', '{"city": 1}']
    spans = [tool(own, **{"gen_ai.tool.call.arguments": text}) for own, text in enumerate(texts, 1)]
    one, same, counted, other, none = codec.scan(request(*spans, tool(9))).steps["a"].tolist()
    assert one == same == pair(shape(b'{"page": 1}'), hashed(b'{"page": 1}'))
    assert one != counted
    assert one >> 16 == counted >> 16 != other >> 16
    assert none == 0
    assert all(half for a in (one, counted, other) for half in (a >> 16, a & 0xFFFF))


@both
def test_long_arguments_differ_where_they_do(codec) -> None:
    """Past the bound a number counts as it is, before it it does not."""
    long = '{"text": "' + "x " * 10_000
    spans = [
        tool(own, **{"gen_ai.tool.call.arguments": text}) for own, text in enumerate([long + "1", long + "2", "1" + long, "22" + long], 1)
    ]
    late, later, early, earlier = codec.scan(request(*spans)).steps["a"].tolist()
    assert late >> 16 != later >> 16
    assert early >> 16 != earlier >> 16 or early != earlier


@both
def test_a_pair_of_an_output_tells_likeness(codec) -> None:
    """Few bits for a word changed, many for another text; the same text is the same in a message and on its own."""
    text = "The flight to Paris on Monday was found and it leaves at nine in the morning from gate seven of the old terminal"
    texts = [text, text.replace("seven", "eight"), "Ein ganz anderer Satz ohne gemeinsame Worte, der nichts davon weiß, was oben steht"]
    spans = [chat(own, **{"output.value": each}) for own, each in enumerate(texts, 1)]
    spans.append(chat(4, **{"gen_ai.output.messages": json.dumps([{"parts": [{"type": "text", "content": text}]}])}))
    one, alike, other, message = codec.scan(request(*spans)).steps["a"].tolist()
    assert message == one == pair(text_print(text.encode()).sim, hashed(text.encode()))
    assert one & 0xFFFF == fold(hashed(text.encode())) & 0xFFFF
    assert ((one ^ alike) >> 16).bit_count() <= 3 < ((one ^ other) >> 16).bit_count()


@both
def test_parents_of_model_steps_are_known(codec) -> None:
    """The low half of the parent's span id; 0 for a root."""
    scan = codec.scan(request(span(2, CHAT, parent=7), span(3, {"gen_ai.operation.name": "embeddings"}, parent=8), chat(4)))
    assert scan.steps["c"].tolist() == [0x07070707, 0x08080808, 0]


@both
def test_what_a_step_says_of_its_span(codec) -> None:
    """Each flag alone."""

    def flags(one: bytes) -> int:
        (found,) = codec.scan(request(one)).steps["flags"].tolist()
        return found

    result = "gen_ai.tool.call.result"
    assert flags(tool(**{result: "x" * 64})) == StepFlag.HAS_RESULT | StepFlag.SHORT_RESULT
    assert flags(tool(**{result: "x" * 65})) == StepFlag.HAS_RESULT
    assert flags(tool(**{result: ""})) == StepFlag.HAS_RESULT | StepFlag.SHORT_RESULT
    assert flags(span(1, TOOL, dropped=(1, 0))) == flags(span(1, CHAT, dropped=(0, 3))) == StepFlag.CUT
    assert flags(span(1, TOOL, dropped=(0, 0))) == 0
    for reason in (["stop", "length"], "length", '["max_tokens"]', '"length"', " stop , length "):
        assert flags(chat(finish=reason)) == StepFlag.TRUNCATED
    for reason in (["stop"], "Length", '["stop"', "", 5, "[length]"):
        assert flags(chat(finish=reason)) == 0
    assert flags(tool(finish="length")) == 0


_EMPTY = ["[]", '[{"role": "assistant", "content": null}]', '[{"role": "assistant", "parts": []}]', '{"content": ""}', "", None, "null"]
_NOT_EMPTY = [
    '[{"role": "assistant"}]',
    '[{"parts": [{"type": "text"}]}]',
    '[{"parts": [{"type": "blob", "content": "xyz"}]}]',
    '[{"role": "assistant", "content": "hi"}]',
    '[{"role": "assistant", "content": null, "tool_calls": [{"id": "c1", "function": {"name": "f"}}]}]',
    '[{"role": "assistant", "content": null, "refusal": "no"}]',
    '[{"role": "assistant", "content": null}',
    '{"answer": 42}',
    "plain text",
    5,
]


@both
def test_empty_is_what_was_recorded_and_is_nothing(codec) -> None:
    """Not what was not recorded, was cut off, or is not understood."""
    for value in _EMPTY:
        assert codec.scan(request(chat(**{"gen_ai.output.messages": value}))).steps["flags"][0] == StepFlag.EMPTY, value
    for value in _NOT_EMPTY:
        assert codec.scan(request(chat(**{"gen_ai.output.messages": value}))).steps["flags"][0] == 0, value
    assert codec.scan(request(chat())).steps["flags"][0] == 0
    assert codec.scan(request(chat(**{"output.value": ""}))).steps["flags"][0] == StepFlag.EMPTY
    assert codec.scan(request(chat(**{"output.value": "", "gen_ai.output.messages": calls()}))).steps["flags"][0] == 0
    thought = [{"parts": [{"type": "reasoning", "content": "hm"}]}]
    assert codec.scan(request(chat(**{"gen_ai.output.messages": thought}))).steps["flags"][0] == StepFlag.EMPTY


@both
def test_repetition_is_few_words_over_and_over(codec) -> None:
    """Twenty words or more of which under three in ten differ."""
    cases = {"again and " * 10: True, "again and " * 9: False, " ".join(f"w{n}" for n in range(30)): False, "Na na NA " * 200: True}
    for text, repetitive in cases.items():
        (flags,) = codec.scan(request(chat(**{"output.value": text}))).steps["flags"].tolist()
        assert bool(flags & StepFlag.REPETITIVE) == repetitive, text


@both
def test_a_claim_is_seen_wherever_its_word_stands(codec) -> None:
    """Each word; in any case; beside punctuation, escapes and other letters; at both ends of a long text. Not inside of a word."""

    def claims(text: str, **more: Any) -> bool:
        return bool(codec.scan(request(span(1, (more or CHAT) | {"output.value": text}))).spans["flags"][0] & Flag.CLAIM)

    assert all(claims(f"I have {word} it") for word in CLAIM_WORDS)
    for text in (
        "BOOKED",
        "“booked”",
        "—booked—",
        "x\\nbooked",
        "\\u00e9booked\\n",
        "(booked)",
        "booked" + " x" * 20_000,
        "x " * 20_000 + "booked",
    ):
        assert claims(text), text
    for text in ("overbooked", "booked1", "book ed", "x " * 9_000 + "booked" + " x" * 9_000, "\\u0000ne"):
        assert not claims(text), text
    assert claims("booked", **AGENT)
    assert not claims("booked", **TOOL)
    assert not claims("booked", **{"gen_ai.operation.name": "embeddings"})


@both
def test_an_mcp_call_is_a_step(codec) -> None:
    """With its tool, arguments, result and the low half of its parent; the name of the tool may stand in the name of the span."""
    more = {"gen_ai.tool.call.arguments": "{}", "gen_ai.tool.call.result": "ok"}
    scan = codec.scan(request(span(1, CALL | more, parent=9), span(2, {"mcp.method.name": "tools/call"}, name="tools/call search", end=3)))
    one, other = scan.steps
    assert (one["kind"], codec.name(one["name"]), one["c"]) == (StepKind.MCP, "search", 0x09090909)
    assert (one["a"], one["b"]) == (pair(shape(b"{}"), hashed(b"{}")), fold(hashed(b"ok")))
    assert one["flags"] == StepFlag.HAS_ARGUMENTS | StepFlag.HAS_RESULT | StepFlag.SHORT_RESULT
    assert (other["kind"], codec.name(other["name"]), other["c"]) == (StepKind.MCP, "search", 0)
    assert scan.groups["flags"].tolist() == [GroupFlag.DOUBLED]


@both
@pytest.mark.parametrize("backwards", [False, True])
def test_one_call_is_one_step_whoever_tells_of_it(codec, backwards: bool) -> None:
    """A tool's span inside one of the same tool is no step; what is not surely the same call stays, and so do all sides of an MCP call."""
    named = TOOL | {"gen_ai.tool.name": "search"}
    other = TOOL | {"gen_ai.tool.name": "lookup"}
    cases = [
        ([span(1, {"mcp.method.name": "tools/list"})], []),
        ([span(1, CALL, kind=2)], [1]),
        ([span(1, named), span(2, CALL, parent=1)], [1, 2]),
        ([span(1, CALL), span(2, CALL, parent=1), span(3, CALL, parent=2, kind=2)], [1, 2, 3]),
        ([span(1, CALL | {"gen_ai.tool.name": ""}), span(2, CALL, parent=1)], [2]),
        ([span(1, named), span(2, named, parent=1, trace=2)], [1, 2]),
        ([span(1, named), span(2, named, parent=1), span(3, named, parent=2)], [1]),
        ([span(1, named), span(2, other, parent=1)], [1, 2]),
        ([span(1, TOOL), span(2, TOOL, parent=1)], [1, 2]),
        ([span(1, named, parent=1)], [1]),
        ([span(1, CHAT), span(2, CALL, parent=1)], [1, 2]),
    ]
    for spans, stay in cases:
        scan = codec.scan(request(*(reversed(spans) if backwards else spans)))
        assert sorted(int(span_id) >> 24 for span_id in scan.steps["span"]) == stay
        assert scan.spans["span_id"][scan.step_rows].tolist() == [int(span_id) * 0x100000001 for span_id in scan.steps["span"]]


@both
def test_what_an_inner_call_tells_is_not_lost(codec) -> None:
    """Arguments, result, call id and error fill what the outer step lacks, and settle what was asked for."""
    outer = TOOL | {"gen_ai.tool.name": "search"}
    inner = outer | {"gen_ai.tool.call.id": "c1", "gen_ai.tool.call.arguments": "{}", "gen_ai.tool.call.result": "ok", "error": True}
    asked = chat(5, **{"gen_ai.output.messages": calls()})
    scan = codec.scan(request(asked, span(1, outer), span(2, outer, parent=1), span(3, inner, parent=2)))
    step = scan.steps[-1] if scan.steps["kind"][-1] == StepKind.TOOL else scan.steps[0]
    assert (step["a"], step["b"], step["c"]) == (pair(shape(b"{}"), hashed(b"{}")), fold(hashed(b"ok")), fold(hashed(b"c1")))
    assert step["flags"] == StepFlag.ERROR | StepFlag.HAS_ARGUMENTS | StepFlag.HAS_RESULT | StepFlag.SHORT_RESULT
    assert scan.requests["settled"].tolist() == [1]
    own = outer | {"gen_ai.tool.call.id": "own", "gen_ai.tool.call.arguments": "1", "gen_ai.tool.call.result": "x" * 99}
    scan = codec.scan(request(asked, span(1, own), span(2, inner, parent=1)))
    step = scan.steps[-1] if scan.steps["kind"][-1] == StepKind.TOOL else scan.steps[0]
    assert (step["a"], step["b"], step["c"]) == (pair(shape(b"1"), hashed(b"1")), fold(hashed(b"x" * 99)), fold(hashed(b"own")))
    assert step["flags"] == StepFlag.ERROR | StepFlag.HAS_ARGUMENTS | StepFlag.HAS_RESULT
    assert scan.requests["settled"].tolist() == [1]


@both
def test_a_call_with_lost_attributes_is_not_hollow(codec) -> None:
    """Its result may have been among them."""
    asked = chat(5, **{"gen_ai.output.messages": calls()})
    called = TOOL | {"gen_ai.tool.call.id": "c1", "gen_ai.tool.call.arguments": "{}"}
    assert codec.scan(request(asked, span(1, called))).requests["settled"].tolist() == [0]
    assert codec.scan(request(asked, span(1, called, dropped=(1, 0)))).requests["settled"].tolist() == [1]


@both
def test_a_group_says_what_is_doubled_alike_or_unusual(codec) -> None:
    """Each reason alone."""
    ms = 1_000_000
    said = CHAT | {"output.value": "some words that were said"}
    page = [TOOL | {"gen_ai.tool.name": "f", "gen_ai.tool.call.arguments": f'{{"page": {n}}}'} for n in (1, 2)]
    text = " ".join(f"word{n % 90}" for n in range(200))
    alike = [CHAT | {"output.value": text + more} for more in ("", " word7 word7")]
    assert (text_print(text.encode()).sim ^ text_print((text + " word7 word7").encode()).sim).bit_count() <= 2
    cases = [
        ([span(1, CHAT), span(2, CHAT, parent=1)], GroupFlag.DOUBLED),
        ([span(1, CHAT, parent=1), span(2, CHAT, parent=9)], 0),
        ([span(1, CHAT, parent=2), span(2, TOOL)], 0),
        ([span(1, said, end=ms), span(2, said, end=51 * ms)], GroupFlag.DOUBLED | GroupFlag.REPEATS),
        ([span(1, said, end=ms), span(2, said, end=51 * ms + 1)], GroupFlag.REPEATS),
        ([span(1, said, end=ms), span(2, said | {"gen_ai.usage.input_tokens": 5}, end=ms)], GroupFlag.REPEATS),
        ([span(1, CHAT, end=ms), span(2, CHAT, end=ms)], 0),
        ([span(1, page[0]), span(2, page[1])], GroupFlag.SIMILAR),
        ([span(1, page[0]), span(2, page[0])], GroupFlag.REPEATS),
        ([span(1, alike[0]), span(2, alike[1])], GroupFlag.SIMILAR),
        ([span(1, {"gen_ai.operation.name": "handoff"})], GroupFlag.UNUSUAL),
        ([span(1, CHAT | {"finish": "length"})], GroupFlag.UNUSUAL),
        ([span(1, AGENT, dropped=(1, 0))], GroupFlag.UNUSUAL),
        ([span(1, CHAT | {"output.value": ""})], GroupFlag.UNUSUAL),
        ([span(1, CHAT | {"output.value": "na " * 40})], GroupFlag.UNUSUAL),
        ([span(1, CALL)], GroupFlag.DOUBLED),
    ]
    for number, (spans, flags) in enumerate(cases):
        assert codec.scan(request(*spans)).groups["flags"].tolist() == [flags], number


@both
def test_every_scope_is_counted(codec) -> None:
    """Its name, its spans and its steps, in wire order; refused spans are spans too."""
    scan = codec.scan(scopes(("one", [chat(), span(2, {})]), ("", []), ("two", [span(3, TOOL), span(0, CHAT)]), ("one", [])))
    named = [(codec.name(row["name"]), row["spans"], row["steps"]) for row in scan.scopes]
    assert named == [("one", 2, 1), ("", 0, 0), ("two", 2, 1), ("one", 0, 0)]


@both
def test_declared_tools_are_found(codec) -> None:
    """As a JSON text, one by one, structured, and inside of a JSON string; the same definition has the same hash."""
    schema = '{"name": "search"}'
    one = {"gen_ai.tool.definitions": f"[{schema}]", "llm.tools.0.tool.json_schema": schema, "llm.tools.1.tool.name": "lookup"}
    quoted = {"all": json.dumps({"tools": schema})}
    structured = {"gen_ai.tool.definitions": ["a", {"name": "b"}]}
    wrong = {"gen_ai.tool.definitions": 5, "llm.tools.x.tool.json_schema": "x", "llm.tools.0.tool.other": "x", "llm.tools.0.name": ""}
    spans = [
        span(1, CHAT | one),
        span(2, CHAT | quoted),
        span(3, AGENT | structured),
        span(4, CHAT | wrong),
        span(5, TOOL | one),
        chat(6, **one),
    ]
    payload = request(*spans)
    declared = codec.scan(payload).declared
    assert declared["row"].tolist() == [0, 0, 0, 1, 2, 4, 4, 5, 5, 5]
    assert declared["how"].tolist()[:5] == [DECLARED_JSON, DECLARED_ONE, DECLARED_ONE, DECLARED_JSON | DECLARED_ESCAPED, DECLARED_VALUE]
    texts = [payload[at : at + length] for at, length in zip(declared["at"].tolist(), declared["len"].tolist(), strict=True)]
    assert texts[:4] == [f"[{schema}]".encode(), schema.encode(), b"lookup", json.dumps(schema)[1:-1].encode()]
    assert declared["hash"].tolist() == [hashed(text) for text in texts]


@both
def test_a_call_that_was_not_made(codec) -> None:
    """A tool that does not exist: its span is an error, settles nothing, and has the bit; what a tool found missing is a result."""
    asked = chat(5, **{"gen_ai.output.messages": calls()})
    made = TOOL | {"gen_ai.tool.name": "search", "gen_ai.tool.call.id": "c1", "gen_ai.tool.call.arguments": "{}"}
    for result, refused in (("Unknown tool: search", True), ("[\"Error: tool 'search' not found\"]", True), ("flight not found", False)):
        scan = codec.scan(request(asked, span(1, made | {"gen_ai.tool.call.result": result})))
        step = next(step for step in scan.steps if step["kind"] == StepKind.TOOL)
        assert bool(step["flags"] & StepFlag.REFUSED) == refused
        assert bool(step["flags"] & StepFlag.ERROR) == refused
        assert bool(scan.groups["flags"][0] & GroupFlag.UNUSUAL) == refused
        assert scan.requests["settled"].tolist() == [not refused]


@both
def test_models_without_an_output_are_told_apart_by_their_parent(codec) -> None:
    """Two reports of one call that asked for a tool: side by side, at the same time, with the same tokens."""
    counts = {"gen_ai.usage.input_tokens": 7}
    same = [span(1, CHAT | counts, parent=9), span(2, CHAT | counts, parent=9)]
    apart = [span(1, CHAT | counts, parent=9), span(2, CHAT | counts, parent=8)]
    unknown = [span(1, CHAT, parent=9), span(2, CHAT, parent=9)]
    flags = [int(codec.scan(request(*spans)).groups["flags"][0]) & GroupFlag.DOUBLED for spans in (same, apart, unknown)]
    assert flags == [GroupFlag.DOUBLED, 0, 0]


@both
def test_no_tokens_at_all_are_unknown(codec) -> None:
    """A model call takes input: 0 means that nobody knows, and then a 0 beside it means nothing either."""
    scan = codec.scan(request(chat(**{"gen_ai.usage.input_tokens": 0, "gen_ai.usage.output_tokens": 0, "cached": 0})))
    assert [scan.spans[f"{kind}_tokens"][0] for kind in ("input", "output", "cached")] == [-1, -1, -1]
    scan = codec.scan(request(chat(**{"gen_ai.usage.input_tokens": 5, "gen_ai.usage.output_tokens": 0, "cached": 0})))
    assert [scan.spans[f"{kind}_tokens"][0] for kind in ("input", "output", "cached")] == [5, 0, 0]


@both
def test_calls_of_the_provider_and_answers_beside_their_blocks(codec) -> None:
    """`builtin` is no request; LlamaIndex has the id of a call in `additional_kwargs`, and the answer in `blocks`."""
    parts = [
        {"type": "tool_call", "id": "p", "name": "web", "builtin": True},
        {"type": "tool_call", "id": "c1", "name": "search", "builtin": 1},
    ]
    told = [
        {"role": "tool", "additional_kwargs": {"tool_call_id": "c0"}, "blocks": [{"block_type": "text", "text": "denied"}]},
        {"role": "tool", "tool_call_id": "c9", "parts": [{"type": "text", "content": "unknown tool"}]},
    ]
    messages = {"gen_ai.output.messages": json.dumps([{"parts": parts}]), "gen_ai.input.messages": json.dumps(told)}
    scan = codec.scan(request(chat(**messages)))
    assert scan.requests["call_id"].tolist() == [hashed(b"c1")]
    assert (scan.answers["call_id"].tolist(), scan.answers["refused"].tolist()) == ([hashed(b"c0"), hashed(b"c9")], [1, 1])


@both
def test_a_key_with_an_entry_of_its_own_is_no_flat_one(codec) -> None:
    """What a table says of one key is all that it says of it."""
    assert "llm.tools.9.name" in {key.name for key in KEYS}
    scan = codec.scan(request(chat(**{"llm.tools.9.name": "search", "llm.tools.8.name": "lookup"})))
    assert (len(scan.declared), codec.name(scan.spans["tool"][0])) == (1, "search")
