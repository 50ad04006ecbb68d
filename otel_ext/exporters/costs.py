"""What model calls cost, for the metrics: by agent, by trace, and how many have no known cost. Numbers only; no clock, no locks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from otel_ext import semconv
from otel_ext.exporters.declared import Labels
from otel_ext.exporters.series import OVERFLOW_ROW, Groups, Series, Traces, label
from otel_ext.prices import PriceTable

NS_PER_S: Final = 1_000_000_000
CLOSE_EVERY_S: Final = 1.0
_UNKNOWN_MODEL, _NO_TOKENS = 0, 1
_REASONS: Final = ("unknown_model", "no_tokens")


@dataclass(frozen=True, slots=True)
class Pricing:
    """Prices, and when a trace is over: `idle_s` after its last priced call; of more than `traces_max` the longest quiet go first."""

    table: PriceTable
    idle_s: float
    traces_max: int


class Costs:
    """Feeds the series about cost. *name* gives an interned name."""

    def __init__(self, pricing: Pricing, series: Mapping[str, Series], name: Callable[[int], str], groups_max: int) -> None:
        self._table = pricing.table
        self._name = name
        self._agents = Groups(groups_max)
        self._by_agent = series[semconv.AGENT_COST]
        self._by_trace = series[semconv.TRACE_COST]
        self._unpriced = series[semconv.UNPRICED]
        self._traces = TraceCosts(pricing.traces_max, pricing.idle_s)
        self._closed_s = 0.0

    def fold(self, spans: np.ndarray, of: np.ndarray, traces: Traces) -> np.ndarray:
        """Dollars of the model calls at rows *of* (NaN: unknown), counted by agent and trace."""
        if not len(of):
            return np.empty(0)
        now_s = float(traces.times_s[of[-1]])
        dollars = self._table.costs(spans, int(now_s) * NS_PER_S, of)
        known = np.flatnonzero((dollars >= 0) & (dollars < np.inf))
        rows = of[known]
        agents = self._agents.of(spans["agent"][rows].astype("u8") << 16 | spans["service"][rows])
        self._by_agent.add_all(self._by_agent.rows(agents, self._agent_labels), dollars[known], rows, traces)
        self._traces.add(traces.ids, traces.index[rows], dollars[known], traces.times_s[rows])
        if len(known) < len(of):
            self._count_unpriced(spans, of[np.isnan(dollars)], traces)
        return dollars

    def close(self, now_s: float) -> None:
        """Observe the traces that are over by now; at most once in CLOSE_EVERY_S."""
        if now_s - self._closed_s >= CLOSE_EVERY_S:
            self._closed_s = now_s
            ids, dollars = self._traces.close(now_s)
            if ids:
                index = np.arange(len(dollars))
                rows = np.full(len(dollars), self._by_trace.row(()))
                self._by_trace.add_all(rows, dollars, index, Traces(ids, index, np.full(len(dollars), now_s)))

    def _count_unpriced(self, spans: np.ndarray, of: np.ndarray, traces: Traces) -> None:
        names = spans["model"][of]
        priced = self._table.priced(names, int(traces.times_s[of[-1]]) * NS_PER_S)
        keys = names.astype(np.intp) << 1 | np.where(priced, _NO_TOKENS, _UNKNOWN_MODEL)
        self._unpriced.add_all(self._unpriced.rows(keys, self._unpriced_labels), np.ones(len(of)), of, traces)

    def _agent_labels(self, group: int) -> Labels:
        if group == OVERFLOW_ROW:
            return (semconv.OTHER_LABEL,)
        key = self._agents.keys[group]
        return (label(self._name(key >> 16) or self._name(key & 0xFFFF)),)

    def _unpriced_labels(self, key: int) -> Labels:
        return label(self._name(key >> 1)), _REASONS[key & 1]


class TraceCosts:
    """Dollars of each open trace, 24 bytes each. Traces are told apart by the low half of their ids."""

    def __init__(self, traces_max: int, idle_s: float) -> None:
        self._traces_max = traces_max
        self._idle_s = idle_s
        self._low = np.empty(0, "u8")  # ascending
        self._high = np.empty(0, "u8")
        self._dollars = np.empty(0, "f4")
        self._seen_s = np.empty(0, "u4")

    def __len__(self) -> int:
        return len(self._low)

    def add(self, ids: bytes, index: np.ndarray, dollars: np.ndarray, times_s: np.ndarray) -> None:
        """Add *dollars* to the traces at *index* of *ids* (16 bytes each), seen at *times_s*, which ascend."""
        by_index, last_s = np.bincount(index, dollars, minlength=len(ids) // 16), np.zeros(len(ids) // 16, "u4")
        last_s[index] = times_s  # of repeated indices the last value is assigned
        seen = np.flatnonzero(last_s)
        halves = np.frombuffer(ids, ">u8").reshape(-1, 2)[seen].astype("u8")
        low, first, of = np.unique(halves[:, 1], return_index=True, return_inverse=True)
        sums = np.bincount(of.ravel(), by_index[seen], minlength=len(low))
        seen_s = np.zeros(len(low), "u4")
        seen_s[of.ravel()] = last_s[seen]
        at = np.searchsorted(self._low, low)
        known = np.zeros(len(low), np.bool_)
        inside = at < len(self._low)
        known[inside] = self._low[at[inside]] == low[inside]
        self._dollars[at[known]] += sums[known].astype("f4")
        self._seen_s[at[known]] = seen_s[known]
        self._insert(at[~known], low[~known], halves[first[~known], 0], sums[~known], seen_s[~known])

    def _insert(self, at: np.ndarray, low: np.ndarray, high: np.ndarray, sums: np.ndarray, seen_s: np.ndarray) -> None:
        if len(at):
            self._low = np.insert(self._low, at, low)
            self._high = np.insert(self._high, at, high)
            self._dollars = np.insert(self._dollars, at, sums.astype("f4"))
            self._seen_s = np.insert(self._seen_s, at, seen_s)

    def close(self, now_s: float) -> tuple[bytes, np.ndarray]:
        """Take out the traces that are over: their ids, joined, and their dollars (f8)."""
        over = self._seen_s.astype("f8") + self._idle_s <= now_s
        if (left := len(over) - int(np.count_nonzero(over))) > self._traces_max:
            over[np.argsort(np.where(over, np.iinfo("u4").max, self._seen_s), kind="stable")[: left - self._traces_max]] = True
        ids = np.stack([self._high[over], self._low[over]], axis=1).astype(">u8").tobytes()
        dollars = self._dollars[over].astype("f8")
        if over.any():
            keep = ~over
            self._low, self._high, self._dollars, self._seen_s = (
                column[keep] for column in (self._low, self._high, self._dollars, self._seen_s)
            )
        return ids, dollars
