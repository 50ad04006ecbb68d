"""From OTLP to Alertmanager, through a real sidecar process: what is told, and what is not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest

from otel_ext import samples
from tests.doubles.alertmanager import AlertmanagerDouble
from tests.e2e.kit import Stage, config, new_trace, until

TOKEN = "alertmanager-token-4f1d"


@pytest.fixture
def alertmanager(stage: Stage) -> Iterator[AlertmanagerDouble]:
    double = AlertmanagerDouble()
    stage.run(double.start())
    yield double
    stage.run(double.stop())


def tree(alertmanager: AlertmanagerDouble, **more: Any) -> dict[str, Any]:
    section = {"url": alertmanager.url, "headers": {"Authorization": f"Bearer {TOKEN}"}, "interval": "100ms", **more}
    return config(exporters={"alertmanager": section})


def test_a_loop_is_told_with_its_links(serve: Any, alertmanager: AlertmanagerDouble) -> None:
    """And with the configured header, which nothing else shows."""
    sidecar = serve(tree(alertmanager))
    trace = new_trace()
    sidecar.export(samples.looping(trace, time.time_ns() - 10_000_000_000))
    (post,) = until(lambda: alertmanager.posts, "the alert")
    assert (post["labels"]["agent"], post["labels"]["rule"]) == ("travel-planner", "loop/identical_calls")
    assert post["annotations"]["trace_id"] == trace.hex()
    assert trace.hex() in unquote(post["annotations"]["tempo_url"])
    assert trace.hex() in post["annotations"]["langfuse_url"]
    assert alertmanager.headers[0]["Authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in sidecar.stderr + sidecar.get("/metrics")[1] + sidecar.get("/ready")[1]


def test_a_healthy_run_tells_nothing(serve: Any, alertmanager: AlertmanagerDouble) -> None:
    """Nor does one whose findings are below `min_severity`."""
    sidecar = serve(tree(alertmanager))
    start = time.time_ns() - 10_000_000_000
    sidecar.export(samples.healthy(new_trace(), start))
    sidecar.export(samples.spiking(new_trace(), start))
    until(lambda: sidecar.value("otel_ext_findings_total", type="token_spike"), "the quiet finding")
    assert sidecar.stop() == 0
    assert not alertmanager.posts


def test_many_loops_are_one_alert(serve: Any, alertmanager: AlertmanagerDouble) -> None:
    """Which counts them; what waits at the end is told before the process is gone."""
    sidecar = serve(tree(alertmanager, interval="1h"))
    for _ in range(25):
        sidecar.export(samples.looping(new_trace(), time.time_ns() - 10_000_000_000))
    assert sidecar.stop() == 0
    assert len(alertmanager.alerts) == 1
    assert alertmanager.posts[-1]["annotations"]["traces"] == "25"


def test_spans_do_not_wait_for_alerts(serve: Any, alertmanager: AlertmanagerDouble) -> None:
    """An Alertmanager that is away delays its own alerts, and is seen in the numbers."""
    alertmanager.fail_next(100_000, 503)
    sidecar = serve({**tree(alertmanager), "shutdown_timeout": "1s"})
    for _ in range(3):
        sidecar.export(samples.looping(new_trace(), time.time_ns() - 10_000_000_000))
    assert until(lambda: sidecar.value("otelcol_exporter_queue_size", exporter="alertmanager"), "the alert to wait")
    assert sidecar.get("/ready")[0] == 200
    assert sidecar.stop() == 0
    assert any("not delivered" in str(line) for line in sidecar.log)
