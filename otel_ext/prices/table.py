"""Prices by interned model name, for whole columns: a name is matched once, then it is a row of numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from otel_ext.prices.models import PER, Model, PriceList, first_that_holds

NS_PER_HOUR: Final = 3_600_000_000_000  # prices change by the day, some by the hour
_RATES: Final = 5
_NEVER: Final = 2**31  # above every token count


class PriceTable:
    """The prices of one codec's names, at most one row each; *name* gives an interned name. One thread at a time."""

    def __init__(self, prices: PriceList, name: Callable[[int], str]) -> None:
        self._prices = prices
        self._name = name
        self._width = max((len(model.tiers) for model in prices.models), default=1)
        self._known = np.zeros(0, np.bool_)  # by name: it was looked up
        self._above = np.empty((0, self._width))  # by name and tier
        self._rates = np.empty((0, _RATES))  # by name * width + tier, dollars a token; NaN: no price
        self._changing: dict[int, tuple[Model, ...]] = {}  # by name: prices that take turns
        self._hour = 0

    def costs(self, spans: np.ndarray, now_ns: int, of: np.ndarray | None = None) -> np.ndarray:
        """US dollars of every SPAN row, or of rows *of* (f8): what the span states, else its tokens at its model's price at *now_ns*.

        NaN where unknown. What tokens mean is said at `PriceList.cost`.
        """
        stated = np.array(spans["cost"] if of is None else spans["cost"][of])
        unstated = np.flatnonzero(~(np.isfinite(stated)))
        if len(unstated):
            stated[unstated] = self._computed(spans, unstated if of is None else of[unstated], now_ns)
        return stated

    def priced(self, names: np.ndarray, now_ns: int) -> np.ndarray:
        """Whether a price is known for each of the interned *names* (bool)."""
        self._learn(names, now_ns)
        priced: np.ndarray = ~np.isnan(self._rates[names.astype(np.intp) * self._width, 0])
        return priced

    def _computed(self, spans: np.ndarray, of: np.ndarray, now_ns: int) -> np.ndarray:
        names = spans["model"][of].astype(np.intp)
        self._learn(names, now_ns)
        counted, output = spans["input_tokens"][of].astype("f8"), spans["output_tokens"][of].astype("f8")
        rates = self._rates[self._rows(names, counted)].T
        cached = _within(spans["cached_tokens"][of], counted)
        written = _within(spans["cache_write_tokens"][of], counted - cached)
        reasoning = _within(spans["reasoning_tokens"][of], np.maximum(output, 0))
        charged = np.where(output >= 0, output, np.where(rates[3] == 0, 0, np.nan))
        dollars = (counted - cached - written) * rates[0] + cached * rates[1] + written * rates[2]
        dollars += (charged - reasoning) * rates[3] + reasoning * rates[4]
        dollars[counted < 0] = np.nan
        return np.asarray(dollars)

    def _rows(self, names: np.ndarray, counted: np.ndarray) -> np.ndarray:
        rows = names * self._width
        for tier in range(1, self._width):
            rows += counted > self._above[names, tier]
        return rows

    def _learn(self, names: np.ndarray, now_ns: int) -> None:
        """Look up names not seen yet, and anew those whose price takes turns when an hour has gone."""
        if len(names) and (size := int(names.max()) + 1) > len(self._known):
            self._grow(max(size, 2 * len(self._known)))
        known = self._known[names]
        if not known.all():
            for number in np.unique(names[~known]).tolist():
                self._look_up(number, now_ns)
        if now_ns // NS_PER_HOUR != self._hour:
            self._hour = now_ns // NS_PER_HOUR
            for number, models in self._changing.items():
                self._put(number, first_that_holds(models, now_ns))

    def _look_up(self, number: int, now_ns: int) -> None:
        models = tuple(self._prices.matches(self._name(number)))
        if any(model.start or model.hours for model in models):
            self._changing[number] = models
        self._put(number, first_that_holds(models, now_ns))
        self._known[number] = True

    def _put(self, number: int, model: Model | None) -> None:
        first = number * self._width
        self._rates[first : first + self._width] = np.nan
        self._above[number] = _NEVER
        for tier, (above, rates) in enumerate(model.tiers if model else ()):
            self._above[number, tier] = above
            self._rates[first + tier] = np.array(rates) / PER

    def _grow(self, size: int) -> None:
        more = size - len(self._known)
        self._known = np.concatenate([self._known, np.zeros(more, np.bool_)])
        self._above = np.concatenate([self._above, np.full((more, self._width), _NEVER, "f8")])
        self._rates = np.concatenate([self._rates, np.full((more * self._width, _RATES), np.nan)])


def _within(counts: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """*counts* as parts of *whole*: unknown ones are none, and none is more than there is."""
    part: np.ndarray = np.minimum(np.maximum(counts, 0), np.maximum(whole, 0))
    return part
