"""What is sent through the stack: the real SDK, sample agents, stored traces; with what each trace must be found by."""

from __future__ import annotations

import gzip
import json
import secrets
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from otel_ext import samples
from tests.stack.kit import Door

DATA = Path(__file__).parents[3] / "shared" / "data" / "dev.otlp.jsonl.gz"
S = 1_000_000_000


@dataclass
class Sent:
    """Span ids by trace, in hex, of everything that a door took."""

    spans: dict[str, set[str]] = field(default_factory=dict)
    named: dict[str, list[str]] = field(default_factory=dict)  # trace ids by kind of run

    def add(self, name: str, trace_id: str, span_ids: set[str]) -> None:
        self.spans.setdefault(trace_id, set()).update(span_ids)
        self.named.setdefault(name, []).append(trace_id)

    def traces(self, *names: str) -> set[str]:
        return {trace_id for name in names for trace_id in self.named.get(name, ())}


def post(door: Door, body: bytes, media: str = "application/x-protobuf") -> None:
    """One request over HTTP that must be taken."""
    request = urllib.request.Request(f"http://{door.http}/v1/traces", body, {"Content-Type": media})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200


def slow_model(trace_id: bytes, start_ns: int) -> bytes:
    """A model call of six seconds."""
    agent = samples.Agent(trace_id, "writer", start_ns, step_s=6)
    agent.ask("Write a poem.")
    agent.chat("Roses are red.")
    return agent.end()


def forgetful(trace_id: bytes, start_ns: int) -> bytes:
    """Twelve slow searches of its memory, each for something else."""
    agent = samples.Agent(trace_id, "archivist", start_ns, step_s=1.1)
    agent.ask("What do we know of Rome?")
    for number in range(12):
        agent.call("memory_search", {"q": f"Rome {number}"}, f"fact {number}")
    agent.chat("A lot.")
    return agent.end()


RUNS = {
    "healthy": samples.healthy,
    "looping": samples.looping,
    "skipping": samples.skipping,
    "spiking": samples.spiking,
    "slow": slow_model,
    "forgetful": forgetful,
}


def send_agents(door: Door, sent: Sent, times: int = 1) -> None:
    """Every kind of run, as a request of its own."""
    for _ in range(times):
        for name, make in RUNS.items():
            body = make(secrets.token_bytes(16), time.time_ns() - 30 * S)
            post(door, body)
            for trace_id, span_ids in ids_of(body).items():
                sent.add(name, trace_id, span_ids)


def ids_of(body: bytes) -> dict[str, set[str]]:
    """Span ids by trace of a request."""
    found: dict[str, set[str]] = {}
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                found.setdefault(span.trace_id.hex(), set()).add(span.span_id.hex())
    return found


def send_with_sdk(door: Door, sent: Sent, times: int = 5) -> None:
    """A web shop with an agent in it, by the OpenTelemetry SDK, over gRPC and HTTP: spans that are no agent's around those that are."""
    for exporter in (GrpcExporter(endpoint=f"http://{door.grpc}", insecure=True), HttpExporter(endpoint=f"http://{door.http}/v1/traces")):
        provider = TracerProvider(resource=Resource({"service.name": "shop"}))
        provider.add_span_processor(BatchSpanProcessor(exporter))
        tracer = provider.get_tracer("shop")
        for _ in range(times):
            trace_id, span_ids = _checkout(tracer)
            sent.add("sdk", trace_id, span_ids)
        assert provider.force_flush()
        provider.shutdown()


def _checkout(tracer: trace.Tracer) -> tuple[str, set[str]]:
    seen: list[trace.SpanContext] = []
    with tracer.start_as_current_span("POST /checkout", kind=trace.SpanKind.SERVER) as root:
        seen.append(root.get_span_context())
        agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "cashier"}
        with tracer.start_as_current_span("invoke_agent cashier", attributes=agent) as span:
            seen.append(span.get_span_context())
            for name, attributes in (
                ("chat gpt-4o", {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 12}),
                ("execute_tool price", {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "price"}),
                ("SELECT prices", {"db.system.name": "postgresql"}),
            ):
                with tracer.start_as_current_span(name, attributes=attributes) as child:
                    seen.append(child.get_span_context())
    return f"{seen[0].trace_id:032x}", {f"{context.span_id:016x}" for context in seen}


def stored(limit: int) -> Iterator[tuple[str, set[str], bytes]]:
    """The first *limit* stored traces, moved to the last minutes under new ids: trace id, span ids, OTLP/JSON."""
    if not DATA.exists():
        return
    with gzip.open(DATA, "rt") as lines:
        for _, line in zip(range(limit), lines, strict=False):
            request = json.loads(line)
            spans = [span for resource in request["resourceSpans"] for scope in resource["scopeSpans"] for span in scope["spans"]]
            late_ns = time.time_ns() - 30 * S - max(int(span["endTimeUnixNano"]) for span in spans)
            trace_id = secrets.token_hex(16)
            for span in spans:
                span["traceId"] = trace_id
                for key in ("startTimeUnixNano", "endTimeUnixNano"):
                    span[key] = str(int(span[key]) + late_ns)
            yield trace_id, {span["spanId"] for span in spans}, json.dumps(request).encode()


def send_stored(door: Door, sent: Sent, limit: int, first: int = 0) -> None:
    """Stored traces number *first* to *limit*, a request each, as OTLP/JSON."""
    for number, (trace_id, span_ids, body) in enumerate(stored(limit)):
        if number >= first:
            post(door, body, "application/json")
            sent.add("stored", trace_id, span_ids)
