"""The LLM tree inside the whole one, through the pipeline: who is kept, under whom, and who is the top."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_ext.configfile import load
from otel_ext.correlate.tree import LlmTree
from otel_ext.dialects import KEYS, RULES
from otel_ext.pipeline import Pipeline
from otel_ext.wire import encode, make_codec

NS = 1_800_000_000_000_000_000
AGENT: Mapping[str, encode.Value] = {"gen_ai.operation.name": "invoke_agent"}
CHAT: Mapping[str, encode.Value] = {"gen_ai.operation.name": "chat"}
HTTP: Mapping[str, encode.Value] = {"http.request.method": "POST"}
REMOTE = 0x300  # the parent is known to be in another process


def span(number: int, parent: int, attributes: Mapping[str, encode.Value], flags: int = 0x100) -> bytes:
    parent_id = parent.to_bytes(8, "big") if parent else b""
    return encode.span(b"t" * 16, number.to_bytes(8, "big"), parent_id, f"span {number}", NS, NS + number, attributes, flags=flags)


def tree(*batches: list[bytes]) -> dict[int, tuple[int, bool]]:
    """What Langfuse gets of each span: its parent, and whether it is marked as the application's root."""
    pipeline = Pipeline(load("", {}), make_codec(KEYS, RULES))
    sent = {}
    for batch in batches:
        outcome = pipeline.process(encode.request({}, "app", "", batch), NS)
        for resource in ExportTraceServiceRequest.FromString(outcome.llm).resource_spans:
            for kept in resource.scope_spans[0].spans:
                top = any(pair.key == "langfuse.internal.is_app_root" for pair in kept.attributes)
                sent[int.from_bytes(kept.span_id, "big")] = (int.from_bytes(kept.parent_span_id, "big"), top)
    return sent


def test_a_span_left_out_is_bridged() -> None:
    """The model call hangs on the agent, over two infrastructure spans."""
    assert tree([span(4, 3, CHAT), span(3, 2, HTTP), span(2, 1, HTTP), span(1, 0, AGENT)]) == {4: (1, False), 1: (0, True)}


def test_also_when_it_came_in_an_earlier_batch() -> None:
    """What was left out is remembered."""
    assert tree([span(2, 1, HTTP)], [span(3, 2, CHAT), span(1, 0, AGENT)]) == {3: (1, False), 1: (0, True)}


def test_a_parent_already_sent_to_is_sent_after_all() -> None:
    """Else its child would hang on nothing, and the page would not show it."""
    assert tree([span(3, 2, CHAT)], [span(2, 1, HTTP), span(1, 0, AGENT)]) == {3: (2, False), 2: (1, False), 1: (0, True)}


def test_the_topmost_kept_span_is_the_root() -> None:
    """With everything above it left out, its parent goes, and it is marked."""
    assert tree([span(3, 2, CHAT), span(2, 1, AGENT), span(1, 0, HTTP)]) == {3: (2, False), 2: (0, True)}


def test_a_parent_in_another_service_makes_a_root() -> None:
    """The subtree shows in Langfuse although its parent never comes."""
    assert tree([span(3, 2, CHAT), span(2, 99, AGENT, REMOTE)]) == {3: (2, False), 2: (99, True)}


def test_infrastructure_alone_is_not_sent() -> None:
    """A trace without an agent, model or tool is nobody's business there."""
    assert tree([span(2, 1, HTTP), span(1, 0, HTTP)]) == {}


@pytest.mark.parametrize("kind", ["span", "chain", "guardrail", "evaluator", "event"])
def test_what_was_typed_for_langfuse_goes_there(kind: str) -> None:
    """An observation type set by hand, as the Langfuse SDK does, says where the span belongs."""
    assert tree([span(2, 1, CHAT), span(1, 0, {"langfuse.observation.type": kind})]) == {2: (1, False), 1: (0, True)}


def test_memory_is_bounded_and_counted() -> None:
    """The oldest are forgotten first."""
    codec = make_codec(KEYS, RULES)
    small = LlmTree(memory_max=3)
    for number in range(2, 9):
        small.branch(codec.scan(encode.request({}, "app", "", [span(number, 1, HTTP)])).spans)
    assert small.forgotten == 4
