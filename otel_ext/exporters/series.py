"""Counts by label set, in numpy, with a bound on the label sets and the latest exemplar of every cell. No clock, no locks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from otel_ext.exporters.declared import Labels
from otel_ext.semconv import OTHER_LABEL

LABEL_LENGTH_MAX: Final = 128  # characters
GROUPS_MIN: Final = 65_536  # keys a Groups remembers at least: 16 bytes each
TRACE_ID_BYTES: Final = 16
OVERFLOW_ROW: Final = 0

# The latest observation of a cell; time 0: there was none.
_EXEMPLAR: Final = np.dtype([("trace", f"V{TRACE_ID_BYTES}"), ("value", "<f8"), ("time", "<f8")])
_KEY_END: Final = np.uint64(2**64 - 1)  # above every key, so that a search never runs past the table
_NEAR_BITS: Final = 12
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio: the high bits of a product spread neighbours
_MIX_SHIFT: Final = np.uint64(64 - _NEAR_BITS)


class Exemplar(NamedTuple):
    """One observation that stands for its cell: hex trace id, what was observed, seconds since the epoch."""

    trace_id: str
    value: float
    time_s: float


@dataclass(frozen=True, slots=True)
class Traces:
    """Whose the rows of one fold are: raw trace ids, and for every row its index there and the second it was observed."""

    ids: bytes
    index: np.ndarray
    times_s: np.ndarray


@dataclass(frozen=True, slots=True)
class Cell:
    """What one label set holds now: bucket counts (one for a counter), the sum, one exemplar or None a bucket."""

    labels: Labels
    counts: list[int]
    total: float
    exemplars: list[Exemplar | None]


def label(text: str) -> str:
    """*text* as a label value: never empty, at most LABEL_LENGTH_MAX characters, valid UTF-8."""
    return text[:LABEL_LENGTH_MAX].encode("utf-8", "replace").decode() or "unknown"


class Groups:
    """Numbers integer keys (< 2**64 - 1) from 1 in order of first sight; past *groups_max* a new key is 0, and not remembered."""

    def __init__(self, groups_max: int) -> None:
        self.keys: list[int] = [0]  # key of each number; that of 0 means nothing
        self._groups_max = groups_max
        self._sorted = np.array([_KEY_END], "u8")
        self._numbers = np.array([0], np.intp)
        # Some of both once more, by hash: two gathers, where a search of unsorted keys costs six times that in mispredicted branches.
        self._near_keys = np.full(2**_NEAR_BITS, _KEY_END)
        self._near_numbers = np.zeros(2**_NEAR_BITS, np.intp)

    def of(self, keys: np.ndarray) -> np.ndarray:
        """The number of every key (u8)."""
        slots = keys * _MIX >> _MIX_SHIFT
        if not (self._near_keys[slots] == keys).all():
            numbers = self._search(keys)
            known = numbers > 0
            self._near_keys[slots[known]] = keys[known]
            self._near_numbers[slots[known]] = numbers[known]
            return numbers
        near: np.ndarray = self._near_numbers[slots]
        return near

    def _search(self, keys: np.ndarray) -> np.ndarray:
        at = np.searchsorted(self._sorted, keys)
        known = self._sorted[at] == keys
        if not known.all() and self._learn(np.unique(keys[~known])):
            return self._search(keys)
        return np.where(known, self._numbers[at], 0)

    def _learn(self, keys: np.ndarray) -> bool:
        """Add as many of the sorted *keys* as there is room for; False where there is none."""
        first = len(self.keys)
        keys = keys[: max(self._groups_max - first + 1, 0)]
        self.keys += keys.tolist()
        at = np.searchsorted(self._sorted, keys)
        self._sorted = np.insert(self._sorted, at, keys)
        self._numbers = np.insert(self._numbers, at, np.arange(first, first + len(keys)))
        return len(keys) > 0


class Series:
    """The label sets of one metric: *series_max* of them, and row 0 where every later one goes, each time counted in `overflow`.

    A histogram has upper *bounds*, inclusive and ascending; a counter has none. Rows are never removed, and values only grow.
    """

    def __init__(self, series_max: int, labels: int, bounds: Sequence[float] = ()) -> None:
        self.overflow = 0
        self._series_max = series_max
        self._bounds = np.array(bounds)
        self._width = len(bounds) + 1
        self._labels: list[Labels] = []
        self._rows: dict[Labels, int] = {}
        self._by_key = np.empty(0, np.intp)  # row of each key, -1 where it was not asked for yet
        self._counts = np.zeros(0, np.int64)  # by cell: row * width + bucket
        self._exemplars = np.zeros(0, _EXEMPLAR)  # by cell
        self._totals = np.zeros(0)  # by row
        self._add_row((OTHER_LABEL,) * labels)

    def row(self, labels: Labels) -> int:
        """The row of a label set, which is made where there is room."""
        row = self._rows.get(labels)
        if row is None:
            row = self._add_row(labels) if len(self._labels) <= self._series_max else OVERFLOW_ROW
        return row

    def rows(self, keys: np.ndarray, labels_of: Callable[[int], Labels]) -> np.ndarray:
        """The row of every key, a small number of the caller's; *labels_of* is asked once a key."""
        if len(keys) and (size := int(keys.max()) + 1) > len(self._by_key):
            self._by_key = np.concatenate([self._by_key, np.full(max(size, 2 * len(self._by_key)) - len(self._by_key), -1)])
        rows: np.ndarray = self._by_key[keys]
        unknown = rows < 0
        if unknown.any():
            for key in np.unique(keys[unknown]).tolist():
                self._by_key[key] = self.row(labels_of(key))
            rows = self._by_key[keys]
        return rows

    def add(self, row: int, value: float, trace_id: bytes, time_s: float) -> None:
        """One observation. Empty *trace_id*: no exemplar."""
        self.overflow += row == OVERFLOW_ROW
        cell = row * self._width + (int(self._bounds.searchsorted(value)) if self._width > 1 else 0)
        self._counts[cell] += 1
        self._totals[row] += value
        if trace_id:
            self._exemplars[cell] = (trace_id, value, time_s)

    def add_all(self, rows: np.ndarray, values: np.ndarray, of: np.ndarray, traces: Traces) -> None:
        """One observation for every entry of *rows*; *of* is its position in *traces*. The last of a cell becomes its exemplar."""
        self.overflow += len(rows) - int(np.count_nonzero(rows))
        cells = rows * self._width + self._buckets(values) if self._width > 1 else rows
        last = np.full(len(self._labels) * self._width, -1)
        last[cells] = np.arange(len(cells))  # numpy: of repeated indices the last value is assigned
        self._counts[: len(last)] += np.bincount(cells, minlength=len(last))
        self._totals[: len(self._labels)] += np.bincount(rows, values, minlength=len(self._labels))
        touched = np.flatnonzero(last >= 0)
        self._keep(touched, values[last[touched]], of[last[touched]], traces)

    def _buckets(self, values: np.ndarray) -> np.ndarray:
        """As `searchsorted`, for few bounds in a fifth of its time: comparing with each has no branches to mispredict."""
        buckets = np.zeros(len(values), np.int8)
        for bound in self._bounds:
            buckets += values > bound
        return buckets

    def _keep(self, cells: np.ndarray, values: np.ndarray, of: np.ndarray, traces: Traces) -> None:
        ids = np.frombuffer(traces.ids, self._exemplars["trace"].dtype)
        self._exemplars["trace"][cells] = ids[traces.index[of]]
        self._exemplars["value"][cells] = values
        self._exemplars["time"][cells] = traces.times_s[of]

    def snapshot(self) -> SeriesSnapshot:
        """The values as they are now; later observations do not reach it."""
        rows = len(self._labels)
        cells = rows * self._width
        return SeriesSnapshot(
            tuple(self._labels), self._counts[:cells].copy(), self._totals[:rows].copy(), self._exemplars[:cells].tobytes()
        )

    def _add_row(self, labels: Labels) -> int:
        row = len(self._labels)
        if row == len(self._totals):
            size = 2 * row or 8
            self._totals = _grown(self._totals, size)
            self._counts = _grown(self._counts, size * self._width)
            self._exemplars = _grown(self._exemplars, size * self._width)
        self._labels.append(labels)
        self._rows[labels] = row
        return row


@dataclass(frozen=True, slots=True)
class SeriesSnapshot:
    """Values of one metric at one moment."""

    labels: tuple[Labels, ...]
    counts: np.ndarray  # by cell
    totals: np.ndarray  # by row
    exemplars: bytes

    def cells(self) -> Iterator[Cell]:
        """Every label set that was observed, in order of first sight; without labels, also before."""
        counts = self.counts.reshape(len(self.labels), -1).tolist()
        exemplars = _exemplars(np.frombuffer(self.exemplars, _EXEMPLAR))
        for labels, row, total in zip(self.labels, counts, self.totals.tolist(), strict=True):
            of_row = [next(exemplars) for _ in row]
            if any(row) or not labels:
                yield Cell(labels, row, total, of_row)


def _exemplars(rows: np.ndarray) -> Iterator[Exemplar | None]:
    columns: Iterable[tuple[bytes, float, float]] = zip(rows["trace"].tolist(), rows["value"].tolist(), rows["time"].tolist(), strict=True)
    return (Exemplar(trace.hex(), value, time_s) if time_s else None for trace, value, time_s in columns)


def _grown(array: np.ndarray, size: int) -> np.ndarray:
    more = np.zeros(size, array.dtype)
    more[: len(array)] = array
    return more
