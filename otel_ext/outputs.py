"""The destinations that a configuration names, with their queues: one set for the sidecar, one for each processor inside an application."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from otel_ext.exporters.alerts import AlertmanagerAlerts, AlertOptions
from otel_ext.exporters.base import Destination, Runtime
from otel_ext.exporters.delivery import Delivery
from otel_ext.exporters.halving import CodecHalver
from otel_ext.exporters.langfuse import LangfuseSpans
from otel_ext.exporters.log import MemoryLog
from otel_ext.exporters.otlp import OtlpGrpc, OtlpHttp
from otel_ext.exporters.scores import LangfuseScores, ScoreOptions
from otel_ext.model import Severity
from otel_ext.settings import NS_PER_S, Alertmanager, Exporters, Langfuse, Links, Tempo
from otel_ext.wire import Codec


@dataclass(frozen=True, slots=True)
class Output:
    """One destination and which payload of an outcome is its own."""

    delivery: Delivery
    llm: bool


# Where findings go by themselves: bounded, and apart from the spans.
Lane = LangfuseScores | AlertmanagerAlerts


@dataclass(frozen=True, slots=True)
class Outputs:
    """All destinations over one log, and the lanes of the findings."""

    log: MemoryLog
    outputs: list[Output]
    lanes: list[Lane]


def make_outputs(exporters: Exporters, links: Links, codec: Codec, runtime: Runtime) -> Outputs:
    """Nothing is opened or started."""
    wanted = list(_destinations(exporters, runtime))
    # in the order of `_destinations`
    capacities = [section.queue_batches for section in (exporters.tempo, exporters.langfuse) if section]
    log = MemoryLog(len(wanted), queue_batches=capacities, queue_bytes=exporters.queue_bytes)
    halver = CodecHalver(codec)
    outputs = [Output(Delivery(destination, log.reader(index), halver, runtime), llm) for index, (destination, llm) in enumerate(wanted)]
    return Outputs(log, outputs, list(_lanes(exporters, links, runtime)))


def _lanes(exporters: Exporters, links: Links, runtime: Runtime) -> Iterator[Lane]:
    proxy = exporters.proxy_from_environment
    if exporters.langfuse and exporters.langfuse.scores:
        yield _scores(exporters.langfuse, runtime, proxy)
    if exporters.alertmanager:
        yield _alerts(exporters.alertmanager, links, runtime, proxy)


def _destinations(exporters: Exporters, runtime: Runtime) -> Iterator[tuple[Destination, bool]]:
    proxy = exporters.proxy_from_environment
    if exporters.tempo:
        yield _tempo(exporters.tempo, runtime, proxy), False
    if exporters.langfuse:
        yield _langfuse(exporters.langfuse, runtime, proxy), True


def _tempo(tempo: Tempo, runtime: Runtime, proxy: bool) -> Destination:
    timeout_s = tempo.timeout / NS_PER_S
    shared: dict[str, Any] = {"headers": tempo.headers, "compression": tempo.compression, "tls": tempo.tls, "proxy": proxy}
    if tempo.protocol == "grpc":
        return OtlpGrpc(tempo.endpoint, timeout_s=timeout_s, **shared)
    return OtlpHttp(tempo.endpoint, runtime, timeout_s=timeout_s, **shared)


def _langfuse(langfuse: Langfuse, runtime: Runtime, proxy: bool) -> Destination:
    timeout_s = langfuse.timeout / NS_PER_S
    keys = (langfuse.public_key, langfuse.secret_key)
    return LangfuseSpans(langfuse.host, *keys, runtime, timeout_s=timeout_s, tls=langfuse.tls, proxy=proxy)


def _scores(langfuse: Langfuse, runtime: Runtime, proxy: bool) -> LangfuseScores:
    options = ScoreOptions(environment=langfuse.environment, scores_max=langfuse.scores_max, timeout_s=langfuse.timeout / NS_PER_S)
    return LangfuseScores(langfuse.host, langfuse.public_key, langfuse.secret_key, runtime, options, langfuse.tls, proxy)


def _alerts(alertmanager: Alertmanager, links: Links, runtime: Runtime, proxy: bool) -> AlertmanagerAlerts:
    options = AlertOptions(
        min_severity=Severity(alertmanager.min_severity),
        hold_s=alertmanager.hold / NS_PER_S,
        interval_s=alertmanager.interval / NS_PER_S,
        alerts_max=alertmanager.alerts_max,
        timeout_s=alertmanager.timeout / NS_PER_S,
        runbook_url=alertmanager.runbook_url,
    )
    secured: dict[str, Any] = {"headers": alertmanager.headers, "tls": alertmanager.tls, "proxy": proxy}
    return AlertmanagerAlerts(alertmanager.url, links, runtime, options, **secured)
