"""An application with the real OpenTelemetry SDK, and one trace of it that has every kind of span."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import grpc
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from tests.e2e.kit import Endpoints, spans_of

EXPORTERS = ("grpc", "grpc gzip", "http", "http gzip")
AGENT, CHAT, TOOL, EMBEDDINGS, RETRIEVAL = "invoke_agent planner", "chat gpt-4o", "execute_tool search", "embeddings small", "retrieval kb"
# What Langfuse shall get of `shop_trace`, and each one's nearest kept ancestor.
KEPT = {AGENT: "", CHAT: AGENT, TOOL: AGENT, EMBEDDINGS: TOOL, RETRIEVAL: AGENT}
INFRASTRUCTURE = {"POST /checkout", "POST api.openai.example", "plan", "SELECT", "GET /ranking"}


def exporter_to(sidecar: Endpoints, name: str) -> SpanExporter:
    """One of EXPORTERS, as an application would set it up."""
    gzip = name.endswith("gzip")
    if name.startswith("grpc"):
        compression = grpc.Compression.Gzip if gzip else grpc.Compression.NoCompression
        return GrpcExporter(endpoint=f"http://{sidecar.grpc}", insecure=True, timeout=10, compression=compression)
    compression = Compression.Gzip if gzip else Compression.NoCompression
    return HttpExporter(endpoint=f"http://{sidecar.http}/v1/traces", timeout=10, compression=compression)


class App:
    """A service whose spans go to *processors*; all are kept in `finished` too."""

    def __init__(self, *processors: SpanProcessor, service: str = "shop") -> None:
        self._memory = InMemorySpanExporter()
        self.provider = TracerProvider(resource=Resource({"service.name": service, "deployment.environment.name": "prod"}))
        self.provider.add_span_processor(SimpleSpanProcessor(self._memory))
        for processor in processors:
            self.provider.add_span_processor(processor)
        self.tracer = self.provider.get_tracer("shop.agents", "1.2.3", schema_url="https://opentelemetry.io/schemas/1.37.0")

    @property
    def finished(self) -> Sequence[ReadableSpan]:
        """In order of their ends, as they are exported."""
        return self._memory.get_finished_spans()

    @contextmanager
    def span(self, span_name: str, kind: SpanKind = SpanKind.INTERNAL, **attributes: Any) -> Iterator[trace.Span]:
        """A span around a block; dots in keys are written as two underscores."""
        named = {key.replace("__", "."): value for key, value in attributes.items()}
        with self.tracer.start_as_current_span(span_name, kind=kind, attributes=named) as span:
            yield span

    def agent(self, name: str = "planner", **more: Any) -> Any:
        return self.span(f"invoke_agent {name}", gen_ai__operation__name="invoke_agent", gen_ai__agent__name=name, **more)

    def chat(self, text: str = "", calls: Sequence[tuple[str, str, dict[str, Any]]] = (), tokens: int = 900, **more: Any) -> Any:
        parts: list[dict[str, Any]] = [{"type": "text", "content": text}] if text else []
        parts += [{"type": "tool_call", "id": call, "name": tool, "arguments": arguments} for call, tool, arguments in calls]
        output = [{"role": "assistant", "parts": parts, "finish_reason": "tool_call" if calls else "stop"}]
        return self.span(
            CHAT,
            SpanKind.CLIENT,
            gen_ai__operation__name="chat",
            gen_ai__request__model="gpt-4o",
            gen_ai__usage__input_tokens=tokens,
            gen_ai__usage__output_tokens=40,
            gen_ai__output__messages=json.dumps(output),
            **more,
        )

    def tool(self, name: str = "search", call: str = "", arguments: Any = "{}", result: str = "", **more: Any) -> Any:
        if call:
            more["gen_ai__tool__call__id"] = call
        if result:
            more["gen_ai__tool__call__result"] = result
        return self.span(
            f"execute_tool {name}",
            gen_ai__operation__name="execute_tool",
            gen_ai__tool__name=name,
            gen_ai__tool__call__arguments=arguments,
            **more,
        )


def shop_trace(app: App) -> str:
    """One checkout; the trace id. Every kind of span, infrastructure above, between and below the agent's."""
    with app.span("POST /checkout", SpanKind.SERVER, http__request__method="POST") as root, app.agent(user__id="u1"):
        with app.chat("", [("c1", "search", {"q": "x"})]), app.span("POST api.openai.example", SpanKind.CLIENT, server__port=443):
            pass
        with app.span("plan", weights=[1.5, 2.5], flag=True), app.tool("search", "c1", '{"q": "x"}', "found") as tool:
            tool.add_event("cache miss", {"shard": 3})
            with (
                app.span("SELECT", SpanKind.CLIENT),
                app.span(EMBEDDINGS, gen_ai__operation__name="embeddings", gen_ai__request__model="small"),
            ):
                pass
        with app.span(RETRIEVAL, gen_ai__operation__name="retrieval"), app.span("GET /ranking", SpanKind.CLIENT) as failed:
            failed.set_status(StatusCode.ERROR, "timed out")
    return format(root.get_span_context().trace_id, "032x")


def infrastructure_trace(app: App) -> str:
    """No agent anywhere; the trace id."""
    with app.span("GET /health", SpanKind.SERVER) as root, app.span("SELECT 1", SpanKind.CLIENT, db__system="postgresql"):
        pass
    return format(root.get_span_context().trace_id, "032x")


def encoded(spans: Sequence[ReadableSpan]) -> bytes:
    """The bytes that the SDK's exporters send."""
    raw: bytes = encode_spans(spans).SerializeToString()
    return raw


def originals(spans: Sequence[ReadableSpan]) -> dict[str, Span]:
    """What the SDK sends, by span id."""
    return {span.span_id.hex(): span for span in spans_of(encode_spans(spans))}
