"""The senders people have: OpenTelemetry SDK exporters over both transports, and the Langfuse SDK pointed at us."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from langfuse import Langfuse
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_ext.errors import MalformedPayload, Overloaded


def spans() -> Any:
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    with provider.get_tracer("t").start_as_current_span("agent") as span:
        span.set_attributes({"a": "x", "n": 1, "list": ["p", "q"]})
        span.add_event("e", {"k": "v"})
        with provider.get_tracer("t").start_as_current_span("tool"):
            pass
    return memory.get_finished_spans()


EXPORTERS = {
    "grpc": lambda house: GrpcExporter(endpoint=f"http://127.0.0.1:{house.grpc.port}", insecure=True, timeout=5),
    "grpc gzip": lambda house: GrpcExporter(
        endpoint=f"127.0.0.1:{house.grpc.port}", insecure=True, timeout=5, compression=grpc.Compression.Gzip
    ),
    "http": lambda house: HttpExporter(endpoint=f"{house.url}/v1/traces", timeout=5),
    "http gzip": lambda house: HttpExporter(endpoint=f"{house.url}/v1/traces", timeout=5, compression=Compression.Gzip),
}


async def export(house: Any, name: str) -> SpanExportResult:
    exporter: SpanExporter = EXPORTERS[name](house)
    try:
        return await asyncio.to_thread(exporter.export, spans())
    finally:
        await asyncio.to_thread(exporter.shutdown)


@pytest.mark.parametrize("name", EXPORTERS)
async def test_the_opentelemetry_sdk_sends_spans(house: Any, name: str) -> None:
    """Its exporters report success and the spans are here."""
    assert await export(house, name) is SpanExportResult.SUCCESS
    assert house.consumer.names == {"agent", "tool"}


@pytest.mark.parametrize("name", EXPORTERS)
async def test_the_opentelemetry_sdk_retries_when_we_are_overloaded(house: Any, name: str) -> None:
    """Overloaded makes it wait and send again: nothing is lost."""
    house.consumer.error = Overloaded("queue full", 0.1)
    exporting = asyncio.create_task(export(house, name))
    async with asyncio.timeout(5):
        while not (house.stats.grpc.refused_requests or house.stats.http.refused_requests):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    house.consumer.error = None
    assert await exporting is SpanExportResult.SUCCESS
    assert house.consumer.names == {"agent", "tool"}


@pytest.mark.parametrize("name", EXPORTERS)
async def test_the_opentelemetry_sdk_does_not_retry_bad_data(house: Any, name: str) -> None:
    """Malformed makes it give up at once, after one request."""
    house.consumer.error = MalformedPayload("cut off", 3)
    assert await export(house, name) is SpanExportResult.FAILURE
    counts = house.stats.grpc if name.startswith("grpc") else house.stats.http
    assert counts.refused_requests == {"malformed": 1}


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("by", ["argument", "environment"])
async def test_the_langfuse_sdk_can_point_at_us(house: Any, monkeypatch: pytest.MonkeyPatch, slash: str, by: str) -> None:
    """With LANGFUSE_BASE_URL or base_url set to the receiver, its spans arrive, also where the URL ends with a slash."""
    monkeypatch.setenv("LANGFUSE_BASE_URL", house.url + slash if by == "environment" else "http://127.0.0.1:9")
    base = {"base_url": house.url + slash} if by == "argument" else {}

    def work() -> None:
        client = Langfuse(public_key=f"pk-{by}{slash}", secret_key="sk", tracer_provider=TracerProvider(), **base)
        with client.start_as_current_observation(name="answer", as_type="generation", model="m", input="question"):
            pass
        client.flush()
        client.shutdown()

    await asyncio.to_thread(work)
    assert house.consumer.names == {"answer"}
    attributes = house.consumer.requests[0].resource_spans[0].scope_spans[0].spans[0].attributes
    assert "langfuse.observation.type" in {attribute.key for attribute in attributes}
    assert house.stats.http.refused_requests == {}
