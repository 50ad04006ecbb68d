"""What every part counts about itself, as readings for /metrics. Names are the Collector's where it has one: its dashboards work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from otel_ext import semconv
from otel_ext.exporters.prometheus import Reading

if TYPE_CHECKING:
    from otel_ext.app import Sidecar

RECEIVER = "otlp"
WHAT = {"langfuse_scores": "score", "alertmanager": "alert"}  # what a lane carries


def readings(sidecar: Sidecar) -> Iterator[Reading]:
    """All of them, read now."""
    yield from _receivers(sidecar)
    yield from _exporters(sidecar)
    yield Reading(semconv.OPEN_TRACES, (), len(sidecar.pipeline.verdicts.book))
    for what, reasons in _dropped(sidecar):
        for reason, count in reasons.items():
            yield Reading(semconv.DROPPED, (what, reason), count)


def _receivers(sidecar: Sidecar) -> Iterator[Reading]:
    for transport, stats in (("grpc", sidecar.stats.grpc), ("http", sidecar.stats.http)):
        yield Reading(semconv.ACCEPTED_SPANS, (RECEIVER, transport), stats.accepted_spans)
        yield Reading(semconv.REFUSED_SPANS, (RECEIVER, transport), stats.refused_spans)


def _exporters(sidecar: Sidecar) -> Iterator[Reading]:
    for output in sidecar.outputs:
        delivery = output.delivery
        yield Reading(semconv.SENT_SPANS, (delivery.name,), delivery.stats.sent_spans)
        yield Reading(semconv.SEND_FAILED_SPANS, (delivery.name,), sum(delivery.stats.failed_spans.values()))
        yield Reading(semconv.QUEUE_SIZE, (delivery.name,), delivery.queue_size)
        yield Reading(semconv.QUEUE_CAPACITY, (delivery.name,), delivery.queue_capacity)
    for lane in sidecar.lanes:
        yield Reading(semconv.QUEUE_SIZE, (lane.name,), lane.queue_size)
        yield Reading(semconv.QUEUE_CAPACITY, (lane.name,), lane.queue_capacity)


def _dropped(sidecar: Sidecar) -> Iterable[tuple[str, dict[str, int]]]:
    pipeline = sidecar.pipeline
    yield "request", _summed(sidecar.stats.grpc.refused_requests, sidecar.stats.http.refused_requests)
    for output in sidecar.outputs:
        yield f"spans to {output.delivery.name}", output.delivery.stats.failed_spans
    for lane in sidecar.lanes:
        yield WHAT[lane.name], {**lane.stats.failed_spans, "queue_full": lane.overflow}
    yield "trace", pipeline.verdicts.book.evicted
    yield "pipeline", {**pipeline.dropped, **pipeline.verdicts.dropped}
    yield "tree", {"memory_full": pipeline.tree.forgotten}
    yield "baseline", {"agents_max": pipeline.verdicts.judge.past.forgotten}


def _summed(*counts: dict[str, int]) -> dict[str, int]:
    total: dict[str, int] = {}
    for each in counts:
        for reason, count in each.items():
            total[reason] = total.get(reason, 0) + count
    return total
