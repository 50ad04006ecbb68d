"""The destinations that a configuration names, with their queues: one set for the sidecar, one for each processor inside an application."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from otel_ext.exporters.alerts import AlertmanagerAlerts, AlertOptions
from otel_ext.exporters.base import Destination, Record, Runtime, Undelivered
from otel_ext.exporters.delivery import SEND_BYTES_MAX, Delivery, DeliveryOptions
from otel_ext.exporters.halving import CodecHalver
from otel_ext.exporters.langfuse import LangfuseSpans
from otel_ext.exporters.log import MemoryLog
from otel_ext.exporters.otlp import OtlpGrpc, OtlpHttp
from otel_ext.exporters.reviews import LangfuseReviews
from otel_ext.exporters.scores import LangfuseScores, ScoreOptions
from otel_ext.model import Caller, Finding, Severity
from otel_ext.settings import NS_PER_S, Alertmanager, Langfuse, Links, Settings, Tempo
from otel_ext.tenants import DEFAULT_NAME, Tenant, Tenants
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
    """All destinations over one log: those of the whole tree, the Langfuse projects, and where findings go by themselves."""

    log: MemoryLog
    whole: list[Delivery]
    tenants: Tenants | None
    alerts: list[AlertmanagerAlerts]
    reviews: list[LangfuseReviews]  # of the default project

    @property
    def outputs(self) -> list[Output]:
        """All destinations of spans that are open."""
        tenants = self.tenants.all if self.tenants else []
        return [*(Output(delivery, llm=False) for delivery in self.whole), *(Output(tenant.delivery, llm=True) for tenant in tenants)]

    @property
    def scores(self) -> list[LangfuseScores]:
        """The lanes of scores, one a project."""
        return [tenant.scores for tenant in self.tenants.all if tenant.scores] if self.tenants else []

    @property
    def lanes(self) -> list[Lane]:
        """All lanes of findings."""
        return [*self.scores, *self.alerts, *self.reviews]

    @property
    def queue_sizes(self) -> list[int]:
        """What waits, for spans and findings."""
        return [*(output.delivery.queue_size for output in self.outputs), *(lane.queue_size for lane in self.lanes)]

    def lanes_of(self, finding: Finding) -> list[Lane]:
        """Where *finding* goes: its score to the project that has its trace."""
        scores = self.tenants.scores_of(finding.trace_id) if self.tenants else None
        reviews = self.reviews if self.tenants and self.tenants.is_default(finding.trace_id) else []
        return [*([scores] if scores else []), *self.alerts, *reviews]

    def record(
        self, full: bytes, spans: int, llm: bytes, llm_spans: int, *, tenant: Tenant | None = None, trace_ids: Sequence[bytes] = ()
    ) -> Record | None:
        """One batch as each destination shall see it; None where nobody gets anything."""
        parts = self.tenants.share(llm, llm_spans, tenant, trace_ids) if self.tenants else []
        if not (full and self.whole) and not parts:
            return None
        size = max([len(self.whole), *(part.tenant.index + 1 for part in parts)])
        payloads, counts = [b""] * size, [0] * size
        payloads[: len(self.whole)], counts[: len(self.whole)] = [full] * len(self.whole), [spans] * len(self.whole)
        for part in parts:
            payloads[part.tenant.index], counts[part.tenant.index] = part.payload, part.spans
        return Record(tuple(payloads), tuple(counts))

    async def start(self) -> None:
        """Start every destination and every lane."""
        for delivery in self.whole:
            await delivery.start()
        for tenant in self.tenants.all if self.tenants else []:
            await tenant.start()
        told: list[Lane] = [*self.alerts, *self.reviews]
        for lane in told:
            await lane.start()

    def draining(self, timeout_s: float) -> list[Awaitable[Undelivered]]:
        """Deliver what waits, each at most *timeout_s* long."""
        everything: list[Delivery | Lane] = [*(output.delivery for output in self.outputs), *self.lanes]
        return [each.drain(timeout_s) for each in everything]


def make_outputs(settings: Settings, codec: Codec, runtime: Runtime, *, callers: bool = False) -> Outputs:
    """Nothing is opened or started. *callers* says whether requests may come with keys of their own."""
    exporters = settings.exporters
    tempo, langfuse, alertmanager = exporters.tempo, exporters.langfuse, exporters.alertmanager
    capacities = [tempo.queue_batches] if tempo else []
    first = len(capacities)
    if langfuse:
        capacities += [langfuse.queue_batches] * (1 + len(langfuse.projects) + callers * langfuse.caller_keys * langfuse.max_callers)
    log = MemoryLog(len(capacities), queue_batches=capacities, queue_bytes=exporters.queue_bytes)
    halver, proxy = CodecHalver(codec), exporters.proxy_from_environment

    def deliver(destination: Destination, index: int, bytes_max: int = SEND_BYTES_MAX) -> Delivery:
        return Delivery(destination, log.reader(index), halver, runtime, DeliveryOptions(send_bytes_max=bytes_max))

    def tenant(section: Langfuse, keys: Caller, name: str, index: int) -> Tenant:
        spans = deliver(langfuse_destination(section, keys, name, runtime, proxy), index, section.max_request_bytes)
        return Tenant(index, spans, _scores(section, keys, name, runtime, proxy))

    return Outputs(
        log,
        [deliver(tempo_destination(tempo, runtime, proxy), 0)] if tempo else [],
        Tenants(langfuse, first, settings.traces.max_traces, partial(tenant, langfuse)) if langfuse else None,
        [_alerts(alertmanager, settings.links, runtime, proxy)] if alertmanager else [],
        [_reviews(langfuse, runtime, proxy)] if langfuse and langfuse.annotation_queue else [],
    )


def tempo_destination(tempo: Tempo, runtime: Runtime, proxy: bool) -> Destination:
    """Nothing is opened."""
    timeout_s = tempo.timeout / NS_PER_S
    shared: dict[str, Any] = {"headers": tempo.headers, "compression": tempo.compression, "tls": tempo.tls, "proxy": proxy}
    if tempo.protocol == "grpc":
        return OtlpGrpc(tempo.endpoint, timeout_s=timeout_s, **shared)
    return OtlpHttp(tempo.endpoint, runtime, timeout_s=timeout_s, **shared)


def langfuse_destination(langfuse: Langfuse, keys: Caller, name: str, runtime: Runtime, proxy: bool) -> Destination:
    """The same for a project."""
    timeout_s = langfuse.timeout / NS_PER_S
    pair = (keys.public_key, keys.secret_key)
    return LangfuseSpans(langfuse.host, *pair, runtime, name=name, timeout_s=timeout_s, tls=langfuse.tls, proxy=proxy)


def _scores(langfuse: Langfuse, keys: Caller, name: str, runtime: Runtime, proxy: bool) -> LangfuseScores | None:
    if not langfuse.scores:
        return None
    options = ScoreOptions(
        name=f"{name}_scores",
        environment=langfuse.environment,
        configs=langfuse.score_configs if name == DEFAULT_NAME else {},  # ids of configs are a project's own
        scores_max=langfuse.scores_max,
        timeout_s=langfuse.timeout / NS_PER_S,
    )
    return LangfuseScores(langfuse.host, keys.public_key, keys.secret_key, runtime, options, langfuse.tls, proxy)


def _reviews(langfuse: Langfuse, runtime: Runtime, proxy: bool) -> LangfuseReviews:
    options = ScoreOptions(name="langfuse_annotations", scores_max=langfuse.scores_max, timeout_s=langfuse.timeout / NS_PER_S)
    keys = (langfuse.public_key, langfuse.secret_key, runtime, langfuse.annotation_queue)
    return LangfuseReviews(langfuse.host, *keys, options, langfuse.tls, proxy, items_max=langfuse.max_annotation_items)


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
