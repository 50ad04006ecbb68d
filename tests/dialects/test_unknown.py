"""What no dialect knows, and what is counted of it."""

from __future__ import annotations

import numpy as np
import pytest

from otel_ext.exporters.prometheus import Metrics
from otel_ext.model import StepKind
from otel_ext.pipeline import Pipeline
from otel_ext.settings import Settings
from otel_ext.unknown_scopes import UnknownScopes
from otel_ext.wire import encode
from tests.dialects.kit import CODECS, codec_of, see

CHAT = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 7, "gen_ai.request.model": "m"}
NS = 1_800_000_000_000_000_000


def request(scope: str, *spans: bytes) -> bytes:
    return encode.request({"service.name": "shop"}, scope, "", spans)


def span(own: int, attributes: dict[str, encode.Value], name: str = "x", kind: int = 1, parent: int = 0, status: int = 0) -> bytes:
    ids = bytes([1]) * 16, bytes([own]) * 8, bytes([parent]) * 8 if parent else b""
    return encode.span(*ids, name, NS, NS + 2_000_000_000, attributes, kind=kind, status=status)


@pytest.mark.parametrize("kind", CODECS)
def test_an_unknown_dialect_is_read_by_the_shared_keys(kind: str) -> None:
    """A framework of tomorrow that writes the conventions needs no table."""
    seen = see(codec_of(kind), request("framework.of.tomorrow", span(1, dict(CHAT))))
    assert (seen["kind"], seen["model"], seen["input_tokens"]) == (StepKind.LLM, "m", 7)


@pytest.mark.parametrize("kind", CODECS)
def test_steps_of_unknown_scopes_are_counted(kind: str) -> None:
    """By the scope's name; known ones are not, and what is no step is not."""
    pipeline = Pipeline(Settings(), codec_of(kind))
    payloads = [
        request("framework.of.tomorrow", span(1, dict(CHAT)), span(2, dict(CHAT)), span(3, {"http.route": "/"})),
        request("openinference.instrumentation.openai", span(4, {"openinference.span.kind": "LLM"})),
        request("http.server", span(5, {"http.route": "/"})),
        request("framework.of.tomorrow", span(6, dict(CHAT))),
    ]
    for payload in payloads:
        pipeline.process(payload, NS)
    assert dict(pipeline.scopes.counts()) == {"framework.of.tomorrow": 3}


def test_counts_are_bounded_by_the_table_of_names() -> None:
    """Names without room share one number, and so one count."""
    scopes = UnknownScopes(lambda number: f"scope {number}")
    rows = np.array(
        [(number % 3, 0, 5, 2) for number in range(1000)], [("name", "<u2"), ("pad", "<u2"), ("spans", "<u4"), ("steps", "<u4")]
    )
    scopes.add(rows)
    assert sum(scopes.counts().values()) == 2000
    assert len(scopes.counts()) == 3


@pytest.mark.parametrize("kind", CODECS)
def test_a_call_by_mcp_is_timed_once(kind: str) -> None:
    """Client, SDK and server make a span each: it is the server's that knows how the call went."""
    codec = codec_of(kind)
    metrics = Metrics(100, codec.name)
    call = {"mcp.method.name": "tools/call"}
    payload = request(
        "mcp-python-sdk",
        span(1, dict(call), "MCP send tools/call search", kind=3),
        span(2, call | {"gen_ai.tool.name": "search", "error.type": "tool_error"}, "tools/call search", kind=2, parent=1),
    )
    outcome = Pipeline(Settings(), codec).process(payload, NS)
    metrics.observe(outcome.fresh, list(outcome.trace_ids))
    samples = [sample for family in metrics.collect() for sample in family.samples]
    told = [(sample.labels, sample.value) for sample in samples if sample.name == "mcp_tool_duration_seconds_count"]
    assert told == [({"tool": "search", "status": "error"}, 1)]
