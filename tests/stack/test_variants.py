"""Every other wiring in collector_config, run as it is: round trips, several sidecars, span metrics, Alloy reading what we measure."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from otel_ext import samples, semconv
from tests.doubles.langfuse import LangfuseDouble
from tests.stack.conftest import Webhook, host
from tests.stack.kit import KEYS, Alloy, Collector, Prometheus, Sidecar, Tempo, at, free_ports, get, need, until
from tests.stack.sending import S, Sent, ids_of, post, send_agents, send_stored, send_with_sdk

Started = Callable[[Any], Any]
BASIC = base64.b64encode(f"{KEYS['LANGFUSE_PUBLIC_KEY']}:{KEYS['LANGFUSE_SECRET_KEY']}".encode()).decode()


def send_all(door: Any) -> Sent:
    sent = Sent()
    send_agents(door, sent)
    send_with_sdk(door, sent)
    send_stored(door, sent, limit=20)
    return sent


def arrived(tempo: Tempo, trace_id: str) -> list[str]:
    """Ids of a trace's spans in Tempo, less those that tell of findings."""
    return sorted(span.span_id.hex() for span in tempo.spans(trace_id) if not span.name.startswith(semconv.FINDING_SPAN_PREFIX))


def round_trip(
    started: Started, folder: Path, langfuse: LangfuseDouble, door: str, write_url: str, *more: str
) -> tuple[Any, Tempo, Sidecar]:
    """Applications -> door -> sidecar -> door -> Tempo and Langfuse."""
    need(door, "tempo")
    enriched, llm, metrics = free_ports(3)
    tempo: Tempo = started(Tempo(folder))
    back = {"ENRICHED_LISTEN": at(enriched), "LLM_LISTEN": at(llm)}
    sidecar: Sidecar = started(Sidecar(folder, "roundtrip.yaml", back))
    environment = {**back, **KEYS, "SIDECAR_ENDPOINT": sidecar.otlp, "TEMPO_OTLP_ENDPOINT": tempo.otlp, "LANGFUSE_HOST": langfuse.host}
    environment |= {"LANGFUSE_BASIC_AUTH": BASIC, "SPAN_METRICS_LISTEN": at(metrics), "PROMETHEUS_WRITE_URL": write_url}
    if door == "alloy":
        return started(Alloy(folder, "roundtrip.alloy", environment)), tempo, sidecar
    collector: Collector = started(Collector(folder, "roundtrip.yaml", environment, *more))
    collector.span_metrics = f"http://{at(metrics)}/metrics"  # type: ignore[attr-defined]
    return collector, tempo, sidecar


@pytest.mark.parametrize("door", ["alloy", "collector"])
def test_round_trip(door: str, started: Started, tmp_path: Path, langfuse: LangfuseDouble) -> None:
    """Out to the sidecar and back: every span in Tempo once, in Langfuse its LLM tree, and nothing goes round twice."""
    gate, tempo, sidecar = round_trip(started, tmp_path, langfuse, door, "http://127.0.0.1:9/api/v1/write")
    sent = send_all(gate)
    for trace_id, span_ids in sent.spans.items():
        assert until(lambda: arrived(tempo, trace_id), f"trace {trace_id}") == sorted(span_ids)  # noqa: B023 -- called at once
    until(lambda: {trace_id for trace_id, _ in list(langfuse.spans)} >= set(sent.spans), "Langfuse to have every trace")
    assert sidecar.value("otelcol_receiver_accepted_spans_total") == sum(map(len, sent.spans.values()))
    assert until(lambda: tempo.received(), "a count") == sidecar.value("otelcol_exporter_sent_spans_total", exporter="tempo")


def test_span_metrics_of_the_collector(started: Started, tmp_path: Path, langfuse: LangfuseDouble) -> None:
    """By tool, with exemplars that are traces in Tempo."""
    gate, tempo, _ = round_trip(started, tmp_path, langfuse, "collector", "", "spanmetrics.yaml")
    sent = Sent()
    send_agents(gate, sent)
    traces: set[str] = set()
    until(lambda: counted(gate.span_metrics, traces), "span metrics of the searches")
    assert traces
    assert traces <= set(sent.spans)
    assert all(tempo.spans(trace_id) for trace_id in traces)


def counted(url: str, traces: set[str]) -> bool:
    """Whether the twelve searches are counted. A series begins at 0, in a flush of its own; exemplars are there for one flush."""
    page = searched(url)
    traces |= page.get("traces", set())
    return bool(page.get("calls") == 12)


def searched(url: str) -> dict[str, Any]:
    """Of a page of span metrics the calls of memory_search, and the traces of all exemplars; nothing while there are none."""
    status, body = get(url, "application/openmetrics-text; version=1.0.0")
    samples = [sample for family in parse_openmetrics(body.decode()) for sample in family.samples] if status == 200 else []
    calls = [sample for sample in samples if sample.name == "traces_span_metrics_calls_total"]
    of_tool = [sample.value for sample in calls if sample.labels.get("gen_ai_tool_name") == "memory_search"]
    traces = {sample.exemplar.labels["trace_id"] for sample in samples if sample.exemplar}
    return {"calls": sum(of_tool), "traces": traces} if of_tool else {}


def test_span_metrics_of_alloy(started: Started, tmp_path: Path, langfuse: LangfuseDouble) -> None:
    """Written to Prometheus, exemplars too."""
    need("alloy", "tempo", "prometheus")
    prometheus: Prometheus = started(Prometheus(tmp_path, {}))
    gate, tempo, _ = round_trip(started, tmp_path, langfuse, "alloy", f"{prometheus.url}/api/v1/write")
    sent = Sent()
    send_agents(gate, sent)
    query = 'traces_span_metrics_calls_total{gen_ai_tool_name="memory_search"}'
    assert until(lambda: prometheus.query(query), "span metrics", 120)
    series = until(lambda: prometheus.exemplars("traces_span_metrics_duration_seconds_bucket"), "exemplars", 60)
    ids = {exemplar["labels"]["trace_id"] for each in series for exemplar in each["exemplars"]}
    assert ids <= set(sent.spans)
    assert all(tempo.spans(trace_id) for trace_id in ids)


def test_several_sidecars_judge_whole_traces(started: Started, tmp_path: Path, langfuse: LangfuseDouble) -> None:
    """A trace's spans come in many requests, and all go to one sidecar: the loop in it is found. Both sidecars work."""
    need("collector", "tempo")
    tempo: Tempo = started(Tempo(tmp_path))
    environment = {"TEMPO_OTLP_ENDPOINT": tempo.otlp, "LANGFUSE_HOST": langfuse.host}
    sidecars: list[Sidecar] = [started(Sidecar(tmp_path, "forward.yaml", environment, name)) for name in ("first", "second")]
    ends = {f"SIDECAR_ENDPOINT_{number}": sidecar.otlp for number, sidecar in enumerate(sidecars, 1)}
    gate: Collector = started(Collector(tmp_path, "loadbalancing.yaml", ends))
    runs = [samples.looping(secrets.token_bytes(16), time.time_ns() - 30 * S) for _ in range(20)]
    for piece in zip(*(pieces(run) for run in runs), strict=True):  # every run's first span, then every run's second ...
        for body in piece:
            post(gate, body)
    for body in runs:
        ((trace_id, span_ids),) = ids_of(body).items()
        assert until(lambda: len(found := arrived(tempo, trace_id)) == len(span_ids) and found, trace_id) == sorted(span_ids)  # noqa: B023
    loops = [sidecar.value("otel_ext_findings_total", rule="loop/identical_calls") for sidecar in sidecars]
    assert sum(loops) == len(runs)
    assert min(loops) > 0


def pieces(body: bytes) -> list[bytes]:
    """The spans of a request, one a request."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    whole = ExportTraceServiceRequest.FromString(body)
    (resource,) = whole.resource_spans
    (scope,) = resource.scope_spans
    each = []
    for span in scope.spans:
        one = ExportTraceServiceRequest()
        part = one.resource_spans.add(resource=resource.resource).scope_spans.add(scope=scope.scope)
        part.spans.append(span)
        each.append(one.SerializeToString())
    return each


def test_alloy_reads_what_we_measure(started: Started, tmp_path: Path, langfuse: LangfuseDouble, webhook: Webhook) -> None:
    """Metrics and their exemplars to Prometheus by remote write; findings, line by line, to what stands for Loki."""
    need("alloy", "prometheus", "collector")
    prometheus: Prometheus = started(Prometheus(tmp_path, {}))
    sidecar: Sidecar = started(Sidecar(tmp_path, "forward.yaml", {"LANGFUSE_HOST": langfuse.host}))
    environment = {
        "SIDECAR_METRICS": host(sidecar.admin),
        "PROMETHEUS_WRITE_URL": f"{prometheus.url}/api/v1/write",
        "SIDECAR_LOG": str(tmp_path / "otel_ext" / "otel_ext.log"),
        "LOKI_WRITE_URL": webhook.url,
    }
    started(Alloy(tmp_path, "observe.alloy", environment))
    gate: Collector = started(Collector(tmp_path, "forward.yaml", {"SIDECAR_ENDPOINT": sidecar.otlp}))
    sent = Sent()
    send_agents(gate, sent)
    assert until(lambda: prometheus.query('otel_ext_findings_total{job="otel_ext", rule="loop/identical_calls"}'), "the metrics", 60)
    series = until(lambda: prometheus.exemplars('otel_ext_findings_total{rule="loop/identical_calls"}'), "an exemplar", 60)
    assert {exemplar["labels"]["trace_id"] for each in series for exemplar in each["exemplars"]} == sent.traces("looping")
    (looping,) = sent.traces("looping")
    # Loki's push is snappy, whose literals are as they were: the trace id is there to be read.
    assert until(lambda: any(looping.encode() in body for body in webhook.bodies), "the finding in a push to Loki", 60)
