"""One call told of by several instrumentations is one call: in counts, in tokens, and for every rule; whatever came first."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from otel_ext.configfile import load
from otel_ext.dialects import KEYS, RULES
from otel_ext.exporters.prometheus import Metrics
from otel_ext.model import StepKind
from otel_ext.pipeline import Pipeline
from otel_ext.wire import encode, make_codec

NS = 1_800_000_000_000_000_000
TRACE = b"t" * 16
AGENT = 1


def span(number: int, parent: int, name: str, end_ms: int, attributes: dict[str, encode.Value], *, kind: int = 1) -> bytes:
    ids = number.to_bytes(8, "big"), parent.to_bytes(8, "big") if parent else b""
    made = encode.span(TRACE, *ids, name, NS, NS + end_ms * 1_000_000, attributes, kind)
    return encode.request({"service.name": "shop"}, "test", "", [made])


def model(number: int, parent: int, end_ms: int, text: str = "Here is what I found.", tokens: int = 100) -> bytes:
    said = [{"role": "assistant", "parts": [{"type": "text", "content": text}], "finish_reason": "stop"}]
    attributes: dict[str, encode.Value] = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
    attributes |= {"gen_ai.usage.input_tokens": tokens, "gen_ai.usage.output_tokens": 10, "gen_ai.output.messages": json.dumps(said)}
    return span(number, parent, "chat m", end_ms, attributes, kind=3)


def agent(end_ms: int) -> bytes:
    return span(AGENT, 0, "invoke_agent clerk", end_ms, {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "clerk"})


def counted(requests: list[bytes]) -> tuple[int, int, set[str]]:
    """Model calls and their input tokens as the metrics get them, and the rules that found something."""
    pipeline = Pipeline(load("detect: {token_spike: {baseline_tokens: 1000000}}", {}), make_codec(KEYS, RULES))
    outcomes = [pipeline.process(request, NS) for request in requests] + [pipeline.settle_all()]
    fresh = np.concatenate([outcome.fresh for outcome in outcomes])
    models = fresh[fresh["kind"] == StepKind.LLM]
    return len(models), int(models["input_tokens"].sum()), {f.rule for outcome in outcomes for f in outcome.findings if not f.withdrawn}


NESTED = [model(3, 2, 95), model(2, AGENT, 100), agent(200)]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_model_call_inside_a_model_call(order: tuple[int, ...]) -> None:
    """Counted once, in one request or in three, in whatever order."""
    assert counted([NESTED[place] for place in order])[:2] == (1, 100)
    assert counted([b"".join(NESTED[place] for place in order)])[:2] == (1, 100)


def test_two_spans_side_by_side() -> None:
    """The same text and tokens at the same time: a framework and the client under it, which do not know each other."""
    beside = [model(2, AGENT, 100), model(3, AGENT, 101), agent(200)]
    assert counted([b"".join(beside)])[:2] == (1, 100)
    assert counted(beside)[:2] == (1, 100)


def test_a_second_call_with_the_same_text_is_a_second_call() -> None:
    """A second later it is another one."""
    assert counted([model(2, AGENT, 100), model(3, AGENT, 1_100), agent(1_200)])[:2] == (2, 200)


def test_a_text_told_of_twice_is_no_loop() -> None:
    """Two calls with one text, each seen by two instrumentations, are not four."""
    calls = [model(3, 2, 95), model(2, AGENT, 100), model(5, 4, 1_095), model(4, AGENT, 1_100)]
    for requests in ([*calls, agent(1_200)], [b"".join([*calls, agent(1_200)])]):
        assert "loop/identical_output" not in counted(requests)[2]


def test_an_mcp_call_inside_a_tool_is_that_tools() -> None:
    """Three equal tool calls, each with its MCP span, are three: a loop of three, not of six; two are none."""

    def call(number: int, end_ms: int) -> list[bytes]:
        tool: dict[str, encode.Value] = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}
        tool |= {"gen_ai.tool.call.arguments": '{"q": 1}', "gen_ai.tool.call.result": "nothing"}
        inside = span(
            number + 1, number, "tools/call search", end_ms - 5, {"mcp.method.name": "tools/call", "gen_ai.tool.name": "search"}, kind=3
        )
        return [inside, span(number, AGENT, "execute_tool search", end_ms, tool)]

    two = [*call(10, 100), *call(20, 200)]
    three = [*two, *call(30, 300)]
    for requests in ([*two, agent(400)], [b"".join([*two, agent(400)])]):
        assert counted(requests)[2] == set()
    for requests in ([*three, agent(400)], [b"".join([*three, agent(400)])]):
        assert counted(requests)[2] == {"loop/identical_calls"}


def timed(requests: list[bytes]) -> dict[str, float]:
    """Tool calls in the metrics, by tool."""
    codec = make_codec(KEYS, RULES)
    pipeline, metrics = Pipeline(load("", {}), codec), Metrics(100, codec.name)
    for request in requests:
        outcome = pipeline.process(request, NS)
        metrics.observe(outcome.fresh, list(outcome.trace_ids))
    samples = [sample for family in metrics.collect() for sample in family.samples if sample.name == "mcp_tool_duration_seconds_count"]
    return {sample.labels["tool"]: sample.value for sample in samples}


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_call_by_mcp_is_timed_once(order: tuple[int, ...]) -> None:
    """Its caller's span and the server's come in requests of their own, from two processes, in any order."""
    client = span(2, AGENT, "MCP send tools/call search", 100, {"mcp.method.name": "tools/call"}, kind=3)
    served: dict[str, encode.Value] = {"mcp.method.name": "tools/call", "gen_ai.tool.name": "search"}
    requests = [client, span(3, 2, "tools/call search", 95, served, kind=2), agent(200)]
    assert timed([requests[place] for place in order]) == {"search": 1}
