"""Cost in the metrics: by model, agent and trace; what has no known cost is counted by name; all bounded."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from otel_ext.exporters.costs import Pricing, TraceCosts
from otel_ext.exporters.prometheus import Metrics
from otel_ext.model import StepKind
from otel_ext.prices import PriceList, PriceTable, builtin
from otel_ext.wire.table import SPAN

NAMES = ["", "__other__", "gpt-4o", "unheard-of", "planner", "shop", *(f"agent-{n}" for n in range(40)), *(f"model-{n}" for n in range(40))]
NUMBER = {name: number for number, name in enumerate(NAMES)}
IDS = [bytes([n]) * 16 for n in range(1, 6)]
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class Clock:
    def __init__(self) -> None:
        self.now_s = datetime(2026, 11, 20, tzinfo=UTC).timestamp()

    def __call__(self) -> float:
        return self.now_s


def metrics(clock: Clock, series_max: int = 100, traces_max: int = 1_000) -> Metrics:
    table = PriceTable(PriceList(builtin()), NAMES.__getitem__)
    return Metrics(series_max, NAMES.__getitem__, now=clock, pricing=Pricing(table, idle_s=300, traces_max=traces_max))


def call(model: str = "gpt-4o", tokens: int = 1_000_000, agent: str = "", trace: int = 0, cost: float = math.nan) -> np.ndarray:
    row = np.zeros(1, SPAN)
    row["kind"] = StepKind.LLM
    row["model"], row["agent"], row["service"], row["trace"] = NUMBER[model], NUMBER[agent], NUMBER["shop"], trace
    row["input_tokens"], row["output_tokens"], row["cost"] = tokens, 0, cost
    row["cached_tokens"] = row["reasoning_tokens"] = -1
    return row


def values(numbers: Metrics) -> dict[tuple[str, str], float]:
    """By sample name and label values."""
    body, _ = numbers.page().encode(OPENMETRICS)
    families = text_string_to_metric_families(body.decode())
    return {(sample.name, "/".join(sample.labels.values())): sample.value for family in families for sample in family.samples}


def test_a_call_without_a_stated_cost_is_priced() -> None:
    """One that states it is not."""
    numbers = metrics(Clock())
    numbers.observe(np.concatenate([call(), call(cost=0.25)]), IDS)
    assert values(numbers)["llm_cost_dollars_total", "gpt-4o/chat"] == 2.75


def test_cost_by_agent_else_by_service() -> None:
    """As findings name them."""
    numbers = metrics(Clock())
    numbers.observe(np.concatenate([call(agent="planner"), call(agent="planner"), call()]), IDS)
    found = values(numbers)
    assert found["otel_ext_agent_cost_dollars_total", "planner"] == 5.0
    assert found["otel_ext_agent_cost_dollars_total", "shop"] == 2.5


def test_a_tool_costs_what_its_span_states() -> None:
    """Nothing is priced by a list, and the cost of models and traces is not touched."""
    numbers = metrics(Clock())
    calls = np.concatenate([call(cost=0.5), call(cost=0.25), call()])
    calls["kind"], calls["tool"] = StepKind.TOOL, NUMBER["planner"]
    numbers.observe(calls, IDS)
    found = values(numbers)
    assert found["otel_ext_tool_cost_dollars_total", "planner"] == 0.75
    assert not [key for key in found if key[0].startswith(("llm_cost", "otel_ext_unpriced"))]


def test_what_has_no_cost_is_counted_and_why() -> None:
    """By the model's name: no price for it, or no tokens to price; and nothing is added to the cost."""
    numbers = metrics(Clock())
    numbers.observe(np.concatenate([call("unheard-of"), call("unheard-of"), call(tokens=-1)]), IDS)
    found = values(numbers)
    assert found["otel_ext_unpriced_calls_total", "unheard-of/unknown_model"] == 2
    assert found["otel_ext_unpriced_calls_total", "gpt-4o/no_tokens"] == 1
    assert not [key for key in found if key[0].startswith("llm_cost_dollars")]


def test_series_are_bounded() -> None:
    """Past the bound agents and unknown models become __other__, and that is counted."""
    numbers = metrics(Clock(), series_max=10)
    numbers.observe(np.concatenate([call(agent=f"agent-{n}") for n in range(40)] + [call(f"model-{n}") for n in range(40)]), IDS)
    found = values(numbers)
    assert found["otel_ext_agent_cost_dollars_total", "__other__"] == 30 * 2.5
    assert found["otel_ext_unpriced_calls_total", "__other__/__other__"] == 30
    assert found["otel_ext_series_overflow_total", "otel_ext_agent_cost_dollars_total"] == 30


def test_a_trace_s_cost_is_observed_once_it_is_quiet() -> None:
    """All its calls together, over several batches; and with its id as exemplar."""
    clock = Clock()
    numbers = metrics(clock)
    numbers.observe(np.concatenate([call(trace=0), call(trace=1, cost=0.001)]), IDS)
    clock.now_s += 200
    numbers.observe(call(trace=0), [IDS[0]])
    assert values(numbers)["otel_ext_trace_cost_dollars_count", ""] == 0
    clock.now_s += 150
    assert values(numbers)["otel_ext_trace_cost_dollars_count", ""] == 1
    clock.now_s += 200
    found = values(numbers)
    assert found["otel_ext_trace_cost_dollars_count", ""] == 2
    assert found["otel_ext_trace_cost_dollars_sum", ""] == pytest.approx(5.001)
    assert f'trace_id="{IDS[0].hex()}"}} 5.0' in numbers.page().encode(OPENMETRICS)[0].decode()


def test_the_longest_quiet_traces_close_first_when_there_are_too_many() -> None:
    """Memory is bounded, and what is forgotten was observed."""
    clock = Clock()
    numbers = metrics(clock, traces_max=2)
    for n in range(4):
        clock.now_s += 2
        numbers.observe(call(), [IDS[n]])
        numbers.page()
    assert values(numbers)["otel_ext_trace_cost_dollars_count", ""] == 2


@pytest.mark.parametrize("young_max", [0, 2, 8_192])
@given(batches=st.lists(st.lists(st.tuples(st.integers(0, 4), st.floats(0, 8, width=16)), min_size=1, max_size=8), max_size=8))
def test_trace_costs_are_sums_whatever_the_batches(young_max: int, batches: list[list[tuple[int, float]]]) -> None:
    """Each trace once, with all that was added to it, wherever it is kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("otel_ext.exporters.costs.YOUNG_MAX", young_max)
        _check_sums(batches)


def _check_sums(batches: list[list[tuple[int, float]]]) -> None:
    held = TraceCosts(100, 10)
    expected: dict[bytes, float] = {}
    for batch in batches:
        held.add(
            b"".join(IDS),
            np.array([trace for trace, _ in batch]),
            np.array([dollars for _, dollars in batch]),
            np.full(len(batch), 1_000.5),
        )
        for trace, dollars in batch:
            expected[IDS[trace]] = expected.get(IDS[trace], 0) + dollars
    assert held.close(1_009)[0] == b""
    ids, dollars = held.close(1_010)
    assert dict(zip((ids[at : at + 16] for at in range(0, len(ids), 16)), dollars.tolist(), strict=True)) == pytest.approx(expected)
    assert len(held) == 0
