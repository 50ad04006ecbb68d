"""Log records that name their trace: a structlog processor, and a filter for the standard library's logging."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

from opentelemetry import baggage, trace

from otel_ext import semconv
from otel_ext.sdk import scopes, spans
from otel_ext.sdk.processor import LANGFUSE_BAGGAGE


def trace_ids() -> dict[str, str]:
    """`trace_id`, `span_id` and `langfuse_trace_id` of the current span; empty without one, the last only where it is known."""
    span: Any = trace.get_current_span()
    context = span.get_span_context()
    if not context.is_valid:
        return {}
    ids = {"trace_id": trace.format_trace_id(context.trace_id), "span_id": trace.format_span_id(context.span_id)}
    langfuse_id = _langfuse_id(span, context.trace_id)
    return {**ids, "langfuse_trace_id": langfuse_id} if langfuse_id else ids


def _langfuse_id(span: Any, trace_id: int) -> str:
    found = spans.attributes_of(span).get(semconv.LANGFUSE_TRACE_ID) if hasattr(span, "_attributes") else None
    found = found or baggage.get_baggage(LANGFUSE_BAGGAGE)
    if isinstance(found, str):
        return found
    return next((known for source in tuple(scopes.sources) if (known := source.langfuse_id(trace_id))), "")


def add_trace_ids(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: the ids of the current span onto the event. What it has already stays."""
    for key, value in trace_ids().items():
        event.setdefault(key, value)
    return event


class TraceIdFilter(logging.Filter):
    """Puts the ids of the current span on every record, "" where there is none: a format may name them always. Lets every record pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        """True."""
        ids = trace_ids()
        for key in ("trace_id", "span_id", "langfuse_trace_id"):
            if not hasattr(record, key):
                setattr(record, key, ids.get(key, ""))
        return True
