"""What a SpanProcessor costs inside an application: `python -m benchmarks.inprocess`.

One run, the same spans for all: traces of 16 spans, three quarters of them GenAI, started and ended by the OpenTelemetry SDK.
Every contender is measured against a provider without any processor, in rounds that take turns, so that a slow machine is slow for all.
`calling thread` is what the application waits for; `process` adds what background threads do with the spans (encoding, here into nothing).
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Span, SpanKind, set_span_in_context

from benchmarks.template import SPANS_PER_TRACE, Step, agent_trace

BUDGET_US = 10.0


@dataclass(frozen=True, slots=True)
class Planned:
    """A span of the trace that is played: its place in the tree, and what it carries."""

    name: str
    parent: int | None
    attributes: dict[str, Any]
    kind: SpanKind


class Encoding(SpanExporter):
    """Encodes as an OTLP exporter does, and sends nowhere."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Encode and forget."""
        from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

        encode_spans(spans).SerializeToString()
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing to close."""


def plan() -> list[Planned]:
    """The 16 spans of the sidecar's benchmark, as an application would make them."""
    steps = agent_trace()
    places = {step.span.span_id: index for index, step in enumerate(steps)}
    return [_planned(step, places) for step in steps]


def _planned(step: Step, places: dict[bytes, int]) -> Planned:
    attributes = {pair.key: _plain(pair.value) for pair in step.span.attributes}
    return Planned(step.span.name, places.get(step.span.parent_span_id), attributes, SpanKind(step.span.kind - 1))


def _plain(value: Any) -> Any:
    which = value.WhichOneof("value")
    return [item.string_value for item in value.array_value.values] if which == "array_value" else getattr(value, which)


def unique(planned: list[Planned], number: int) -> list[Planned]:
    """A copy with call ids, arguments and answers of its own: a healthy agent repeats nothing."""
    text = json.dumps([each.attributes for each in planned]).replace("@@@", f"{number:03d}")
    return [Planned(each.name, each.parent, attributes, each.kind) for each, attributes in zip(planned, json.loads(text), strict=True)]


@dataclass(slots=True)
class Contender:
    """A provider and what a span cost on it, a figure a round."""

    name: str
    provider: TracerProvider
    thread_us: list[float] = field(default_factory=list)
    process_us: list[float] = field(default_factory=list)


def provider_of(*processors: SpanProcessor) -> TracerProvider:
    """A provider with these processors."""
    provider = TracerProvider(resource=Resource.create({"service.name": "shop-assistant"}), shutdown_on_exit=False)
    for processor in processors:
        provider.add_span_processor(processor)
    return provider


def contenders() -> list[Contender]:
    """No processor first: the others are read against it."""
    from langfuse._client.span_processor import LangfuseSpanProcessor

    from otel_ext import AgentSpanProcessor

    def langfuse() -> SpanProcessor:
        return LangfuseSpanProcessor(public_key="pk", secret_key="sk", base_url="http://127.0.0.1:9", span_exporter=Encoding())  # noqa: S106

    made: list[tuple[str, Callable[[], tuple[SpanProcessor, ...]]]] = [
        ("no processor", tuple),
        ("BatchSpanProcessor", lambda: (BatchSpanProcessor(Encoding()),)),
        ("LangfuseSpanProcessor", lambda: (langfuse(),)),
        ("AgentSpanProcessor", lambda: (AgentSpanProcessor(environ={}),)),
        ("AgentSpanProcessor beside BatchSpanProcessor", lambda: (AgentSpanProcessor(environ={}), BatchSpanProcessor(Encoding()))),
    ]
    return [Contender(name, provider_of(*make())) for name, make in made]


def play(provider: TracerProvider, planned: list[Planned]) -> None:
    """One trace: parents start before their children, children end before their parents."""
    genai, infra = (
        provider.get_tracer("opentelemetry.instrumentation.openai_v2"),
        provider.get_tracer("opentelemetry.instrumentation.httpx"),
    )
    root_plan = planned[-1]
    root = genai.start_span(root_plan.name, context=Context(), attributes=root_plan.attributes, kind=root_plan.kind)
    inside = set_span_in_context(root, Context())
    opened: dict[int, tuple[Span, Context]] = {SPANS_PER_TRACE - 1: (root, inside)}
    for index, each in enumerate(planned[:-1]):
        context = opened[each.parent if each.parent is not None else SPANS_PER_TRACE - 1][1]
        tracer = genai if each.name.startswith(("chat", "execute_tool")) else infra
        span = tracer.start_span(each.name, context=context, attributes=each.attributes, kind=each.kind)
        opened[index] = (span, set_span_in_context(span, context))
        span.end()
    root.end()


def measure(found: list[Contender], traces: int, rounds: int) -> None:
    """Fill in what a span cost each contender, in microseconds."""
    planned = plan()
    for number in range(rounds + 1):
        copies = [unique(planned, number * traces % 997 + each) for each in range(traces)]
        for contender in found:
            gc.collect()
            thread, process = time.thread_time_ns(), time.process_time_ns()
            for copy in copies:
                play(contender.provider, copy)
            thread = time.thread_time_ns() - thread
            contender.provider.force_flush()
            process = time.process_time_ns() - process
            if number:  # the first round warms up
                spans = traces * SPANS_PER_TRACE * 1_000
                contender.thread_us.append(thread / spans)
                contender.process_us.append(process / spans)


def report(found: list[Contender]) -> str:
    """Microseconds a span over no processor, medians of the rounds."""
    base = found[0]
    thread, process = statistics.median(base.thread_us), statistics.median(base.process_us)
    lines = [f"{'':46}{'calling thread':>16}{'process':>10}", f"{base.name:46}{thread:13.1f} µs{process:7.1f} µs"]
    for contender in found[1:]:
        extra = statistics.median(one - none for one, none in zip(contender.thread_us, base.thread_us, strict=True))
        whole = statistics.median(one - none for one, none in zip(contender.process_us, base.process_us, strict=True))
        lines.append(f"{contender.name:46}{extra:+13.1f} µs{whole:+7.1f} µs")
    return "\n".join(lines)


def main() -> None:
    """Measure and print; exit 1 when the calling thread pays more than the budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traces", type=int, default=120, help="a round and contender")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    found = contenders()
    measure(found, arguments.traces, arguments.rounds)
    from otel_ext.wire import NATIVE

    print(f"{arguments.traces * SPANS_PER_TRACE * arguments.rounds} spans each, 3/4 GenAI; {'native' if NATIVE else 'python'} codec\n")
    print(report(found))
    ours = statistics.median(one - none for one, none in zip(found[3].thread_us, found[0].thread_us, strict=True))
    for contender in found:
        contender.provider.shutdown()
    if NATIVE and ours > BUDGET_US:
        raise SystemExit(f"AgentSpanProcessor costs {ours:.1f} µs a span, the budget is {BUDGET_US:g}")


if __name__ == "__main__":
    main()
