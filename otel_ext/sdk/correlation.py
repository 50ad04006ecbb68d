"""`correlate_traces`: one trace, known by another id in each of the two systems."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from opentelemetry import trace

from otel_ext import semconv
from otel_ext.correlate import urls
from otel_ext.sdk import scopes
from otel_ext.settings import Links
from otel_ext.verdicts import LANGFUSE_ID_LENGTH_MAX

EVENT: Final = "Correlated with Langfuse"
_TRACE_ID: Final = re.compile(r"[0-9a-f]{32}")


class Correlated(NamedTuple):
    """Where the trace is to be seen; "" for a system whose place the configuration does not say, or an id that is none."""

    langfuse_url: str
    tempo_url: str


def correlate_traces(langfuse_trace_id: str, otel_trace_id: str | int = "", *, links: Links | None = None) -> Correlated:
    """Say that *otel_trace_id* (the current trace) goes by *langfuse_trace_id* in Langfuse, both ways; returns both pages.

    The current span, where it is of that trace, gets `langfuse.trace_id`, the way back, and the event "Correlated with Langfuse"; every
    AgentSpanProcessor learns the pair, so that later spans carry it. Works without a span too, and raises nothing.
    """
    span = trace.get_current_span()
    otel_id = _hex(otel_trace_id) or _current(span)
    langfuse_id = _langfuse_id(langfuse_trace_id)
    places = [links] if links else [source.settings.links for source in tuple(scopes.sources)]
    if otel_id and langfuse_id:
        for source in tuple(scopes.sources):
            source.correlate(bytes.fromhex(otel_id), langfuse_id)
        if _current(span) == otel_id and span.is_recording():
            _write(span, langfuse_id, otel_id, places)
    langfuse_url = next((url for each in places if (url := urls.fill(urls.langfuse_template(each), langfuse_id))), "")
    tempo_url = next((url for each in places if (url := urls.fill(urls.tempo_template(each), otel_id))), "")
    return Correlated(langfuse_url if langfuse_id else "", tempo_url if otel_id else "")


def _write(span: Any, langfuse_id: str, otel_id: str, places: list[Links]) -> None:
    tempo_url = next((url for each in places if (url := urls.fill(urls.tempo_template(each), otel_id))), "")
    span.set_attribute(semconv.LANGFUSE_TRACE_ID, langfuse_id)
    span.set_attribute(semconv.TEMPO_TRACE_ID, otel_id)
    if tempo_url:
        span.set_attribute(semconv.TEMPO_URL, tempo_url)
    span.add_event(EVENT, {semconv.LANGFUSE_TRACE_ID: langfuse_id, "otel.trace_id": otel_id})


def _langfuse_id(value: object) -> str:
    """A Langfuse id as it is stored: 32 hex digits since v3, a UUID with its dashes before."""
    text = value.strip() if isinstance(value, str) else ""
    return text if 0 < len(text) <= LANGFUSE_ID_LENGTH_MAX and text.isprintable() else ""


def _hex(value: str | int) -> str:
    """32 lower-case hex digits, from a number, from either case, with or without dashes; "" for anything else."""
    text = f"{value:032x}" if isinstance(value, int) else str(value).strip().lower().replace("-", "").removeprefix("0x")
    return text if _TRACE_ID.fullmatch(text) and text.strip("0") else ""


def _current(span: trace.Span) -> str:
    context = span.get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else ""
