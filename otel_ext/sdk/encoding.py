"""Spans of the SDK as OTLP bytes, by the SDK's own encoder; and who else sends them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan


def encode(spans: Sequence[ReadableSpan]) -> bytes:
    """One ExportTraceServiceRequest."""
    return encode_spans(spans).SerializeToString()


def siblings(span: Any) -> tuple[Any, ...]:
    """The processors of the provider that started *span*; () where this SDK does not say."""
    found = getattr(getattr(span, "_span_processor", None), "_span_processors", ())
    return found if isinstance(found, tuple) else ()


def place(url: str) -> str:
    """Where *url* leads, without its scheme and trailing slash, so that two spellings of one place are equal."""
    parts = urlsplit(url if "//" in url else f"//{url}")
    host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname
    return f"{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}{parts.path.rstrip('/')}"


def places(processors: Sequence[Any]) -> Iterator[str]:
    """Where the OTLP exporters behind *processors* send to."""
    for processor in processors:
        batch = getattr(processor, "_batch_processor", None)
        exporter = getattr(processor, "span_exporter", None) or getattr(batch, "_exporter", None)
        exporter = getattr(exporter, "_exporter", exporter)  # one that wraps another, as Langfuse's may
        endpoint = getattr(exporter, "_endpoint", None)
        if isinstance(endpoint, str) and endpoint:
            yield place(endpoint)
