"""What the sidecar adds to whose spans, and what it leaves alone: real SDK senders, strict destinations, both codecs."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Sequence
from urllib.parse import unquote

import pytest
from google.protobuf import json_format
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, set_span_in_context

from tests.e2e.app import (
    AGENT,
    CHAT,
    EXPORTERS,
    INFRASTRUCTURE,
    KEPT,
    RETRIEVAL,
    TOOL,
    App,
    encoded,
    exporter_to,
    infrastructure_trace,
    originals,
    shop_trace,
)
from tests.e2e.conftest import Rig
from tests.e2e.kit import attributes_of, keys_of, new_trace, until

ADDED = {"langfuse.trace_id", "langfuse.trace_url", "langfuse.model", "mcp.tool"}


def arrived(rig: Rig, trace_id: str, count: int = 10) -> dict[str, Span]:
    """The trace in Tempo, by span name, once it has *count* spans and Langfuse what it is to get."""
    until(lambda: len(rig.tempo.of(trace_id)) >= count, "Tempo")
    until(lambda: len(rig.langfuse.of(trace_id)) >= len(KEPT), "Langfuse")
    return {span.name: span for span in rig.tempo.of(trace_id).values()}


def send(rig: Rig, spans: Sequence[ReadableSpan]) -> None:
    rig.sidecar.export(encoded(spans))


def tree(rig: Rig, trace_id: str) -> dict[str, str]:
    """Langfuse's tree: name -> name of the parent; an id where the parent is not there."""
    spans = rig.langfuse.of(trace_id)
    return {span.name: spans[span.parent_span_id].name if span.parent_span_id in spans else span.parent_span_id for span in spans.values()}


@pytest.mark.parametrize("name", EXPORTERS)
def test_tempo_gets_every_span_of_the_sdk_once_and_unchanged(both: Rig, name: str) -> None:
    """Each span of a real exporter arrives once; but for what is appended it is the message that was sent."""
    processor = BatchSpanProcessor(exporter_to(both.sidecar, name))
    app = App(processor)
    trace_id = shop_trace(app)
    assert processor.force_flush()
    processor.shutdown()
    arrived(both, trace_id)
    assert set(both.tempo.counts(trace_id).values()) == {1}
    assert set(both.langfuse.counts(trace_id).values()) == {1}
    sent = originals(app.finished)
    assert both.tempo.of(trace_id).keys() == sent.keys()
    for span_id, got in both.tempo.of(trace_id).items():
        kept = Span.FromString(got.SerializeToString())
        del kept.attributes[len(sent[span_id].attributes) :]
        assert kept == sent[span_id]
        assert set(keys_of(got)) - set(keys_of(sent[span_id])) <= ADDED


def test_resource_and_scope_leave_as_they_came(both: Rig) -> None:
    """Resource attributes, scope name, version and schema URL are those that were sent, in both destinations."""
    app = App()
    trace_id = shop_trace(app)
    send(both, app.finished)
    spans = arrived(both, trace_id)
    assert both.tempo.resources[spans[CHAT].span_id] == {"service.name": "shop", "deployment.environment.name": "prod"}
    chat = next(span for span in both.langfuse.of(trace_id).values() if span.name == CHAT)
    assert (chat.scope, chat.resource["service.name"]) == ("shop.agents", "shop")
    assert any(b"https://opentelemetry.io/schemas/1.37.0" in body and spans[CHAT].span_id in body for body in both.tempo.bodies)


def test_every_span_of_an_agent_trace_knows_its_trace_in_langfuse(both: Rig) -> None:
    """Infrastructure spans too carry `langfuse.trace_id`, 32 lower-case hex digits."""
    app = App()
    trace_id = shop_trace(app)
    send(both, app.finished)
    found = {name: attributes_of(span).get("langfuse.trace_id") for name, span in arrived(both, trace_id).items()}
    assert found == dict.fromkeys(INFRASTRUCTURE | KEPT.keys(), trace_id)


def test_the_page_in_langfuse_is_on_roots_and_agents(both: Rig) -> None:
    """`langfuse.trace_url` stands where one starts to read, and nowhere else."""
    app = App()
    trace_id = shop_trace(app)
    send(both, app.finished)
    spans = arrived(both, trace_id)
    urls = {name: attributes_of(span)["langfuse.trace_url"] for name, span in spans.items() if "langfuse.trace_url" in keys_of(span)}
    assert urls == dict.fromkeys(["POST /checkout", AGENT], f"https://lf.example/project/proj/traces/{trace_id}")


def test_a_local_root_below_another_service_has_the_page_too(both: Rig) -> None:
    """A span whose parent ran in another process is a root of this service, in Langfuse too."""
    app = App()
    remote = SpanContext(int.from_bytes(new_trace(), "big"), 77, is_remote=True, trace_flags=TraceFlags(1))
    caller = set_span_in_context(NonRecordingSpan(remote))
    with app.tracer.start_as_current_span("POST /rpc", context=caller, kind=SpanKind.SERVER), app.chat("hello"):
        pass
    send(both, app.finished)
    trace_id = format(remote.trace_id, "032x")
    until(lambda: len(both.tempo.of(trace_id)) == 2 and both.langfuse.of(trace_id))
    assert {span.name for span in both.tempo.of(trace_id).values() if "langfuse.trace_url" in keys_of(span)} == {"POST /rpc"}
    (chat,) = both.langfuse.of(trace_id).values()
    assert chat.attributes["langfuse.internal.is_app_root"] is True


def test_models_and_tools_have_their_short_names(both: Rig) -> None:
    """`langfuse.model` on model calls only, `mcp.tool` on tool calls only."""
    app = App()
    trace_id = shop_trace(app)
    send(both, app.finished)
    spans = arrived(both, trace_id)
    found = {
        (name, key, attributes_of(span)[key])
        for name, span in spans.items()
        for key in ADDED & {"langfuse.model", "mcp.tool"} & set(keys_of(span))
    }
    assert found == {(CHAT, "langfuse.model", "gpt-4o"), (TOOL, "mcp.tool", "search")}


def test_what_the_application_set_stays_as_it_is_in_tempo(both: Rig) -> None:
    """A key that we would add, but the application has set, is neither overwritten nor doubled."""
    app = App()
    own = {"langfuse__trace_url": "https://mine/1", "langfuse__model": "mine", "otel_ext__severity": "mine", "mcp__tool": "mine"}
    agent = app.agent(**own, otel_ext__findings=["mine"], otel_ext__expected_tools=["never"])
    with agent as root, app.chat("found", **own), app.tool(**own):
        pass
    send(both, app.finished)
    trace_id = format(root.get_span_context().trace_id, "032x")
    until(lambda: len(both.tempo.of(trace_id)) == 3)
    for span in both.tempo.of(trace_id).values():
        assert {attributes_of(span)[key.replace("__", ".")] for key in own} == {"mine", "https://mine/1"}
        assert max(Counter(keys_of(span)).values()) == 1
        assert attributes_of(span).get("otel_ext.findings", ["mine"]) == ["mine"]


OWN_IN_LANGFUSE = {
    "langfuse.observation.level": "DEBUG",
    "langfuse.observation.status_message": "mine",
    "langfuse.internal.is_app_root": False,
    "langfuse.observation.type": "agent",
    "langfuse.observation.metadata.tempo_span_id": "mine",
    "langfuse.trace.metadata.tempo_trace_id": "mine",
    "langfuse.trace.metadata.tempo_url": "mine",
    "langfuse.observation.metadata.otel_ext.findings": "mine",
    "langfuse.observation.metadata.otel_ext.severity": "mine",
}


@pytest.mark.parametrize(
    "own", [[key] for key in OWN_IN_LANGFUSE] + [list(OWN_IN_LANGFUSE)], ids=lambda own: own[0] if len(own) == 1 else "all"
)
def test_what_the_application_set_stays_as_it_is_in_langfuse(both: Rig, own: list[str]) -> None:
    """The same for Langfuse's own keys, alone and together: type, level, status, root mark, metadata."""
    app = App()
    with app.agent(otel_ext__expected_tools=["never"]) as root, app.chat("hello"):
        root.set_attributes({key: OWN_IN_LANGFUSE[key] for key in own})
    send(both, app.finished)
    trace_id = format(root.get_span_context().trace_id, "032x")
    until(lambda: len(both.langfuse.of(trace_id)) == 2)
    agent = next(span for span in both.langfuse.of(trace_id).values() if span.name == AGENT)
    wire = [span for span in both.langfuse.wire if span.trace_id.hex() == trace_id]
    assert {key for span in wire for key, count in Counter(keys_of(span)).items() if count > 1} == set()
    assert {key: agent.attributes[key] for key in own} == {key: OWN_IN_LANGFUSE[key] for key in own}


def test_no_key_is_ever_doubled(both: Rig) -> None:
    """No span of either destination has a key twice, where the application set none of ours."""
    app = App()
    trace_id = shop_trace(app)
    send(both, app.finished)
    arrived(both, trace_id)
    spans = [span for span in [*both.tempo.spans, *both.langfuse.wire] if span.trace_id.hex() == trace_id]
    assert {key for span in spans for key, count in Counter(keys_of(span)).items() if count > 1} == set()


def test_langfuse_gets_the_agents_tree_alone(both: Rig) -> None:
    """Only agent, model, tool, retriever and embedding spans, each under its nearest kept ancestor; the topmost is the root."""
    app = App()
    trace_id = shop_trace(app)
    send(both, app.finished)
    arrived(both, trace_id)
    assert tree(both, trace_id) == KEPT
    spans = both.langfuse.of(trace_id).values()
    assert {span.name for span in spans if span.attributes.get("langfuse.internal.is_app_root")} == {AGENT}
    assert {span.name: span.attributes["langfuse.observation.type"] for span in spans} == {
        AGENT: "agent",
        CHAT: "generation",
        TOOL: "tool",
        "embeddings small": "embedding",
        RETRIEVAL: "retriever",
    }


def test_langfuse_spans_lead_back_to_tempo(both: Rig) -> None:
    """Every span says its id in Tempo; the topmost and the agent say the trace and its page."""
    app = App()
    trace_id = shop_trace(app)
    send(both, app.finished)
    arrived(both, trace_id)
    for span_id, span in both.langfuse.of(trace_id).items():
        assert span.attributes["langfuse.observation.metadata.tempo_span_id"] == span_id
        assert span.attributes.get("langfuse.trace.metadata.tempo_trace_id") == (trace_id if span.name == AGENT else None)
        url = span.attributes.get("langfuse.trace.metadata.tempo_url")
        assert (url is not None) == (span.name == AGENT)
        assert url is None or (url.startswith("https://grafana.example/explore?") and trace_id in unquote(url))


def test_langfuse_spans_keep_what_the_application_recorded(both: Rig) -> None:
    """All attributes of a kept span arrive with it, prompts and answers included."""
    app = App()
    trace_id = shop_trace(app)
    send(both, app.finished)
    arrived(both, trace_id)
    sent = originals(app.finished)
    for span in (span for span in both.langfuse.wire if span.trace_id.hex() == trace_id):
        original = sent[span.span_id.hex()]
        assert list(span.attributes)[: len(original.attributes)] == list(original.attributes)
        assert (span.start_time_unix_nano, span.status, list(span.events)) == (
            original.start_time_unix_nano,
            original.status,
            list(original.events),
        )


def test_langfuse_is_asked_as_its_documentation_wants(both: Rig) -> None:
    """Written at once (ingestion version 4), under our own name, as x-protobuf, with the project's key pair."""
    app = App()
    trace_id = shop_trace(app)
    send(both, app.finished)
    arrived(both, trace_id)
    requests = [request for request in both.langfuse.requests if request.lane == "spans"]
    assert {request.status for request in requests} == {200}
    assert {request.headers["x-langfuse-ingestion-version"] for request in requests} == {"4"}
    assert {request.headers["x-langfuse-sdk-name"] for request in requests} == {"otel_ext"}
    assert {request.headers["content-type"] for request in requests} == {"application/x-protobuf"}


def test_infrastructure_stays_out_of_langfuse(both: Rig) -> None:
    """A trace without an agent, model or tool reaches Tempo as it is, and Langfuse not at all."""
    app = App()
    quiet, loud = infrastructure_trace(app), shop_trace(app)
    send(both, app.finished)
    arrived(both, loud)
    sent = originals(app.finished)
    assert {span_id: span for span_id, span in sent.items() if span.trace_id.hex() == quiet} == both.tempo.of(quiet)
    assert both.langfuse.of(quiet) == {}


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_the_tree_is_whole_however_it_is_cut_into_exports(both: Rig, size: int) -> None:
    """Children export before their parents: whatever the batches, every parent in Langfuse is there, and one span is the root."""
    app = App()
    trace_id = shop_trace(app)
    for first in range(0, len(app.finished), size):
        send(both, app.finished[first : first + size])
    arrived(both, trace_id)
    until(lambda: AGENT in tree(both, trace_id))
    until(lambda: set(tree(both, trace_id).values()) <= {*tree(both, trace_id), ""})  # two requests may be on their way at once
    roots = [span.name for span in both.langfuse.of(trace_id).values() if span.attributes.get("langfuse.internal.is_app_root")]
    until(lambda: len(both.tempo.of(trace_id)) == 10)
    assert KEPT.keys() <= tree(both, trace_id).keys()
    assert len(roots) == 1
    assert set(both.tempo.counts(trace_id).values()) == {1}


def test_a_parent_left_out_earlier_is_bridged_later(both: Rig) -> None:
    """Where parents come first, each span hangs on its nearest kept ancestor of an earlier export."""
    app = App()
    trace_id = shop_trace(app)
    for span in sorted(app.finished, key=lambda span: span.start_time or 0):
        send(both, [span])
    arrived(both, trace_id)
    assert tree(both, trace_id) == KEPT


def test_later_infrastructure_of_an_agent_trace_is_linked(both: Rig) -> None:
    """Once a model call of a trace was seen, a span of a later export carries the link, whatever it is."""
    app = App()
    with app.span("POST /job", SpanKind.SERVER) as root, app.chat("hello"):
        pass
    chat, top = app.finished
    send(both, [chat])
    send(both, [top])
    trace_id = format(root.get_span_context().trace_id, "032x")
    until(lambda: len(both.tempo.of(trace_id)) == 2)
    assert all(attributes_of(span)["langfuse.trace_id"] == trace_id for span in both.tempo.of(trace_id).values())


def test_traces_in_one_request_do_not_mix(both: Rig) -> None:
    """Interleaved traces of two services each get their own links, and their own trees."""
    one, other = App(service="one"), App(service="two")
    ids = shop_trace(one), shop_trace(other)
    send(both, [span for pair in zip(one.finished, other.finished, strict=True) for span in pair])
    for trace_id in ids:
        spans = arrived(both, trace_id)
        assert {attributes_of(span)["langfuse.trace_id"] for span in spans.values()} == {trace_id}
        assert tree(both, trace_id) == KEPT


def test_json_equals_protobuf(both: Rig) -> None:
    """The same spans as OTLP/JSON (hex ids, integers as strings) reach both destinations exactly as their protobuf does."""
    app = App()
    trace_id = shop_trace(app)
    request = encode_spans(app.finished)
    body = json_format.MessageToDict(request, use_integers_for_enums=True)
    for got in (span for resource in body["resourceSpans"] for scope in resource["scopeSpans"] for span in scope["spans"]):
        original = originals(app.finished)[_hex(got["spanId"])]
        got |= {"traceId": original.trace_id.hex(), "spanId": original.span_id.hex()}
        if original.parent_span_id:
            got["parentSpanId"] = original.parent_span_id.hex()
    both.sidecar.export(request.SerializeToString())
    arrived(both, trace_id)
    protobuf = both.tempo.of(trace_id), both.langfuse.of(trace_id)
    both.sidecar.export(json.dumps(body).encode(), "application/json")
    until(lambda: set(both.tempo.counts(trace_id).values()) == {2} and set(both.langfuse.counts(trace_id).values()) == {2})
    assert (both.tempo.of(trace_id), both.langfuse.of(trace_id)) == protobuf


def _hex(base64_id: str) -> str:
    return base64.b64decode(base64_id).hex()
