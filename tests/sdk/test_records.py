"""Log lines name their trace: structlog, the standard library, and our own findings."""

from __future__ import annotations

import io
import json
import logging

import pytest
from opentelemetry import trace

from otel_ext import TraceIdFilter, add_trace_ids
from otel_ext.logs import JsonFormatter
from tests.sdk.kit import App


def ids(span: trace.Span) -> dict[str, str]:
    context = span.get_span_context()
    trace_id = trace.format_trace_id(context.trace_id)
    return {"trace_id": trace_id, "span_id": trace.format_span_id(context.span_id), "langfuse_trace_id": trace_id}


def test_structlog() -> None:
    """The ids of the current span; none outside; what the event has stays."""
    structlog = pytest.importorskip("structlog")
    out = io.StringIO()
    log = structlog.wrap_logger(structlog.PrintLogger(out), processors=[add_trace_ids, structlog.processors.JSONRenderer()])
    app = App()
    log.info("outside")
    with app.agent() as span:
        app.chat()
        log.info("inside", span_id="mine")
    outside, inside = map(json.loads, out.getvalue().splitlines())
    assert outside == {"event": "outside"}
    assert inside == {"event": "inside", **ids(span), "span_id": "mine"}


def test_the_standard_library() -> None:
    """A format may always name the fields."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.addFilter(TraceIdFilter())
    handler.setFormatter(logging.Formatter("%(message)s|%(trace_id)s|%(span_id)s|%(langfuse_trace_id)s"))
    log = logging.Logger("test")
    log.addHandler(handler)
    app = App()
    log.info("outside")
    with app.agent() as span:
        log.info("before")
        app.chat()
        log.info("inside")
    known = ids(span)
    assert out.getvalue().splitlines() == [
        "outside|||",
        f"before|{known['trace_id']}|{known['span_id']}|",
        f"inside|{known['trace_id']}|{known['span_id']}|{known['langfuse_trace_id']}",
    ]


def test_a_findings_line_carries_the_ids(caplog: pytest.LogCaptureFixture) -> None:
    """As JSON, so that Loki finds it by trace."""
    with caplog.at_level(logging.INFO, "otel_ext.findings"):
        App().loop()
    record = next(record for record in caplog.records if record.name == "otel_ext.findings")
    line = json.loads(JsonFormatter().format(record))
    assert line["trace_id"] == line["langfuse_trace_id"]
    assert len(line["span_id"]) == 16
