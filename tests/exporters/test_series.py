"""Promises of the bounded tables under the metrics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_ext.exporters.series import Groups, Series, Traces


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 40), max_size=20), max_size=6), st.integers(0, 20))
def test_groups_number_keys_in_order_up_to_their_bound(batches: list[list[int]], groups_max: int) -> None:
    """A number never changes, `keys` leads back, and past the bound a key is 0."""
    groups = Groups(groups_max)
    seen: dict[int, int] = {}
    for batch in batches:
        numbers = groups.of(np.array(batch, "u8") << np.uint64(30)).tolist()
        for key, number in zip(batch, numbers, strict=True):
            assert seen.setdefault(key, number) == number
            assert number == 0 or groups.keys[number] == key << 30
    assert sum(number > 0 for number in seen.values()) == min(len(seen), groups_max)


def test_keys_that_share_a_slot_keep_their_own_numbers() -> None:
    """The table by hash is only a shortcut: more keys than slots, in any order, get the right numbers."""
    groups = Groups(10_000)
    keys = np.arange(10_000, dtype="u8")
    numbers = groups.of(keys)
    order = np.random.default_rng(1).permutation(10_000)
    assert (groups.of(keys[order]) == numbers[order]).all()
    assert len(set(numbers.tolist())) == 10_000


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 50)), max_size=60))
def test_one_by_one_or_all_at_once_is_the_same(observations: list[tuple[int, float]]) -> None:
    """`add` and `add_all` agree, exemplars too."""
    single, bulk = (Series(3, 1, (1, 2, 5)) for _ in range(2))
    keys = np.array([key for key, _ in observations], np.intp)
    values = np.array([value for _, value in observations])
    ids = [bytes([1 + at]) * 16 for at in range(len(observations))]
    for (key, value), trace_id in zip(observations, ids, strict=True):
        single.add(single.row((f"k{key}",)), value, trace_id, 5.0)
    # labels are met in ascending order of new keys within one batch, so meet them first in the order of the observations
    for key, _ in observations:
        bulk.row((f"k{key}",))
    of = np.arange(len(observations))
    bulk.add_all(bulk.rows(keys, lambda key: (f"k{key}",)), values, of, Traces(b"".join(ids), of, np.full(len(of), 5.0)))
    one, all_ = list(single.snapshot().cells()), list(bulk.snapshot().cells())
    assert [(cell.labels, cell.counts, cell.exemplars) for cell in one] == [(cell.labels, cell.counts, cell.exemplars) for cell in all_]
    assert [cell.total for cell in one] == pytest.approx([cell.total for cell in all_])
    assert single.overflow == bulk.overflow
