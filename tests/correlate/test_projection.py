"""What Langfuse gets of a span, through the pipeline: the complaints of langfuse.md, section 8, that we can do something about."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otel_ext.configfile import load
from otel_ext.correlate.mending import normal_environment, shortened
from otel_ext.correlate.projection import ALL_TYPES, note_table
from otel_ext.dialects import KEYS, RULES
from otel_ext.pipeline import Pipeline
from otel_ext.wire import NATIVE, encode, make_codec, notes

NS = 1_800_000_000_000_000_000
CONFIG = "exporters: {langfuse: {host: http://lf, public_key: p, secret_key: s%s}}"
Attributes = Mapping[str, Any]
AGENT: Attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "planner"}
CHAT: Attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}
TOOL: Attributes = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}
HTTP: Attributes = {"http.request.method": "POST"}


def span(number: int, parent: int, attributes: Attributes, *, name: str = "", extra: Any = (), trace: bytes = b"t", **more: Any) -> bytes:
    parent_id = parent.to_bytes(8, "big") if parent else b""
    return encode.span(
        trace * 16, number.to_bytes(8, "big"), parent_id, name or f"span {number}", NS, NS + number, attributes, extra=extra, **more
    )


@pytest.fixture(params=[pytest.param("native", marks=pytest.mark.skipif(not NATIVE, reason="not built")), "python"])
def make(request: pytest.FixtureRequest) -> Any:
    """Pipelines, over either implementation."""

    def pipeline(options: str = "", **more: Any) -> Pipeline:
        native = request.param == "native"
        made = Pipeline(load(CONFIG % options, {}), make_codec(KEYS, RULES, prefer_native=native), **more)
        made.observations.notes = notes.make_notes(note_table(1_000, made.settings.exporters.langfuse.max_span_bytes), prefer_native=native)  # type: ignore[union-attr]
        return made

    return pipeline


def raw(pipeline: Pipeline, *spans: bytes, resource: Attributes | None = None, scope: str = "app") -> dict[int, Span]:
    """Spans as they leave for Langfuse, by number."""
    outcome = pipeline.process(encode.request(resource or {}, scope, "", list(spans)), NS)
    sent = [s for r in ExportTraceServiceRequest.FromString(outcome.llm).resource_spans for each in r.scope_spans for s in each.spans]
    doubled = [key for s in sent for key, count in Counter(pair.key for pair in s.attributes).items() if count > 1]
    assert not doubled, f"keys twice: {doubled}"
    return {int.from_bytes(s.span_id, "big"): s for s in sent}


def plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return [plain(item) for item in value.array_value.values] if kind == "array_value" else getattr(value, kind) if kind else None


def sent(pipeline: Pipeline, *spans: bytes, **more: Any) -> dict[int, dict[str, Any]]:
    """The same, as attributes."""
    return {number: {pair.key: plain(pair.value) for pair in s.attributes} for number, s in raw(pipeline, *spans, **more).items()}


# -- types, models


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        (CHAT, "generation"), (AGENT, "agent"), (TOOL, "tool"), ({"gen_ai.operation.name": "embeddings"}, "embedding"),
        ({"openinference.span.kind": "EVALUATOR"}, "evaluator"), ({"openinference.span.kind": "GUARDRAIL"}, "guardrail"),
        ({"openinference.span.kind": "CHAIN"}, "chain"), ({"openinference.span.kind": "RERANKER"}, "retriever"),
    ],
)  # fmt: skip
def test_every_kind_is_kept_and_typed(make: Any, attributes: Attributes, kind: str) -> None:
    """In lower case, of every dialect: the server ignores any other spelling, and guesses without one (#10411)."""
    assert sent(make(), span(1, 0, attributes))[1]["langfuse.observation.type"] == kind


@pytest.mark.parametrize("stated", ["GENERATION", "Tool", "SPAN"])
def test_a_type_in_the_wrong_case_is_mended(make: Any, stated: str) -> None:
    """What the application meant, in the spelling that the server takes."""
    found = sent(make(), span(1, 0, {"langfuse.observation.type": stated}))[1]["langfuse.observation.type"]
    assert found == stated.lower()
    assert found in ALL_TYPES


@pytest.mark.parametrize("key", ["gen_ai.request.model", "gen_ai.response.model", "llm.model_name", "embedding.model_name"])
def test_the_model_is_named(make: Any, key: str) -> None:
    """Under the key that wins, whichever the dialect uses; an own one stays."""
    kind = {"openinference.span.kind": "EMBEDDING" if "embedding" in key else "LLM"}
    assert sent(make(), span(1, 0, {**kind, key: "m-1"}))[1]["langfuse.observation.model.name"] == "m-1"
    own = sent(make(), span(1, 0, {**kind, key: "m-1", "langfuse.observation.model.name": "mine"}))[1]
    assert own["langfuse.observation.model.name"] == "mine"


# -- usage and cost


@pytest.mark.parametrize(
    ("attributes", "usage"),
    [
        ({"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 20}, {"input": 100, "output": 20}),
        (
            {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.cache_read.input_tokens": 60, "gen_ai.usage.output_tokens": 20},
            {"input": 40, "input_cached_tokens": 60, "output": 20},
        ),
        (
            {"gen_ai.usage.input_tokens": 9, "gen_ai.usage.output_tokens": 50, "gen_ai.usage.reasoning_tokens": 30},
            {"input": 9, "output": 20, "output_reasoning_tokens": 30},
        ),
        ({"gen_ai.usage.output_tokens": 5}, {"output": 5}),
        ({}, None),
    ],
)
def test_usage_is_in_buckets_that_exclude_each_other(make: Any, attributes: Attributes, usage: Any) -> None:
    """Cached and reasoning tokens are counted once (#10592, #5568, #12306); their sum is what the span says."""
    found = sent(make(), span(1, 0, {**CHAT, **attributes}))[1].get("langfuse.observation.usage_details")
    assert (json.loads(found) if found else None) == usage


def test_usage_that_the_application_stated_stays(make: Any) -> None:
    """It is the server's sole source then."""
    own = {"langfuse.observation.usage_details": '{"input":1}', "gen_ai.usage.input_tokens": 100}
    assert sent(make(), span(1, 0, {**CHAT, **own}))[1]["langfuse.observation.usage_details"] == '{"input":1}'


@pytest.mark.parametrize("wrapper", [{"openinference.span.kind": "AGENT"}, {"openinference.span.kind": "CHAIN"}, AGENT])
@pytest.mark.parametrize("usage", ["llm.token_count.prompt", "gen_ai.usage.input_tokens", "gen_ai.usage.cost"])
def test_wrappers_do_not_carry_their_childrens_tokens(make: Any, wrapper: Attributes, usage: str) -> None:
    """No usage, and a cost of nothing, which also keeps the server from estimating (#14754, #7549)."""
    calls = span(2, 1, {**CHAT, "gen_ai.usage.input_tokens": 70})
    found = sent(make(), calls, span(1, 0, {**wrapper, usage: 70}))
    assert (found[1]["langfuse.observation.usage_details"], found[1]["langfuse.observation.cost_details"]) == ("{}", '{"total":0}')
    assert json.loads(found[2]["langfuse.observation.usage_details"]) == {"input": 70}


def test_a_reranker_keeps_its_own_tokens(make: Any) -> None:
    """It is no wrapper: it used them itself."""
    own = span(1, 0, {"openinference.span.kind": "RERANKER", "llm.token_count.prompt": 70})
    found = sent(make(), span(2, 0, {**CHAT, "gen_ai.usage.input_tokens": 70}), own)
    assert "langfuse.observation.usage_details" not in found[1]


def test_a_wrapper_alone_keeps_its_tokens(make: Any) -> None:
    """Where no call below it says what was used, the wrapper is the only one that does; a call in an earlier batch counts."""
    pipeline = make()
    alone = sent(pipeline, span(1, 0, {"openinference.span.kind": "AGENT", "llm.token_count.prompt": 70}, trace=b"a"))[1]
    assert "langfuse.observation.usage_details" not in alone
    sent(pipeline, span(2, 1, {**CHAT, "gen_ai.usage.input_tokens": 70}, trace=b"b"))
    late = sent(pipeline, span(1, 0, {"openinference.span.kind": "AGENT", "llm.token_count.prompt": 70}, trace=b"b"))[1]
    assert late["langfuse.observation.usage_details"] == "{}"


def test_cost_only_where_it_is_known(make: Any) -> None:
    """Of the function that knows prices; what the application says stays; nothing for an unknown model."""

    def costs(spans: np.ndarray, now_ns: int, of: np.ndarray) -> np.ndarray:
        assert now_ns == NS
        return np.where(spans["input_tokens"][of] == 7, 0.0012345, np.nan)

    pipeline = make(costs=costs)
    used = [span(number, 0, {**CHAT, "gen_ai.usage.input_tokens": tokens}) for number, tokens in ((1, 7), (2, 8))]
    own = span(3, 0, {**CHAT, "gen_ai.usage.input_tokens": 7, "langfuse.observation.cost_details": '{"total":9}'})
    found = {number: each.get("langfuse.observation.cost_details") for number, each in sent(pipeline, *used, own).items()}
    assert found == {1: '{"total":0.001234500}', 2: None, 3: '{"total":9}'}


# -- what a trace is known by


def test_what_belongs_to_the_trace_is_on_every_span(make: Any) -> None:
    """Session, user, release, version and all tags: filters work a span at a time (#17636, pi-langfuse#27)."""
    said = {"langfuse.session.id": "s", "user.id": "u", "langfuse.release": "r", "langfuse.version": "v", "langfuse.trace.name": "n"}
    found = sent(
        make(),
        span(2, 1, {**CHAT, "langfuse.trace.tags": ["loop"]}),
        span(1, 0, {**AGENT, **said, "langfuse.trace.tags": ["prod"]}),
        span(3, 1, TOOL),
    )
    wanted = {"session.id": "s", "user.id": "u", "langfuse.release": "r", "langfuse.version": "v", "langfuse.trace.name": "n"}
    assert [found[number] | wanted == found[number] for number in (2, 3)] == [True, True]
    assert {tuple(each["langfuse.trace.tags"]) for each in found.values()} == {("loop", "prod")}


def test_it_is_remembered_for_later_batches(make: Any) -> None:
    """And traces do not mix."""
    pipeline = make()
    sent(pipeline, span(1, 0, {**CHAT, "user.id": "ada"}, trace=b"a"), span(2, 0, CHAT, trace=b"b"))
    later = sent(pipeline, span(3, 1, TOOL, trace=b"a"), span(4, 2, TOOL, trace=b"b"))
    assert (later[3].get("user.id"), later[4].get("user.id")) == ("ada", None)


def test_the_conversation_is_the_session_of_all(make: Any) -> None:
    """`gen_ai.conversation.id` on one span gives its siblings a session."""
    found = sent(make(), span(2, 1, {**CHAT, "gen_ai.conversation.id": "c-7"}), span(1, 0, AGENT))
    assert found[1]["session.id"] == "c-7"


def test_the_root_names_the_trace(make: Any) -> None:
    """A process that joins later does not rename it (#8304, #7010)."""
    pipeline = make()
    assert sent(pipeline, span(1, 0, AGENT, name="plan a trip"))[1]["langfuse.trace.name"] == "plan a trip"
    assert sent(pipeline, span(2, 77, AGENT, name="joined", flags=0x300))[2]["langfuse.trace.name"] == "plan a trip"


@pytest.mark.parametrize(
    ("stated", "normal"),
    [
        ("Prod EU", "prod-eu"), ("PRODUCTION", "production"), ("a" * 50, "a" * 40), ("prod_1-b", "prod_1-b"), ("Über/uns", "ber-uns"),
        ("Langfuse-X", "x"),
    ],
)  # fmt: skip
def test_environments_are_as_the_server_takes_them(make: Any, stated: str, normal: str) -> None:
    """Else they would all be `default` (#10436); on the span and on the resource."""
    assert normal_environment(stated) == normal
    on_resource = sent(make(), span(1, 0, CHAT), resource={"deployment.environment.name": stated})[1]
    on_span = sent(make(), span(1, 0, {**CHAT, "langfuse.environment": stated}))[1]
    assert on_resource.get("langfuse.environment", stated) == normal
    assert on_span["langfuse.environment"] == normal


def test_a_root_below_another_service_is_one_for_both_generations(make: Any) -> None:
    """The newer mark, and the older one, which is needed only where a parent is named; a true root needs no older one."""
    found = sent(make(), span(2, 99, AGENT, flags=0x300), span(1, 0, AGENT, trace=b"u"))
    assert [found[number].get("langfuse.internal.is_app_root") for number in (1, 2)] == [True, True]
    assert [found[number].get("langfuse.internal.as_root") for number in (1, 2)] == [None, "true"]


def test_there_is_one_root(make: Any) -> None:
    """A span with a parent in the tree is none, whatever it says (#7010, langfuse-python#1796)."""
    found = sent(make(), span(2, 1, {**CHAT, "langfuse.internal.as_root": True, "k": "v"}), span(1, 0, AGENT))
    assert "langfuse.internal.as_root" not in found[2]
    assert found[2]["k"] == "v"


# -- level and message


def test_exceptions_in_events_become_the_status_message(make: Any) -> None:
    """Events are never shown (#11536, #7715); what a status says already is left."""
    raised = encode.event("exception", NS, {"exception.type": "ValueError", "exception.message": "no such city"})
    found = sent(
        make(),
        span(1, 0, CHAT, extra=[raised]),
        span(2, 0, CHAT, extra=[raised], status=2),
        span(3, 0, CHAT, extra=[raised], status=2, status_message="m"),
    )
    assert [found[number].get("langfuse.observation.status_message") for number in (1, 2, 3)] == ["ValueError: no such city"] * 2 + [None]
    assert [found[number].get("langfuse.observation.level") for number in (1, 2, 3)] == ["WARNING", None, None]


def test_a_tool_whose_answer_is_an_error_is_one(make: Any) -> None:
    """Where the span says nothing of it (hermes-agent#81731)."""
    result = {"gen_ai.tool.call.result": '{"isError": true, "content": []}'}
    raised = encode.event("exception", NS, {"exception.message": "m"})
    found = sent(make(), span(1, 0, {**TOOL, **result}), span(2, 0, {**TOOL, **result}, extra=[raised]))
    assert {each["langfuse.observation.level"] for each in found.values()} == {"ERROR"}


@pytest.mark.parametrize(
    ("stated", "level"), [("warn", "WARNING"), ("critical", "ERROR"), ("info", "DEFAULT"), ("verbose", "DEBUG"), ("loud", None)]
)
def test_levels_are_those_that_every_server_knows(make: Any, stated: str, level: str | None) -> None:
    """An older one drops an observation with any other."""
    assert sent(make(), span(1, 0, {**CHAT, "langfuse.observation.level": stated}))[1].get("langfuse.observation.level") == level


# -- poison


@pytest.mark.parametrize("prefix", ["langfuse.observation.prompt", "langfuse.prompt"])
def test_prompts_have_a_name_and_a_whole_number(make: Any, prefix: str) -> None:
    """Else an older server drops the observation (#9893): mended where that can be, else kept as metadata."""
    name, version = f"{prefix}.name", f"{prefix}.version"
    found = sent(
        make(),
        span(1, 0, {**CHAT, name: "p", version: "3"}),
        span(2, 0, {**CHAT, name: "p"}),
        span(3, 0, {**CHAT, name: "p", version: "latest"}),
    )
    assert (found[1][name], found[1][version]) == ("p", 3)
    assert not {name, version} & (found[2].keys() | found[3].keys())
    assert "p" in found[2].values()
    assert {"p", "latest"} <= set(map(str, found[3].values()))


def nested(key: str, value: Any) -> bytes:
    """An attribute with a key-value list, bytes, or lists of them, as an AnyValue message."""
    from opentelemetry.exporter.otlp.proto.common._internal import _encode_attributes

    return encode.delimited(9, _encode_attributes({key: value})[0].SerializeToString())


@pytest.mark.parametrize(
    ("value", "wanted"), [({"a": {"b": [1, 2.5]}}, {"a": {"b": [1, 2.5]}}), ([{"a": 1}, {"b": True}], [{"a": 1}, {"b": True}])]
)
@pytest.mark.parametrize("key", ["gen_ai.tool.definitions", "langfuse.observation.usage_details", "langfuse.observation.input"])
def test_nested_values_become_json(make: Any, key: str, value: Any, wanted: Any) -> None:
    """A server would show the wrapper of the wire, or lose usage that is no string (#13920)."""
    assert json.loads(sent(make(), span(1, 0, CHAT, extra=[nested(key, value)]))[1][key]) == wanted


def test_a_long_trace_name_is_cut(make: Any) -> None:
    """Over 1000 characters an older server drops the trace."""
    assert len(sent(make(), span(1, 0, {**CHAT, "langfuse.trace.name": "n" * 1_500}))[1]["langfuse.trace.name"]) == 1_000


def test_the_longest_texts_of_a_large_span_are_cut_first(make: Any) -> None:
    """Until it is under the mark; a mark in the text and a number beside it say so; JSON stays JSON."""
    messages = json.dumps([{"role": "user", "content": "x" * 5_000}, {"role": "assistant", "content": "short"}])
    pipeline = make(", max_span_bytes: 2048")
    whole = raw(pipeline, span(1, 0, {**CHAT, "gen_ai.input.messages": messages, "note": "y" * 600}))[1]
    found = {pair.key: plain(pair.value) for pair in whole.attributes}
    assert len(whole.SerializeToString()) < 2_048 + 600
    assert found["note"] == "y" * 600
    user, assistant = json.loads(found["gen_ai.input.messages"])
    assert assistant["content"] == "short"
    assert "bytes cut]" in user["content"]
    assert found["langfuse.observation.metadata.otel_ext.cut_bytes"] > 3_000
    assert pipeline.observations.mended == {"cut": 1}


def test_a_text_that_is_no_json_is_cut_at_a_character() -> None:
    """And says how much is missing."""
    assert shortened("ä" * 400, 301) == "ä" * 150 + "… [otel_ext: 499 bytes cut]"
    assert shortened("short", 300) == "short"


def test_what_needs_no_mending_is_not_touched(make: Any) -> None:
    """Bytes of a span stay as they came, and keys are added at its end."""
    attributes = {**CHAT, "langfuse.observation.level": "WARNING", "list": ["a"], "n": 1.5, "langfuse.environment": "prod"}
    whole = raw(make(), span(1, 0, attributes))[1]
    assert [pair.key for pair in whole.attributes][: len(attributes)] == list(attributes)


# -- keep


def test_rules_keep_more(make: Any) -> None:
    """By scope and by name; what no rule names stays out."""
    pipeline = make(", keep: [{scope: 'my.*'}, {name: 'POST *'}]")
    assert sent(pipeline, span(1, 0, HTTP), scope="my.lib").keys() == {1}
    assert sent(pipeline, span(1, 0, HTTP, name="POST /x"), span(2, 1, HTTP, name="GET /x"), span(3, 2, CHAT)).keys() == {1, 3}
    assert sent(make(), span(1, 0, HTTP), scope="my.lib") == {}
