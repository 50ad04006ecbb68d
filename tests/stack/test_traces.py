"""What is sent to Alloy and to the Collector is in Tempo: every trace, once, with its links, found by the queries that people write."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otel_ext import samples, semconv
from tests.stack.conftest import Stack
from tests.stack.kit import GRAFANA, LANGFUSE_PROJECT, Collector, get, need, until, value_of
from tests.stack.sending import DATA, S, Sent, ids_of, post, send_agents, send_stored, send_with_sdk

DOORS = ("alloy", "collector")
STORED = 150  # traces through each door
TEMPO_TEXT_MAX = 65_536  # max_attribute_bytes of tempo.yaml

# Verbatim from the documentation; and the same promise, evaluated here over all spans of a trace.
LINKED_TOOLS = '{ .langfuse.trace_id != "" && .mcp.tool != "" }'
SLOW_MODEL = '{ .langfuse.model = "gpt-4o" && duration > 5s }'
MANY_SEARCHES = '{ .mcp.tool = "memory_search" } | count() > 10'
CRITICAL = '{ span.otel_ext.severity = "critical" }'

Spans = list[Span]


@dataclass(frozen=True)
class Counts:
    """What the programs of the stack say that they took and sent, in spans."""

    accepted: float
    sent: float
    tempo: float
    collector: float

    @classmethod
    def of(cls, stack: Stack) -> Counts:
        accepted = stack.sidecar.value("otelcol_receiver_accepted_spans_total")
        sent = stack.sidecar.value("otelcol_exporter_sent_spans_total", exporter="tempo")
        gate = stack.doors.get("collector")
        collector = value_of(gate.telemetry, "otelcol_exporter_sent_spans_total") if isinstance(gate, Collector) else 0.0
        return cls(accepted, sent, stack.tempo.received(), collector)


@pytest.fixture(scope="module")
def before(stack: Stack) -> Counts:
    """Other tests have used this stack."""
    until(lambda: stack.sidecar.is_delivered, "what others sent to be delivered")
    return Counts.of(stack)


@pytest.fixture(scope="module")
def sent(stack: Stack, before: Counts) -> dict[str, Sent]:
    """By door, all that it took; it has arrived."""
    by_door: dict[str, Sent] = {}
    for number, (name, door) in enumerate(stack.doors.items()):
        by_door[name] = Sent()
        send_agents(door, by_door[name], times=2)
        send_with_sdk(door, by_door[name])
        send_stored(door, by_door[name], limit=(number + 1) * STORED, first=number * STORED)
    expected = sum(len(ids) for each in by_door.values() for ids in each.spans.values())
    until(lambda: Counts.of(stack).accepted - before.accepted >= expected, "all spans to reach the sidecar")
    until(lambda: stack.sidecar.is_delivered, "the sidecar to deliver")
    return by_door


@pytest.fixture(scope="module")
def in_tempo(stack: Stack, sent: dict[str, Sent]) -> dict[str, Spans]:
    """Every trace as Tempo has it, the verdicts that waited included."""
    until(lambda: stack.tempo.search(CRITICAL) >= looping(sent), "the findings to be searchable")
    return {trace_id: stack.tempo.spans(trace_id) for each in sent.values() for trace_id in each.spans}


def looping(sent: dict[str, Sent]) -> set[str]:
    return {trace_id for each in sent.values() for trace_id in each.traces("looping")}


def value(span: Span, key: str) -> Any:
    """An attribute as text or number; None where there is none."""
    for pair in span.attributes:
        if pair.key == key:
            kind = pair.value.WhichOneof("value")
            return getattr(pair.value, kind) if kind else None
    return None


@pytest.mark.parametrize("door", DOORS)
def test_every_trace_is_in_tempo_once(door: str, stack: Stack, sent: dict[str, Sent], in_tempo: dict[str, Spans]) -> None:
    """All spans that were sent, none twice, and besides them only spans that tell of a finding."""
    need(door)
    for trace_id, span_ids in sent[door].spans.items():
        arrived = [span.span_id.hex() for span in in_tempo[trace_id] if not span.name.startswith(semconv.FINDING_SPAN_PREFIX)]
        assert sorted(arrived) == sorted(span_ids), trace_id


def test_nothing_was_sent_twice(stack: Stack, before: Counts, in_tempo: dict[str, Spans]) -> None:
    """Tempo shows a span once however often it came; so what its receivers took is compared with what it stores."""
    stored, after = sum(len(spans) for spans in in_tempo.values()), Counts.of(stack)
    assert after.tempo - before.tempo == stored == after.sent - before.sent
    assert stack.sidecar.value("otelcol_exporter_send_failed_spans_total") == 0


@pytest.mark.parametrize("door", DOORS)
def test_every_trace_has_its_links(door: str, sent: dict[str, Sent], in_tempo: dict[str, Spans]) -> None:
    """Langfuse's id on its spans, and a URL on the agent's that opens the trace there."""
    need(door)
    for trace_id in sent[door].spans:
        spans = in_tempo[trace_id]
        assert {value(span, semconv.LANGFUSE_TRACE_ID) for span in spans} == {trace_id}
        urls = {value(span, semconv.LANGFUSE_TRACE_URL) for span in spans} - {None}
        assert {url.endswith(f"/project/{LANGFUSE_PROJECT}/traces/{trace_id}") for url in urls} == {True}, urls


@pytest.mark.parametrize("door", DOORS)
def test_langfuse_has_every_trace_with_the_way_back(door: str, stack: Stack, sent: dict[str, Sent]) -> None:
    """Each observation once, its root with a link that opens the trace in Grafana."""
    need(door)
    stored = dict(stack.langfuse.spans)
    for trace_id in sent[door].spans:
        observations = {key: span for key, span in stored.items() if key[0] == trace_id}
        assert observations, trace_id
        assert {stack.langfuse.arrivals[key] for key in observations} == {1}
        links = {str(span.attributes.get(semconv.TEMPO_URL, "")) for span in observations.values()} - {""}
        assert links
        assert all(link.startswith(GRAFANA) and trace_id in unquote(link) for link in links)


def has_linked_tool(spans: Spans) -> bool:
    return any(value(span, semconv.LANGFUSE_TRACE_ID) and value(span, semconv.MCP_TOOL) for span in spans)


def has_slow_model(spans: Spans) -> bool:
    slow = [span for span in spans if span.end_time_unix_nano - span.start_time_unix_nano > 5 * S]
    return any(value(span, semconv.LANGFUSE_MODEL) == "gpt-4o" for span in slow)


def has_many_searches(spans: Spans) -> bool:
    return sum(value(span, semconv.MCP_TOOL) == "memory_search" for span in spans) > 10


def has_critical(spans: Spans) -> bool:
    return any(value(span, semconv.SEVERITY) == "critical" for span in spans)


QUERIES: list[tuple[str, Callable[[Spans], bool], tuple[str, ...], tuple[str, ...]]] = [
    (LINKED_TOOLS, has_linked_tool, ("healthy", "looping", "forgetful", "sdk"), ("skipping", "spiking", "slow")),
    (SLOW_MODEL, has_slow_model, ("slow",), ("healthy", "looping", "skipping", "spiking", "sdk")),
    (MANY_SEARCHES, has_many_searches, ("forgetful",), ("healthy", "looping", "skipping", "spiking", "slow", "sdk")),
    (CRITICAL, has_critical, ("looping", "skipping"), ("healthy", "spiking", "slow", "sdk")),
]


@pytest.mark.parametrize(("query", "promise", "found", "silent"), QUERIES, ids=[query for query, *_ in QUERIES])
def test_a_query_finds_exactly_the_right_traces(
    query: str,
    promise: Callable[[Spans], bool],
    found: tuple[str, ...],
    silent: tuple[str, ...],
    stack: Stack,
    sent: dict[str, Sent],
    in_tempo: dict[str, Spans],
) -> None:
    """Those runs that were made for it, none of the others, and of all traces those whose spans say so."""
    right = {trace_id for trace_id, spans in in_tempo.items() if promise(spans)}
    until(lambda: stack.tempo.search(query) >= right, query)
    assert stack.tempo.search(query) & in_tempo.keys() == right  # others have used this Tempo
    for each in sent.values():
        assert each.traces(*found) <= right
        assert not each.traces(*silent) & right


def test_stored_traces_were_sent(stack: Stack, sent: dict[str, Sent]) -> None:
    """Where there are some."""
    if not DATA.exists():
        pytest.skip("no stored traces here")
    assert {name: len(each.named["stored"]) for name, each in sent.items()} == dict.fromkeys(sent, STORED)


def test_the_collectors_own_names_are_on_our_page(stack: Stack, sent: dict[str, Sent]) -> None:
    """A dashboard of the Collector's receivers and exporters shows us too."""
    need("collector")
    collector = stack.doors["collector"]
    assert isinstance(collector, Collector)
    theirs = {name for name in metric_names(collector.telemetry) if name.startswith(("otelcol_receiver_", "otelcol_exporter_"))}
    ours = {name for name in metric_names(f"{stack.sidecar.admin}/metrics") if name.startswith("otelcol_")}
    assert ours
    assert ours <= theirs | {"otelcol_exporter_send_failed_spans_total", "otelcol_receiver_refused_spans_total"}
    assert {"otelcol_receiver_accepted_spans_total", "otelcol_exporter_sent_spans_total", "otelcol_exporter_queue_size"} <= ours & theirs


def metric_names(url: str) -> set[str]:
    status, body = get(url)
    assert status == 200
    return {line.split("{")[0].split(" ")[0] for line in body.decode().splitlines() if line and not line.startswith("#")}


def test_what_the_doors_took_the_sidecar_took(stack: Stack, before: Counts, sent: dict[str, Sent]) -> None:
    """Counted by both sides."""
    need("collector")
    after = Counts.of(stack)
    assert after.collector - before.collector == sum(map(len, sent["collector"].spans.values()))
    assert after.accepted - before.accepted == sum(len(ids) for each in sent.values() for ids in each.spans.values())


@pytest.mark.parametrize("door", DOORS)
def test_a_prompt_of_five_megabytes_passes(door: str, stack: Stack, in_tempo: dict[str, Spans]) -> None:
    """More than gRPC takes by default: whole to Langfuse; Tempo keeps the span and cuts the text, as its file says."""
    need(door)
    agent = samples.Agent(secrets.token_bytes(16), "reader", time.time_ns() - 30 * S)
    agent.ask("x" * 5_000_000)
    agent.chat("That was long.")
    body = agent.end()
    ((trace_id, span_ids),) = ids_of(body).items()
    post(stack.doors[door], body)
    spans = until(lambda: stack.tempo.spans(trace_id), "the trace in Tempo")
    assert {span.span_id.hex() for span in spans} == span_ids
    assert max(len(str(value(span, "gen_ai.input.messages") or "")) for span in spans) == TEMPO_TEXT_MAX
    prompts = until(lambda: [span.attributes for (trace, _), span in list(stack.langfuse.spans.items()) if trace == trace_id], "Langfuse")
    assert max(len(str(attributes.get("gen_ai.input.messages", ""))) for attributes in prompts) > 5_000_000
