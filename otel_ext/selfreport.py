"""What every part counts about itself, as readings for /metrics. Names are the Collector's where it has one: its dashboards work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from otel_ext import semconv
from otel_ext.exporters.delivery import Delivery
from otel_ext.exporters.prometheus import Reading
from otel_ext.outputs import Lane

if TYPE_CHECKING:
    from otel_ext.app import Sidecar

RECEIVER = "otlp"


def readings(sidecar: Sidecar) -> Iterator[Reading]:
    """All of them, read now."""
    yield from _receivers(sidecar)
    yield from _exporters(sidecar)
    yield from _stand_in(sidecar)
    yield from _redacted(sidecar)
    yield Reading(semconv.OPEN_TRACES, (), len(sidecar.pipeline.verdicts.book))
    for scope, count in sidecar.pipeline.scopes.counts().items():
        yield Reading(semconv.UNKNOWN_SCOPE_SPANS, (scope,), count)
    yield Reading(semconv.RELOADED, (), sidecar.reloaded)
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
        yield from _queue(delivery)
    for lane in sidecar.lanes:
        yield from _queue(lane)
    for scores in sidecar.made.scores:
        yield Reading(semconv.SENT_SCORES, (scores.name,), scores.stats.sent_spans)
        yield Reading(semconv.SEND_FAILED_SCORES, (scores.name,), sum(scores.stats.failed_spans.values()) + scores.overflow)


def _queue(lane: Delivery | Lane) -> Iterator[Reading]:
    yield Reading(semconv.QUEUE_SIZE, (lane.name,), lane.queue_size)
    yield Reading(semconv.QUEUE_CAPACITY, (lane.name,), lane.queue_capacity)


def _redacted(sidecar: Sidecar) -> Iterator[Reading]:
    for destination, redactor in sidecar.pipeline.redactors.items():
        for kind, count in redactor.counts.items():
            yield Reading(semconv.REDACTED, (destination, kind), count)


def _stand_in(sidecar: Sidecar) -> Iterator[Reading]:
    if sidecar.stand_in:
        for outcome, count in sidecar.stand_in.stats.requests.items():
            yield Reading(semconv.STAND_IN_REQUESTS, (outcome,), count)


def _dropped(sidecar: Sidecar) -> Iterable[tuple[str, dict[str, int]]]:
    pipeline = sidecar.pipeline
    yield "request", _summed(sidecar.stats.grpc.refused_requests, sidecar.stats.http.refused_requests)
    for output in sidecar.outputs:
        yield f"spans to {output.delivery.name}", output.delivery.stats.failed_spans
    for what, lanes in (("score", sidecar.made.scores), ("alert", sidecar.made.alerts), ("annotation", sidecar.made.reviews)):
        yield what, _summed(*({**lane.stats.failed_spans, "queue_full": lane.overflow} for lane in lanes))
    if sidecar.made.tenants:
        yield "tenant", {"memory_full": sidecar.made.tenants.forgotten}
    yield "trace", pipeline.verdicts.book.evicted
    yield "pipeline", {**pipeline.dropped, **pipeline.verdicts.dropped}
    yield "tree", {"memory_full": pipeline.tree.forgotten, "notes_full": pipeline.observations.notes.forgotten}
    yield "text", {"span_too_large": pipeline.observations.mended.get("cut", 0)}
    judge = pipeline.verdicts.judge
    yield (
        "baseline",
        {
            "agents_max": judge.past.forgotten,
            "tools_of_agents": judge.tools.forgotten,
            "tools_max": judge.past.left_out + judge.tools.left_out,
            "declarations": pipeline.hearing.forgotten,
            "unreadable": sidecar.stores.unread,
        },
    )
    for rule in pipeline.verdicts.judge.own:
        yield f"verdict of {rule.own.rule}", rule.failed


def _summed(*counts: dict[str, int]) -> dict[str, int]:
    total: dict[str, int] = {}
    for each in counts:
        for reason, count in each.items():
            total[reason] = total.get(reason, 0) + count
    return total
