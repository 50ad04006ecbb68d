"""Promises of the numbers: right, bounded, never falling, readable by real parsers."""

from __future__ import annotations

import math
import os
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from otel_ext import semconv
from otel_ext.exporters.declared import METRICS
from otel_ext.exporters.prometheus import BATCHES_PENDING_MAX, ROWS_PENDING_MAX, Metrics, Reading, metrics_table
from otel_ext.model import Finding, Severity, StepKind
from otel_ext.wire.table import SPAN
from tests.exporters.counting import NAMES, Samples, brute_force, name, shown

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
IDS = [bytes([n]) * 16 for n in range(1, 6)]
S = 1_000_000_000


def metrics(series_max: int = 2_000, **kwargs: object) -> Metrics:
    return Metrics(series_max, name, now=lambda: 1_700_000_000.5, **kwargs)  # type: ignore[arg-type]


def span(**columns: object) -> np.ndarray:
    """One row with nothing known but what is given."""
    row = np.zeros(1, SPAN)
    for column in ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens"):
        row[column] = -1
    row["cost"] = math.nan
    for column, value in columns.items():
        row[column] = value
    return row


def families(numbers: Metrics, accept: str = "") -> dict[str, Metric]:
    """The page as a parser reads it."""
    body, content_type = numbers.page().encode(accept)
    parse = parse_openmetrics if content_type.startswith("application/openmetrics-text") else parse_text
    return {family.name: family for family in parse(body.decode())}


def samples(numbers: Metrics, accept: str = "") -> Samples:
    found: Samples = {}
    for family in families(numbers, accept).values():
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, "a series twice"
            found[key] = sample.value
    return found


def ours(found: Samples) -> Samples:
    return {key: value for key, value in found.items() if key[0].startswith(("llm_", "mcp_"))}


NUMBERS = st.integers(0, len(NAMES) - 1)
TOKENS = st.sampled_from([-1, 0, 1, 700, 2**31 - 1])
ROWS = st.builds(
    span,
    trace=st.integers(0, len(IDS) - 1),
    kind=st.sampled_from([StepKind.LLM, StepKind.EMBEDDING, StepKind.TOOL, *StepKind]).map(int),
    flags=st.sampled_from([0, 2, 8, 2 | 1 << 9]),
    model=NUMBERS,
    tool=NUMBERS,
    operation=NUMBERS,
    start=st.sampled_from([0, 1, 10**18]),
    end=st.sampled_from([0, 10**18, *(10**18 + n for n in (10_000_000, S // 2, S // 2 + 1, S, 30 * S, 31 * S))]),
    cost=st.sampled_from([math.nan, 0.0, 0.25, 3.5]),
    input_tokens=TOKENS,
    output_tokens=TOKENS,
    cached_tokens=TOKENS,
    reasoning_tokens=TOKENS,
)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.lists(ROWS, max_size=12), max_size=6), st.booleans())
def test_sums_are_those_of_a_plain_count(batches: list[list[np.ndarray]], between: bool) -> None:
    """Every sum and bucket equals a count in plain Python, whatever the batches, and also with a scrape after each."""
    numbers = metrics()
    for rows in batches:
        numbers.observe(np.concatenate(rows) if rows else np.zeros(0, SPAN), IDS)
        if between:
            numbers.page()
    rows = [row for batch in batches for row in batch]
    expected = brute_force(np.concatenate(rows)) if rows else {}
    for accept in ("", OPENMETRICS):
        found = ours(samples(numbers, accept))
        assert found.keys() == expected.keys()
        assert all(found[key] == pytest.approx(expected[key], rel=1e-12) for key in expected)


def test_a_span_without_an_operation_is_named_after_its_kind() -> None:
    """Also where one model does both."""
    numbers = metrics()
    rows = [
        span(kind=kind, model=2, operation=operation) for kind in (StepKind.LLM, StepKind.EMBEDDING, StepKind.AGENT) for operation in (0, 5)
    ]
    numbers.observe(np.concatenate(rows), IDS)
    counts = {
        dict(labels)["operation"]: n for (metric, labels), n in samples(numbers).items() if metric.startswith("llm_") and "_count" in metric
    }
    assert counts == {"chat": 1, "embeddings": 1, "execute_tool": 2}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=150), min_size=1, max_size=5, unique=True))
def test_any_name_is_a_label(names: list[str]) -> None:
    """Names are what senders say: the page reads back whatever they hold."""
    numbers = Metrics(100, lambda number: names[number])
    for number in range(len(names)):
        numbers.observe(span(kind=StepKind.TOOL, tool=number), IDS)
    family = families(numbers, OPENMETRICS)[semconv.TOOL_SECONDS]
    assert {sample.labels["tool"] for sample in family.samples} == {shown(text) for text in names}


def test_exemplars_lead_to_the_latest_trace_of_each_bucket() -> None:
    """Counters and buckets carry the last trace id seen, only in OpenMetrics, and within its 128 characters."""
    numbers = metrics()
    ids = [os.urandom(16) for _ in range(4)]
    rows = [
        span(trace=at, kind=StepKind.LLM, start=1, end=1 + seconds * S, input_tokens=10 + at, cost=0.5)
        for at, seconds in enumerate([1, 3, 1, 3])
    ]
    numbers.observe(np.concatenate(rows[:2]), ids[:2])
    numbers.observe(np.concatenate(rows[2:]), ids)
    numbers.observe(rows[1], ids)  # ids of one batch are not those of another
    numbers.processed(0.001, ids[0])
    found = {
        (sample.name, sample.labels.get("le")): sample.exemplar
        for family in families(numbers, OPENMETRICS).values()
        for sample in family.samples
        if sample.exemplar
    }
    buckets = {
        le: exemplar.labels["trace_id"] for (metric, le), exemplar in found.items() if metric == "llm_request_duration_seconds_bucket"
    }
    assert buckets == {"1.0": ids[2].hex(), "5.0": ids[1].hex()}
    tokens = found["llm_tokens_used_total", None]
    assert (tokens.labels["trace_id"], tokens.value, str(tokens.timestamp)) == (ids[1].hex(), 11, "1700000000.500000000")
    assert found["llm_cost_dollars_total", None].labels["trace_id"] == ids[1].hex()
    assert found["otel_ext_process_seconds_bucket", "0.001"].labels["trace_id"] == ids[0].hex()
    assert all(sum(len(key) + len(value) for key, value in exemplar.labels.items()) <= 128 for exemplar in found.values())
    assert b"trace_id" not in numbers.page().encode("text/plain")[0]


def test_past_the_bound_a_new_label_set_becomes_other_and_is_counted() -> None:
    """A metric keeps its first label sets; every later one adds up under `__other__`, and nothing is lost from the sum."""
    numbers = metrics(series_max=3)
    numbers.observe(np.concatenate([span(kind=StepKind.TOOL, tool=100 + n) for n in range(10)]), IDS)
    numbers.observe(np.concatenate([span(kind=StepKind.TOOL, tool=100 + n) for n in range(10)]), IDS)
    found = samples(numbers)
    counts = {dict(labels)["tool"]: value for (metric, labels), value in found.items() if metric == "mcp_tool_duration_seconds_count"}
    assert counts == {"name-100": 2, "name-101": 2, "name-102": 2, "__other__": 14}
    assert found["mcp_tool_duration_seconds_count", (("status", "__other__"), ("tool", "__other__"))] == 14
    assert found["otel_ext_series_overflow_total", (("metric", semconv.TOOL_SECONDS),)] == 14
    assert found["otel_ext_series_overflow_total", (("metric", "llm_tokens_used_total"),)] == 0


def test_tokens_past_the_bound_lose_every_label() -> None:
    """The token type goes too: `__other__` is one series."""
    numbers = metrics(series_max=1)
    numbers.observe(np.concatenate([span(kind=StepKind.LLM, model=n, input_tokens=1, output_tokens=2) for n in (2, 3)]), IDS)
    tokens = {labels: value for (metric, labels), value in samples(numbers).items() if metric == "llm_tokens_used_total"}
    other = (("model", "__other__"), ("operation", "__other__"), ("token_type", "__other__"))
    assert tokens[other] == 5
    assert len(tokens) == 2
    assert sum(tokens.values()) == 6


def test_findings_and_drops_are_bounded_too() -> None:
    """Agents and rules are names of senders and users: they fold as well, and long ones are cut."""
    numbers = metrics(series_max=2)
    for n in range(5):
        numbers.finding(finding(agent=f"{n}" * 300))
    numbers.finding(finding(agent="0" * 300, withdrawn=True))
    numbers.dropped("span", "queue_full", 7, IDS[0])
    found = samples(numbers)
    findings = {dict(labels)["agent"]: value for (metric, labels), value in found.items() if metric == "otel_ext_findings_total"}
    assert findings == {"0" * 128: 1, "1" * 128: 1, "__other__": 3}
    assert found["otel_ext_dropped_total", (("reason", "queue_full"), ("what", "span"))] == 7
    assert found["otel_ext_series_overflow_total", (("metric", "otel_ext_findings_total"),)] == 3


def finding(**columns: object) -> Finding:
    fields = {
        "type": "loop",
        "rule": "loop/identical_calls",
        "severity": Severity.HIGH,
        "message": "",
        "trace_id": IDS[0],
        "span_id": b"12345678",
    }
    return Finding(time_unix_nano=1, **{**fields, **columns})  # type: ignore[arg-type]


def test_a_finding_leads_to_its_trace() -> None:
    """The exemplar of a finding is the trace it is about."""
    numbers = metrics()
    numbers.finding(finding())
    [sample] = families(numbers, OPENMETRICS)[semconv.FINDINGS_TOTAL].samples
    assert sample.labels == {"type": "loop", "rule": "loop/identical_calls", "severity": "high", "agent": "unknown"}
    assert sample.exemplar
    assert sample.exemplar.labels == {"trace_id": IDS[0].hex()}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(ROWS, min_size=1, max_size=10), min_size=2, max_size=6), st.integers(1, 4))
def test_counters_never_go_down(batches: list[list[np.ndarray]], series_max: int) -> None:
    """No series falls or goes away from scrape to scrape, also where label sets fold."""
    numbers = metrics(series_max)
    before: Samples = {}
    for rows in batches:
        numbers.observe(np.concatenate(rows), IDS)
        now = ours(samples(numbers))
        assert all(now[key] >= value for key, value in before.items())
        before = now


def test_sources_are_read_at_scrape() -> None:
    """Readings appear under the Collector's names, add up by label set with our own counts, and are bounded."""
    numbers = metrics(series_max=2)
    sent = [5]
    numbers.add_source(lambda: [Reading(semconv.SENT_SPANS, ("tempo",), sent[0]), Reading(semconv.QUEUE_SIZE, ("tempo",), 3)])
    numbers.add_source(lambda: [Reading(semconv.OPEN_TRACES, (), 9), Reading(semconv.ACCEPTED_SPANS, ("otlp", "grpc"), 8)])
    numbers.add_source(lambda: [Reading(semconv.DROPPED, ("span", "queue_full"), 2)])
    numbers.add_source(lambda: [Reading(semconv.QUEUE_CAPACITY, (f"e{n}",), 1) for n in range(4)])
    numbers.dropped("span", "queue_full", 3)
    found = samples(numbers)
    assert found["otelcol_exporter_sent_spans_total", (("exporter", "tempo"),)] == 5
    assert found["otelcol_exporter_queue_size", (("exporter", "tempo"),)] == 3
    assert found["otelcol_receiver_accepted_spans_total", (("receiver", "otlp"), ("transport", "grpc"))] == 8
    assert found["otel_ext_open_traces", ()] == 9
    assert found["otel_ext_dropped_total", (("reason", "queue_full"), ("what", "span"))] == 5
    assert found["otelcol_exporter_queue_capacity", (("exporter", "__other__"),)] == 2
    assert found["otel_ext_series_overflow_total", (("metric", "otelcol_exporter_queue_capacity"),)] == 2
    sent[0] = 6
    assert samples(numbers)["otelcol_exporter_sent_spans_total", (("exporter", "tempo"),)] == 6


@pytest.mark.parametrize("bad", [Reading("nothing", (), 1), Reading(semconv.SENT_SPANS, (), 1), Reading(semconv.BUILD, ("", ""), 1)])
def test_a_broken_source_costs_only_its_own_numbers(bad: Reading) -> None:
    """The page is served without it, and says so."""
    numbers = metrics()
    numbers.add_source(lambda: [Reading(semconv.OPEN_TRACES, (), 9), bad])
    numbers.add_source(lambda: [Reading(semconv.SENT_SPANS, ("tempo",), 1)])
    found = samples(numbers)
    assert found["otelcol_exporter_sent_spans_total", (("exporter", "tempo"),)] == 1
    assert found["otel_ext_dropped_total", (("reason", "error"), ("what", "source"))] == 1
    assert found["otel_ext_open_traces", ()] == 0


def test_pending_rows_are_bounded_without_a_scrape() -> None:
    """Rows, batches, and what a view keeps alive: none of them waits for a scrape."""
    numbers = metrics()
    big = np.zeros(ROWS_PENDING_MAX + 1, SPAN)
    numbers.observe(big, IDS)
    assert not numbers._pending
    numbers.observe(big[:1], IDS)
    assert not numbers._pending
    numbers.observe(np.frombuffer(big.tobytes(), SPAN)[:1], IDS)
    assert not numbers._pending
    for _ in range(BATCHES_PENDING_MAX - 1):
        numbers.observe(np.zeros(1, SPAN), IDS)
    assert len(numbers._pending) == BATCHES_PENDING_MAX - 1
    numbers.observe(np.zeros(1, SPAN), IDS)
    assert not numbers._pending


def test_threads_lose_nothing() -> None:
    """Spans, findings and batches counted from several threads, during scrapes, all arrive."""
    numbers = metrics()

    def feed() -> None:
        for _ in range(2_000):
            numbers.observe(span(kind=StepKind.TOOL, tool=6), IDS)
            numbers.finding(finding(agent="a"))
            numbers.processed(0.001)

    threads = [threading.Thread(target=feed) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        numbers.page()
        time.sleep(0.005)
    for thread in threads:
        thread.join()
    found = samples(numbers)
    assert found["mcp_tool_duration_seconds_count", (("status", "ok"), ("tool", "search"))] == 8_000
    assert found["otel_ext_process_seconds_count", ()] == 8_000
    assert [value for (metric, _), value in found.items() if metric == "otel_ext_findings_total"] == [8_000]


def test_every_declared_metric_is_on_the_page_and_in_the_table() -> None:
    """One table: code, page and documentation agree on names, types, units and labels."""
    numbers = metrics(version="1.2.3", codec="native")
    found = families(numbers, OPENMETRICS)
    table = metrics_table()
    for metric in METRICS:
        assert found[metric.name].type == metric.type
        assert found[metric.name].unit in ("", metric.unit)
        assert f"`{metric.exposed}`" in table
    assert found[semconv.BUILD].samples[0].labels == {"version": "1.2.3", "codec": "native"}
    assert found[semconv.REQUEST_SECONDS].unit == "seconds"
    assert "process_cpu_seconds" in found
    assert {family.name for family in numbers.registry.collect()} >= {metric.name for metric in METRICS}


@pytest.mark.parametrize(
    "accept", ["*/*", "", "text/html", "application/openmetrics-text; version=x", "application/openmetrics-text;escaping=x"]
)
def test_any_accept_header_gets_a_page(accept: str) -> None:
    """A client that asks for nonsense gets one of the formats."""
    assert semconv.PROCESS_SECONDS in families(metrics(), accept)
