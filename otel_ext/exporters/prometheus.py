"""The numbers, for Prometheus: fed from columns, folded in bulk, exposed by prometheus_client in its text format and in OpenMetrics.

One lock. Feeding spans takes none: it appends to a deque (atomic), and whoever finds it full folds it, unless another thread is at it.
Folds, findings and the copy for a scrape share the lock: 0.1 us where nobody else holds it, and nobody holds it longer than one fold.
So one `Metrics` serves an event loop and an application's threads alike; encoding a page works on a copy, in any thread, with no lock.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, NamedTuple

import numpy as np
from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.samples import Exemplar as Shown
from prometheus_client.utils import INF, floatToGoString

from otel_ext import semconv
from otel_ext.exporters.costs import Costs, Pricing
from otel_ext.exporters.declared import DECLARED, METRICS, MODEL_LABELS, Declared, Labels, metrics_table
from otel_ext.exporters.series import (
    GROUPS_MIN,
    OVERFLOW_ROW,
    Cell,
    Exemplar,
    Groups,
    Series,
    SeriesSnapshot,
    Traces,
    label,
)
from otel_ext.model import Finding, StepKind
from otel_ext.wire.table import SPAN, Flag

ROWS_PENDING_MAX: Final = 8_192  # span rows and trace ids kept before a fold: under 1.3 MB
BATCHES_PENDING_MAX: Final = 512
NS_PER_S: Final = 1e9

__all__ = ["Metrics", "Page", "Reading", "Source", "metrics_table"]

_log = logging.getLogger(__name__)


_OPAQUE: Final = np.dtype((np.void, SPAN.itemsize))
_TOKEN_TYPES: Final = ("input", "output", "cached", "reasoning")
_TOKEN_COLUMNS: Final = tuple(f"{kind}_tokens" for kind in _TOKEN_TYPES)


class Reading(NamedTuple):
    """A number that another part keeps: a name of METRICS, label values in its order, and the value (of a counter: since start)."""

    name: str
    labels: Labels
    value: float


Source = Callable[[], Iterable[Reading]]
Readings = Mapping[str, Mapping[Labels, float]]


class Metrics:
    """All numbers of one process. *name* gives an interned name; *now* is the time in seconds since the epoch, for exemplars.

    Without *pricing* a call costs what its span states, and cost is not counted by agent and trace.
    A metric has at most *max_series_per_metric* label sets and one `__other__`. Counters never go down. `collect` makes it a
    collector of prometheus_client; `registry` holds it together with the numbers of the process.
    """

    def __init__(
        self,
        max_series_per_metric: int,
        name: Callable[[int], str],
        *,
        version: str = "",
        codec: str = "",
        now: Callable[[], float] = time.time,
        pricing: Pricing | None = None,
    ) -> None:
        self._series_max = max_series_per_metric
        self._name = name
        self._now = now
        self._build = (version, codec)
        self._pending: deque[tuple[np.ndarray, list[bytes], float]] = deque()  # rows, trace ids, time
        self._held = 0  # rows and ids it keeps alive; threads may lose an increment, BATCHES_PENDING_MAX holds then
        self._scratch = np.empty(0, _OPAQUE)
        self._lock = threading.Lock()
        groups_max = max(GROUPS_MIN, 4 * max_series_per_metric)
        self._models = Groups(groups_max)
        self._tools = Groups(groups_max)
        self._series = {
            m.name: Series(max_series_per_metric, len(m.labels), m.buckets) for m in METRICS if m.type in ("counter", "histogram")
        }
        self._costs = Costs(pricing, self._series, name, groups_max) if pricing else None
        self._sources: list[Source] = []
        self._read_overflow: Counter[str] = Counter()
        self._read_labels: dict[str, set[Labels]] = {metric.name: set() for metric in METRICS}
        self.registry = CollectorRegistry()
        self._process = ProcessCollector(registry=self.registry)
        self.registry.register(self)

    def observe(self, spans: np.ndarray, trace_ids: list[bytes]) -> None:
        """Count SPAN rows, each once in its life; `trace` points into *trace_ids*, 16 bytes each. Both are kept until a fold."""
        if not len(spans):
            return
        self._pending.append((spans, trace_ids, self._now()))
        self._held += _rows_kept(spans) + len(trace_ids)
        full = self._held > ROWS_PENDING_MAX or len(self._pending) >= BATCHES_PENDING_MAX
        if full and self._lock.acquire(blocking=False):
            try:
                self._fold()
            finally:
                self._lock.release()

    def finding(self, finding: Finding) -> None:
        """Count a finding. One that takes an earlier one back does not count: the earlier one was reported."""
        if not finding.withdrawn:
            labels = (finding.type, finding.rule, str(finding.severity), finding.agent)
            self._add(semconv.FINDINGS_TOTAL, labels, 1, finding.trace_id)

    def processed(self, seconds: float, trace_id: bytes = b"") -> None:
        """Count one batch; *trace_id* is one of its traces, for the exemplar."""
        self._add(semconv.PROCESS_SECONDS, (), seconds, trace_id)

    def dropped(self, what: str, reason: str, count: int = 1, trace_id: bytes = b"") -> None:
        """Count what was given up. Labels are words of our own, never text of a payload."""
        self._add(semconv.DROPPED, (what, reason), count, trace_id)

    def add_source(self, source: Source) -> None:
        """Read *source* at every scrape, in the scraping thread. Readings of one label set add up.

        A source that raises, or reads what METRICS does not declare, is left out of that page and counted as dropped.
        """
        self._sources.append(source)

    def page(self) -> Page:
        """Everything as it is now. Cheap (a fold, the sources, a copy of the arrays); encoding the page is not."""
        readings = self._read()
        with self._lock:
            self._fold()
            if self._costs:
                self._costs.close(self._now())
            snapshots = {name: series.snapshot() for name, series in self._series.items()}
            overflow = self._overflows()
        return Page(snapshots, {**readings, semconv.SERIES_OVERFLOW: overflow}, self._build, self._process)

    def collect(self) -> Iterator[Metric]:
        """The families of prometheus_client, exemplars included."""
        return self.page().families()

    def _overflows(self) -> dict[Labels, float]:
        """Observations that became `__other__`, by metric; readings are counted at every scrape."""
        fed = {name: series.overflow for name, series in self._series.items()}
        bounded = [m for m in METRICS if m.labels and m.type != "info" and m.name != semconv.SERIES_OVERFLOW]
        return {(m.exposed,): fed.get(m.name, 0) + self._read_overflow[m.name] for m in bounded}

    def _add(self, name: str, labels: Labels, value: float, trace_id: bytes) -> None:
        now_s = self._now()
        with self._lock:
            series = self._series[name]
            series.add(series.row(tuple(map(label, labels))), value, trace_id, now_s)

    def _fold(self) -> None:
        """Move all pending rows into the series. Under the lock."""
        self._held = 0
        batches = [self._pending.popleft() for _ in range(len(self._pending))]
        if not batches:
            return
        spans = self._joined([rows for rows, _, _ in batches])
        lengths = [len(rows) for rows, _, _ in batches]
        firsts = list(accumulate((len(ids) for _, ids, _ in batches), initial=0))[:-1]
        index = spans["trace"] + np.repeat(firsts, lengths)
        ids = b"".join([b"".join(ids) for _, ids, _ in batches])
        traces = Traces(ids, index, np.repeat([time_s for *_, time_s in batches], lengths))
        kinds = np.ascontiguousarray(spans["kind"])
        self._fold_models(spans, np.flatnonzero((kinds == StepKind.LLM) | (kinds == StepKind.EMBEDDING)), traces)
        # A call by MCP has spans of its caller and of the server: who feeds rows leaves out what was told of before.
        self._fold_tools(spans, np.flatnonzero((kinds == StepKind.TOOL) | ((kinds == StepKind.MCP) & (spans["tool"] != 0))), traces)
        if self._costs:
            self._costs.close(batches[-1][2])

    def _joined(self, batches: list[np.ndarray]) -> np.ndarray:
        """All rows as one array, in memory that every fold uses again: fresh pages cost more than the rest of the fold.

        As opaque items they are copied whole; a copy of structured rows goes field by field, 25 times slower.
        """
        size = sum(map(len, batches))
        if size > len(self._scratch):
            self._scratch = np.empty(max(size, ROWS_PENDING_MAX), _OPAQUE)
        return np.concatenate([rows.view(_OPAQUE) for rows in batches], out=self._scratch[:size]).view(SPAN)

    def _fold_models(self, spans: np.ndarray, of: np.ndarray, traces: Traces) -> None:
        embedding = spans["kind"][of] == StepKind.EMBEDDING
        groups = self._models.of(spans["model"][of].astype("u8") << 17 | spans["operation"][of].astype("u8") << 1 | embedding)
        requests = self._series[semconv.REQUEST_SECONDS]
        requests.add_all(requests.rows(groups, self._model_labels), _seconds(spans, of), of, traces)
        cost = self._costs.fold(spans, of, traces) if self._costs else spans["cost"][of]
        known = np.flatnonzero((cost >= 0) & (cost < np.inf))
        costs = self._series[semconv.COST]
        costs.add_all(costs.rows(groups[known], self._model_labels), cost[known], of[known], traces)
        tokens = self._series[semconv.TOKENS]
        for kind, column in enumerate(_TOKEN_COLUMNS):
            counts = spans[column][of]
            known = np.flatnonzero(counts >= 0)
            keys = groups[known] * len(_TOKEN_COLUMNS) + kind
            tokens.add_all(tokens.rows(keys, self._token_labels), counts[known], of[known], traces)

    def _fold_tools(self, spans: np.ndarray, of: np.ndarray, traces: Traces) -> None:
        failed = (spans["flags"][of] & Flag.ERROR) != 0
        groups = self._tools.of(spans["tool"][of].astype("u8") << 1 | failed)
        series = self._series[semconv.TOOL_SECONDS]
        series.add_all(series.rows(groups, self._tool_labels), _seconds(spans, of), of, traces)
        if self._costs:
            self._costs.fold_tools(spans, of, traces)

    def _model_labels(self, group: int) -> Labels:
        if group == OVERFLOW_ROW:
            return (semconv.OTHER_LABEL,) * len(MODEL_LABELS)
        key = self._models.keys[group]
        operation = self._name(key >> 1 & 0xFFFF) or ("embeddings" if key & 1 else "chat")
        return label(self._name(key >> 17)), label(operation)

    def _token_labels(self, key: int) -> Labels:
        group, kind = divmod(key, len(_TOKEN_TYPES))
        return (*self._model_labels(group), _TOKEN_TYPES[kind] if group != OVERFLOW_ROW else semconv.OTHER_LABEL)

    def _tool_labels(self, group: int) -> Labels:
        if group == OVERFLOW_ROW:
            return (semconv.OTHER_LABEL,) * 2
        key = self._tools.keys[group]
        return label(self._name(key >> 1)), "error" if key & 1 else "ok"

    def _read(self) -> dict[str, dict[Labels, float]]:
        readings: dict[str, dict[Labels, float]] = {}
        for source in self._sources:
            try:
                fresh = [reading for reading in source() if _fits(reading)]
            except Exception:  # one broken part must not take the page from all others
                _log.warning("a source of metrics failed", exc_info=True)
                self.dropped("source", "error")
                continue
            for name, labels, value in fresh:
                of_metric = readings.setdefault(name, {})
                labels = self._bounded(name, tuple(map(label, labels)))
                of_metric[labels] = of_metric.get(labels, 0) + value
        return readings

    def _bounded(self, name: str, labels: Labels) -> Labels:
        """The label set, or `__other__` where the sources of the metric named too many before it."""
        known = self._read_labels[name]
        if labels in known or len(known) < self._series_max:
            known.add(labels)
            return labels
        self._read_overflow[name] += 1
        return (semconv.OTHER_LABEL,) * len(labels)


@dataclass(frozen=True, slots=True, eq=False)  # by identity: a registry keeps collectors in a dict
class Page:
    """All numbers of one moment. Nothing here changes any more, so any thread may encode it."""

    snapshots: Mapping[str, SeriesSnapshot]
    readings: Readings
    build: tuple[str, str]
    process: ProcessCollector

    def encode(self, accept: str) -> tuple[bytes, str]:
        """Body and content type for an Accept header: OpenMetrics with exemplars where it asks for that, else text. Adds process_*."""
        registry = CollectorRegistry()
        registry.register(self)
        registry.register(self.process)
        try:
            encoder, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # it compares a version that is no number
            encoder, content_type = choose_encoder("")
        return encoder(registry), content_type

    def collect(self) -> Iterator[Metric]:
        """What prometheus_client asks a collector."""
        return self.families()

    def families(self) -> Iterator[Metric]:
        """One family a metric of METRICS, in that order."""
        for metric in METRICS:
            snapshot = self.snapshots.get(metric.name)
            cells = list(snapshot.cells()) if snapshot else []
            yield self._family(metric, cells)

    def _family(self, metric: Declared, cells: list[Cell]) -> Metric:
        readings = dict(self.readings.get(metric.name, {}))
        unit = metric.unit if metric.name.endswith("_" + metric.unit) else ""  # OpenMetrics: a unit must be the name's suffix
        if metric.type == "info":
            info = InfoMetricFamily(metric.name, metric.help)
            info.add_metric([], dict(zip(metric.labels, self.build, strict=True)))
            return info
        if metric.type == "histogram":
            return _histogram(HistogramMetricFamily(metric.name, metric.help, labels=metric.labels, unit=unit), metric.buckets, cells)
        if metric.type == "gauge":
            gauge = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels, unit=unit)
            for labels, value in readings.items() if metric.labels else [((), readings.get((), 0))]:
                gauge.add_metric(labels, value)
            return gauge
        counter = CounterMetricFamily(metric.name, metric.help, labels=metric.labels, unit=unit)
        for cell in cells:
            counter.add_metric(cell.labels, cell.total + readings.pop(cell.labels, 0), exemplar=_shown(cell.exemplars[0]))
        for labels, value in readings.items():
            counter.add_metric(labels, value)
        return counter


def _rows_kept(rows: np.ndarray) -> int:
    """How many rows' memory stays while *rows* does: a view keeps all of what it looks at."""
    base = rows.base
    if base is None:
        return len(rows)
    size = base.nbytes if isinstance(base, np.ndarray) else len(base)
    return size // SPAN.itemsize


def _seconds(spans: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Durations. A span that has no start, or ends before it, took 0 s, as in the Collector's span metrics: the call still counts."""
    start, end = spans["start"][of], spans["end"][of]
    return np.where((start > 0) & (end > start), end - start, 0) / NS_PER_S


def _fits(reading: Reading) -> bool:
    """True; raises KeyError or ValueError for a reading that METRICS does not declare."""
    metric = DECLARED[reading.name]
    if metric.type not in ("counter", "gauge") or len(metric.labels) != len(reading.labels):
        raise ValueError(f"{reading.name} is a {metric.type} with labels {metric.labels}, not {reading.labels}")
    return True


def _histogram(family: HistogramMetricFamily, bounds: tuple[float, ...], cells: list[Cell]) -> HistogramMetricFamily:
    names = [str(floatToGoString(bound)) for bound in (*bounds, INF)]  # type: ignore[no-untyped-call]
    for cell in cells:
        rows = zip(names, accumulate(cell.counts), map(_shown, cell.exemplars), strict=True)
        family.add_metric(cell.labels, [(le, count, shown) if shown else (le, count) for le, count, shown in rows], cell.total)
    return family


def _shown(exemplar: Exemplar | None) -> Shown | None:
    return Shown({"trace_id": exemplar.trace_id}, exemplar.value, exemplar.time_s) if exemplar else None
