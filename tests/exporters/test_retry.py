"""Pauses: bounds of the jitter, delays asked for, the gate of a destination."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from otel_ext.exporters.retry import Backoff, Gate
from tests.exporters.kit import NS_PER_S, FakeTime


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_jitter_stays_under_a_ceiling_that_doubles(attempt: int, roll: float) -> None:
    """Full jitter: anything from nothing to initial * 2**attempt, at most max_s."""
    delay_s = Backoff(initial_s=0.5, max_s=30).delay_s(attempt, None, lambda: roll)
    assert 0 <= delay_s <= min(30, 0.5 * 2 ** min(attempt, 30))


@given(st.integers(0, 50), st.floats(0, 1, exclude_max=True), st.floats(0, 1e9))
def test_a_delay_asked_for_is_a_minimum(attempt: int, roll: float, asked_s: float) -> None:
    """RetryInfo and Retry-After are obeyed up to asked_max_s."""
    own_s = Backoff().delay_s(attempt, None, lambda: roll)
    assert Backoff().delay_s(attempt, asked_s, lambda: roll) == max(own_s, min(asked_s, 3_600))


async def test_the_gate_holds_for_the_longest_wish() -> None:
    """A shorter wish does not open the gate earlier."""
    time = FakeTime()
    gate = Gate(time.runtime)
    start_ns = time.now_ns
    gate.close_for(7)
    gate.close_for(2)
    await time.run(gate.pass_through())
    assert time.now_ns - start_ns == 7 * NS_PER_S


async def test_a_clock_set_back_does_not_lengthen_the_pause() -> None:
    """An hour back on the clock is not an hour more to wait."""
    time = FakeTime()
    gate = Gate(time.runtime)
    gate.close_for(5)
    time.now_ns -= 3_600 * NS_PER_S
    await time.run(gate.pass_through(), limit_s=6)


async def test_an_open_gate_costs_no_sleep() -> None:
    """Nothing asked, nothing slept."""
    time = FakeTime()
    await asyncio.wait_for(Gate(time.runtime).pass_through(), 1)
    assert time.sleeps == []
