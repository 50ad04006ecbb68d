"""What model calls cost, in the metrics of a running sidecar."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from otel_ext.wire import encode
from tests.e2e.kit import FREE, Process, new_trace, until

NOW_NS = time.time_ns() - 10_000_000_000
AT = {"endpoint": FREE}
CONFIG: dict[str, Any] = {
    "receivers": {"grpc": AT, "http": AT},
    "admin": AT,
    "traces": {"idle_timeout": "1s"},
    "prices": {"models": [{"match": "^in-house$", "input": 1, "cached_input": 0, "output": 2}]},
}


def call(trace: bytes, number: int, model: str, **more: encode.Value) -> bytes:
    """A span of a model call with a million tokens in and half a million out."""
    attributes: dict[str, encode.Value] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": model,
        "gen_ai.usage.input_tokens": 1_000_000,
        "gen_ai.usage.output_tokens": 500_000,
        "gen_ai.agent.name": "planner",
        **more,
    }
    return encode.span(trace, number.to_bytes(8, "big"), b"", "chat", NOW_NS, NOW_NS + 1_000_000, attributes)


@pytest.mark.parametrize("codec", ["", "python"])
def test_cost_in_the_metrics(serve: Callable[..., Process], codec: str) -> None:
    """By model (priced, by own price, as stated), by agent and by trace; what has no price is counted by name."""
    sidecar, trace = serve(CONFIG, OTEL_EXT_CODEC=codec), new_trace()
    spans = [
        call(trace, 1, "gpt-4o-2024-11-20"),
        call(trace, 2, "in-house", **{"gen_ai.usage.cache_read.input_tokens": 400_000}),
        call(trace, 3, "stated", **{"gen_ai.usage.cost": 0.25}),
        call(trace, 4, "unheard-of"),
        call(trace, 5, "", **{"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search", "gen_ai.usage.cost": 0.01}),
    ]
    sidecar.export(encode.request({"service.name": "shop"}, "test", "1", spans))
    until(lambda: sidecar.value("otel_ext_trace_cost_dollars_count"), "the trace to be over")
    by_model = {sample.labels["model"]: sample.value for sample in sidecar.samples("llm_cost_dollars_total")}
    assert by_model == pytest.approx({"gpt-4o-2024-11-20": 7.5, "in-house": 1.6, "stated": 0.25})
    assert sidecar.value("otel_ext_agent_cost_dollars_total", agent="planner") == pytest.approx(9.35)
    assert sidecar.value("otel_ext_trace_cost_dollars_sum") == pytest.approx(9.35)
    assert sidecar.value("otel_ext_unpriced_calls_total", model="unheard-of", reason="unknown_model") == 1
    assert sidecar.value("otel_ext_tool_cost_dollars_total", tool="search") == 0.01
    exemplar = next(sample.exemplar for sample in sidecar.samples("otel_ext_trace_cost_dollars_bucket", le="10.0"))
    assert exemplar.labels == {"trace_id": trace.hex()}


def test_a_price_that_is_no_pattern_stops_the_start(serve: Callable[..., Process]) -> None:
    """With the place of the fault."""
    with pytest.raises(AssertionError, match=r"prices\.models\[0\]\.match"):
        serve({**CONFIG, "prices": {"models": [{"match": "(", "input": 1}]}})
