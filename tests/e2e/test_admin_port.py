"""The admin port of a running sidecar: /health, /ready, /metrics."""

from __future__ import annotations

import json
import time

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from otel_ext import samples
from tests.e2e.conftest import Rig
from tests.e2e.kit import OPENMETRICS, new_trace, until

COLLECTOR_NAMES = {
    "otelcol_receiver_accepted_spans_total",
    "otelcol_receiver_refused_spans_total",
    "otelcol_exporter_sent_spans_total",
    "otelcol_exporter_send_failed_spans_total",
    "otelcol_exporter_queue_size",
    "otelcol_exporter_queue_capacity",
}
OUR_NAMES = {
    "llm_tokens_used_total",
    "llm_request_duration_seconds_bucket",
    "mcp_tool_duration_seconds_bucket",
    "otel_ext_findings_total",
    "otel_ext_open_traces",
    "otel_ext_process_seconds_bucket",
    "otel_ext_build_info",
}


@pytest.fixture(scope="module")
def trace_id(rig: Rig) -> str:
    """A looping run that both destinations have."""
    trace = new_trace()
    rig.sidecar.export(samples.looping(trace, time.time_ns() - 10_000_000_000))
    rig.sidecar.call(samples.healthy(new_trace(), time.time_ns() - 10_000_000_000))
    until(lambda: len(rig.tempo.spans) == 20 and len(rig.langfuse.spans) == 20 and rig.langfuse.scores, "delivery")
    until(lambda: rig.sidecar.value("otelcol_exporter_sent_spans_total") == 40, "the counts")
    return trace.hex()


def test_health_is_liveness(rig: Rig) -> None:
    """Status, version, uptime and codec."""
    status, body = rig.sidecar.get("/health")
    health = json.loads(body)
    assert (status, health["status"]) == (200, "ok")
    assert health.keys() == {"status", "version", "uptime_s", "codec"}


def test_ready_has_a_row_a_destination(rig: Rig, trace_id: str) -> None:
    """Name, readiness, backlog, capacity, age of the last success and last error of each."""
    status, rows = rig.sidecar.ready()
    assert (status, rows.keys()) == (200, {"tempo", "langfuse", "langfuse_scores"})
    for row in (rows["tempo"], rows["langfuse"]):
        assert (row["ready"], row["queue_size"], row["queue_capacity"], row["last_error"]) == (True, 0, 1000, "")
        assert row["last_success_age_s"] >= 0


def test_metrics_have_the_collectors_names(rig: Rig, trace_id: str) -> None:
    """What the Collector's dashboards ask for is there, and counts what happened."""
    names = {sample.name for family in parse_text(rig.sidecar.get("/metrics")[1]) for sample in family.samples}
    assert names >= COLLECTOR_NAMES | OUR_NAMES
    assert rig.sidecar.value("otelcol_receiver_accepted_spans_total", transport="http") == 14
    assert rig.sidecar.value("otelcol_receiver_accepted_spans_total", transport="grpc") == 6
    for exporter in ("tempo", "langfuse"):
        assert rig.sidecar.value("otelcol_exporter_sent_spans_total", exporter=exporter) == 20
        assert rig.sidecar.value("otelcol_exporter_queue_size", exporter=exporter) == 0


def test_metrics_count_what_agents_did(rig: Rig, trace_id: str) -> None:
    """Tokens, model calls and tool calls of the two runs."""
    value = rig.sidecar.value
    assert value("llm_tokens_used_total", model="gpt-4o", token_type="input") == 10 * 900
    assert value("llm_tokens_used_total", model="gpt-4o", token_type="output") == 10 * 60
    assert value("llm_request_duration_seconds_count", model="gpt-4o", operation="chat") == 10
    assert value("mcp_tool_duration_seconds_count", tool="search", status="ok") == 7
    assert value("mcp_tool_duration_seconds_count", tool="calculate", status="ok") == 1
    assert value("otel_ext_findings_total") == 1


@pytest.mark.parametrize("accept", ["", "text/plain", OPENMETRICS])
def test_metrics_in_the_format_asked_for(rig: Rig, trace_id: str, accept: str) -> None:
    """Text for anyone, OpenMetrics for who asks; a real parser reads both to the same values."""
    status, body = rig.sidecar.get("/metrics", accept)
    assert status == 200
    parse = parse_openmetrics if accept == OPENMETRICS else parse_text
    found = {
        sample.labels["rule"]: sample.value
        for family in parse(body)
        for sample in family.samples
        if sample.name == "otel_ext_findings_total"
    }
    assert found == {"loop/identical_calls": 1}


@pytest.mark.parametrize(
    "name", ["llm_tokens_used_total", "llm_request_duration_seconds_bucket", "mcp_tool_duration_seconds_bucket", "otel_ext_findings_total"]
)
def test_exemplars_lead_to_traces(rig: Rig, trace_id: str, name: str) -> None:
    """Counters and histograms carry a trace id that Tempo has."""
    exemplars = {sample.exemplar.labels["trace_id"] for sample in rig.sidecar.samples(name) if sample.exemplar}
    assert exemplars
    assert exemplars <= {span.trace_id.hex() for span in rig.tempo.spans}


def test_other_pages_are_404(rig: Rig) -> None:
    """In JSON, and nothing is said of the path."""
    status, body = rig.sidecar.get("/secret-page")
    assert status == 404
    assert "secret-page" not in body
