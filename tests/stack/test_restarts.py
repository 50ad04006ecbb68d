"""Each program is stopped or killed under traffic and comes back: what was accepted is in Tempo, and what we sent we sent once."""

from __future__ import annotations

import contextlib
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_ext import samples, semconv
from tests.doubles.langfuse import LangfuseDouble
from tests.stack.conftest import Webhook, host
from tests.stack.kit import Alertmanager, Alloy, Collector, Door, Prometheus, Running, Sidecar, Tempo, need, until
from tests.stack.sending import S, Sent, ids_of, post

Started = Callable[[Any], Any]
BEFORE_S, AWAY_S, AFTER_S = 2.0, 2.0, 2.0
PAUSE_S = 0.05
# A sidecar's queue is in memory: what was on its way in this time before a SIGKILL may be gone.
ON_THE_WAY_S = 3.0


class Traffic:
    """Agent runs, one after the other, each posted until the door has taken it. `at` is when that was, by trace id."""

    def __init__(self, door: Door) -> None:
        self.sent = Sent()
        self.at: dict[str, float] = {}
        self._door = door
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ending.is_set():
            body = samples.healthy(secrets.token_bytes(16), time.time_ns() - 30 * S)
            while not self._ending.is_set():
                with contextlib.suppress(OSError):
                    post(self._door, body)
                    for trace_id, span_ids in ids_of(body).items():
                        self.sent.add("healthy", trace_id, span_ids)
                        self.at[trace_id] = time.monotonic()
                    break
                time.sleep(PAUSE_S)
            time.sleep(PAUSE_S)

    def end(self) -> Sent:
        self._ending.set()
        self._thread.join(30)
        return self.sent


@contextlib.contextmanager
def away(program: Running, number: int) -> Iterator[float]:
    """Traffic before, while the program is gone, and after; yields when it went."""
    time.sleep(BEFORE_S)
    program.stop(number)
    gone_at = time.monotonic()
    time.sleep(AWAY_S)
    program.start()
    time.sleep(AFTER_S)
    yield gone_at


def missing(tempo: Tempo, sent: Sent) -> dict[str, set[str]]:
    """Spans that were accepted and are not in Tempo, by trace."""
    lost = {trace_id: span_ids - {span.span_id.hex() for span in tempo.spans(trace_id)} for trace_id, span_ids in sent.spans.items()}
    return {trace_id: span_ids for trace_id, span_ids in lost.items() if span_ids}


@pytest.fixture
def chain(started: Started, tmp_path: Path, langfuse: LangfuseDouble) -> Callable[[str], tuple[Door, Sidecar, Tempo]]:
    """A door, the sidecar, then Tempo and Langfuse, as in forward.alloy and forward.yaml."""

    def make(door: str) -> tuple[Door, Sidecar, Tempo]:
        need(door, "tempo")
        tempo: Tempo = started(Tempo(tmp_path))
        sidecar: Sidecar = started(Sidecar(tmp_path, "forward.yaml", {"TEMPO_OTLP_ENDPOINT": tempo.otlp, "LANGFUSE_HOST": langfuse.host}))
        kind, file = (Alloy, "forward.alloy") if door == "alloy" else (Collector, "forward.yaml")
        return started(kind(tmp_path, file, {"SIDECAR_ENDPOINT": sidecar.otlp})), sidecar, tempo

    return make


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
@pytest.mark.parametrize("door", ["alloy", "collector"])
def test_a_door_that_goes_loses_nothing_it_took(door: str, number: int, chain: Any) -> None:
    """Its queue is on disk: after a kill it sends the rest, and sends what was on its way again; we send each once that it sends."""
    gate, sidecar, tempo = chain(door)
    traffic = Traffic(gate)
    with away(gate, number):
        sent = traffic.end()
    until(lambda: not missing(tempo, sent), "all spans to arrive")
    until(lambda: sidecar.is_delivered, "the sidecar to deliver")
    assert tempo.received() == sidecar.value("otelcol_exporter_sent_spans_total", exporter="tempo")
    assert sidecar.finding_spans() == 0
    assert sidecar.value("otelcol_exporter_send_failed_spans_total") == 0


def test_tempo_that_is_stopped_loses_nothing(chain: Any) -> None:
    """We hold what it does not take, and send each span once."""
    gate, sidecar, tempo = chain("collector")
    traffic = Traffic(gate)
    with away(tempo, signal.SIGTERM):
        sent = traffic.end()
    until(lambda: not missing(tempo, sent), "all spans to arrive")
    until(lambda: sidecar.is_delivered, "the sidecar to deliver")
    assert sidecar.finding_spans() == 0  # sent spans are those that came in: none twice, none lost
    assert sidecar.value("otelcol_exporter_send_failed_spans_total") == 0


def test_tempo_that_is_killed_loses_only_what_it_had_taken(chain: Any) -> None:
    """What it had answered for and not written is its own loss; nothing that came after its death is missing, nor do we count a loss."""
    gate, sidecar, tempo = chain("collector")
    traffic = Traffic(gate)
    with away(tempo, signal.SIGKILL) as gone_at:
        sent = traffic.end()
    until(lambda: sidecar.is_delivered, "the sidecar to deliver")
    late = Sent({trace_id: span_ids for trace_id, span_ids in sent.spans.items() if traffic.at[trace_id] >= gone_at})
    assert late.spans
    until(lambda: not missing(tempo, late), "what came after its death")
    assert sidecar.finding_spans() == 0
    assert sidecar.value("otelcol_exporter_send_failed_spans_total") == 0


def test_a_sidecar_that_is_stopped_loses_nothing(chain: Any) -> None:
    """It delivers what it has before it ends; the Collector keeps the rest until it is back."""
    gate, sidecar, tempo = chain("collector")
    traffic = Traffic(gate)
    with away(sidecar, signal.SIGTERM):
        sent = traffic.end()
    until(lambda: not missing(tempo, sent), "all spans to arrive")


def test_a_sidecar_that_is_killed_loses_at_most_what_was_on_its_way(chain: Any) -> None:
    """Its queue is in memory: with Tempo taking what it gets, that is a moment's worth."""
    gate, sidecar, tempo = chain("collector")
    traffic = Traffic(gate)
    with away(sidecar, signal.SIGKILL) as gone_at:
        sent = traffic.end()
    until(lambda: sidecar.is_delivered, "the sidecar to deliver")
    safe = {trace_id for trace_id, at in traffic.at.items() if not gone_at - ON_THE_WAY_S < at < gone_at}
    until(lambda: not safe & missing(tempo, sent).keys(), "all others to arrive")


def test_an_alert_waits_for_alertmanager(started: Started, tmp_path: Path, langfuse: LangfuseDouble, webhook: Webhook) -> None:
    """A loop that is found while it is away is told when it is back."""
    need("alertmanager", "collector")
    alertmanager: Alertmanager = started(Alertmanager(tmp_path, webhook.url))
    environment = {"LANGFUSE_HOST": langfuse.host, "ALERTMANAGER_URL": alertmanager.url}
    sidecar: Sidecar = started(Sidecar(tmp_path, "forward.yaml", environment))
    gate: Collector = started(Collector(tmp_path, "forward.yaml", {"SIDECAR_ENDPOINT": sidecar.otlp}))
    alertmanager.stop(signal.SIGKILL)
    body = samples.looping(secrets.token_bytes(16), time.time_ns() - 30 * S)
    post(gate, body)
    (trace_id,) = ids_of(body)
    until(lambda: sidecar.value("otel_ext_findings_total", type="loop") == 1, "the finding")
    assert until(lambda: sidecar.value("otelcol_exporter_queue_size", exporter="alertmanager") >= 1, "the alert to wait")
    alertmanager.start()
    alerts = until(alertmanager.alerts, "the alert")
    assert {alert["annotations"]["trace_id"] for alert in alerts} == {trace_id}
    assert until(lambda: webhook.alerts, "the webhook")
    assert sidecar.value("otel_ext_dropped_total", what="alert") == 0


def test_prometheus_comes_back_to_the_same_counts(started: Started, chain: Any, tmp_path: Path) -> None:
    """We keep the counters; spans never wait for who reads them."""
    need("prometheus")
    gate, sidecar, tempo = chain("collector")
    prometheus: Prometheus = started(Prometheus(tmp_path, {"otel_ext": [host(sidecar.admin)]}))
    traffic = Traffic(gate)
    with away(prometheus, signal.SIGKILL):
        sent = traffic.end()
    until(lambda: not missing(tempo, sent), "all spans to arrive")
    total = float(sum(map(len, sent.spans.values())))
    query = "sum(otelcol_receiver_accepted_spans_total)"
    until(lambda: [float(row["value"][1]) for row in prometheus.query(query)] == [total], "the same count", 60)
    assert semconv.ACCEPTED_SPANS in query
