"""The columns' prices are those of single calls; a name is looked up once, and again when its price changes."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_ext.prices import PriceList, PriceTable, builtin
from otel_ext.wire.table import SPAN

NS = 1_000_000_000
NOV = int(datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()) * NS
NAMES = [
    "",
    "__other__",
    "gpt-4o",
    "claude-sonnet-4-5",
    "text-embedding-3-small",
    "unheard-of",
    "deepseek-flash",
    "gemini-3.8-flash",
    "gemini-2.5-pro",
]
PRICES = PriceList(builtin())
COUNT = st.integers(-1, 400_000)


def row(model: int, tokens: tuple[int, ...], cost: float = math.nan) -> np.ndarray:
    span = np.zeros(1, SPAN)
    span["model"], span["cost"] = model, cost
    columns = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "cache_write_tokens")
    for column, count in zip(columns, (*tokens, -1)[:5], strict=True):
        span[column] = count
    return span


CALL = st.tuples(st.integers(0, len(NAMES) - 1), st.tuples(COUNT, COUNT, COUNT, COUNT, COUNT))


@given(st.lists(CALL, max_size=20))
def test_columns_cost_what_calls_cost(calls: list[tuple[int, tuple[int, ...]]]) -> None:
    """Whatever the tokens, also impossible ones (more cached than there are): the same number, or none in both."""
    spans = np.concatenate([row(*call) for call in calls] or [np.zeros(0, SPAN)])
    costs = PriceTable(PRICES, NAMES.__getitem__).costs(spans, NOV)
    singly = [PRICES.cost(NAMES[model], *tokens, now_ns=NOV) for model, tokens in calls]
    assert costs.tolist() == pytest.approx([math.nan if cost is None else cost for cost in singly], nan_ok=True)


def test_a_stated_cost_is_kept() -> None:
    """What the application says goes before any price list, zero too."""
    spans = np.concatenate([row(2, (1_000, 10, 0, 0), 7.0), row(2, (1_000, 10, 0, 0), 0.0), row(5, (1, 1, 0, 0), 0.5)])
    assert PriceTable(PRICES, NAMES.__getitem__).costs(spans, NOV).tolist() == [7.0, 0.0, 0.5]


def test_rows_can_be_picked() -> None:
    """Only those asked for, in their order."""
    spans = np.concatenate([row(2, (1_000_000, 0, 0, 0)), row(5, (1, 1, 0, 0)), row(2, (2_000_000, 0, 0, 0))])
    assert PriceTable(PRICES, NAMES.__getitem__).costs(spans, NOV, np.array([2, 0])).tolist() == [5.0, 2.5]


def test_a_price_that_changes_is_looked_up_again() -> None:
    """By the hour, and on the day of an announced change."""
    table = PriceTable(PRICES, NAMES.__getitem__)
    spans = np.concatenate([row(6, (1_000_000, 0, 0, 0)), row(7, (1_000_000, 0, 0, 0)), row(2, (1_000_000, 0, 0, 0))])
    costs = [
        table.costs(spans, int(datetime(*when, tzinfo=UTC).timestamp()) * NS).tolist()
        for when in ((2026, 12, 31, 2), (2026, 12, 31, 5), (2027, 1, 1, 0))
    ]
    assert costs == [[0.3, 0.75, 2.5], [0.15, 0.75, 2.5], [0.15, 1.5, 2.5]]


def test_a_name_is_asked_for_once() -> None:
    """A batch costs no lookups of names seen before."""
    asked: list[int] = []

    def name(number: int) -> str:
        asked.append(number)
        return NAMES[number]

    table = PriceTable(PRICES, name)
    for _ in range(3):
        table.costs(np.concatenate([row(2, (1, 1, 0, 0)), row(5, (1, 1, 0, 0))] * 4), NOV)
    assert sorted(asked) == [2, 5]


def test_priced_tells_names_with_a_price() -> None:
    """Whether there is none, or only tokens are missing."""
    assert PriceTable(PRICES, NAMES.__getitem__).priced(np.array([2, 5, 0], "u2"), NOV).tolist() == [True, False, False]
