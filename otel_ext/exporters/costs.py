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
YOUNG_MAX: Final = 8_192  # traces
_NONE: Final = np.empty(0)
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
        self._by_tool = series[semconv.TOOL_COST]
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

    def fold_tools(self, spans: np.ndarray, of: np.ndarray, traces: Traces) -> None:
        """Count what the tool calls at rows *of* state; there is no price list of tools."""
        dollars = spans["cost"][of]
        known = np.flatnonzero((dollars >= 0) & (dollars < np.inf))
        if len(known):
            rows = self._by_tool.rows(spans["tool"][of[known]].astype(np.intp), self._tool_labels)
            self._by_tool.add_all(rows, dollars[known], of[known], traces)

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

    def _tool_labels(self, number: int) -> Labels:
        return (label(self._name(number)),)

    def _unpriced_labels(self, key: int) -> Labels:
        return label(self._name(key >> 1)), _REASONS[key & 1]


class TraceCosts:
    """Dollars of each open trace, 24 bytes each. Traces are told apart by the low half of their ids."""

    def __init__(self, traces_max: int, idle_s: float) -> None:
        self._traces_max = traces_max
        self._idle_s = idle_s
        # Where new ones go, and where they are moved to together: an insertion copies the whole table.
        self._young, self._old = _Table(), _Table()

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def add(self, ids: bytes, index: np.ndarray, dollars: np.ndarray, times_s: np.ndarray) -> None:
        """Add *dollars* to the traces at *index* of *ids* (16 bytes each), seen at *times_s*, which ascend."""
        by_index, last_s = np.bincount(index, dollars, minlength=len(ids) // 16), np.zeros(len(ids) // 16, "u4")
        last_s[index] = times_s  # of repeated indices the last value is assigned
        seen = np.flatnonzero(last_s)
        halves = np.frombuffer(ids, ">u8").reshape(-1, 2)[seen].astype("u8")
        low, first, of = np.unique(halves[:, 1], return_index=True, return_inverse=True)
        seen_s = np.zeros(len(low), "u4")
        seen_s[of.ravel()] = last_s[seen]
        sums = np.bincount(of.ravel(), by_index[seen], minlength=len(low)).astype("f4")
        fresh = self._young.update(self._old.update(_Table(low, halves[first, 0], sums, seen_s)))
        self._young.insert(fresh)
        if len(self._young) > YOUNG_MAX:
            self._old.insert(self._young)
            self._young = _Table()

    def close(self, now_s: float) -> tuple[bytes, np.ndarray]:
        """Take out the traces that are over: their ids, joined, and their dollars (f8)."""
        last_s = now_s - self._idle_s
        if (excess := len(self) - self._traces_max) > 0:
            seen_s = np.concatenate([self._young.seen_s, self._old.seen_s])
            last_s = max(last_s, float(np.partition(seen_s, excess - 1)[excess - 1]))
        closed = [table.take(table.seen_s <= last_s) for table in (self._young, self._old)]
        high, low = (np.concatenate([getattr(table, half) for table in closed]) for half in ("high", "low"))
        dollars = np.concatenate([table.dollars for table in closed]).astype("f8")
        return np.stack([high, low], axis=1).astype(">u8").tobytes(), dollars


class _Table:
    """Columns in ascending order of `low`, which is unique."""

    __slots__ = ("dollars", "high", "low", "seen_s")

    def __init__(self, low: np.ndarray = _NONE, high: np.ndarray = _NONE, dollars: np.ndarray = _NONE, seen_s: np.ndarray = _NONE) -> None:
        self.low, self.high = low.astype("u8", copy=False), high.astype("u8", copy=False)
        self.dollars, self.seen_s = dollars.astype("f4", copy=False), seen_s.astype("u4", copy=False)

    def __len__(self) -> int:
        return len(self.low)

    def update(self, more: _Table) -> _Table:
        """Add the rows of *more* that are known here; the others."""
        at = np.searchsorted(self.low, more.low)
        known = np.zeros(len(more), np.bool_)
        inside = at < len(self)
        known[inside] = self.low[at[inside]] == more.low[inside]
        self.dollars[at[known]] += more.dollars[known]
        self.seen_s[at[known]] = more.seen_s[known]
        return more.take(~known) if known.any() else more

    def insert(self, more: _Table) -> None:
        """Add rows that are not known here."""
        if len(more):
            at = np.searchsorted(self.low, more.low)
            for column in self.__slots__:
                setattr(self, column, np.insert(getattr(self, column), at, getattr(more, column)))

    def take(self, rows: np.ndarray) -> _Table:
        """Take out *rows* (bool)."""
        taken = _Table(*(getattr(self, column)[rows] for column in ("low", "high", "dollars", "seen_s")))
        if rows.any():
            for column in self.__slots__:
                setattr(self, column, getattr(self, column)[~rows])
        return taken
