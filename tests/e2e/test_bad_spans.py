"""Spans that no destination may see, and requests that cannot be read: refused alone, counted, never at the cost of others."""

from __future__ import annotations

import json
from collections.abc import Sequence

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse

from otel_ext.exporters.langfuse import basic_auth
from tests.e2e.app import App, encoded, shop_trace
from tests.e2e.conftest import Rig
from tests.e2e.kit import PUBLIC_KEY, SECRET_KEY, new_trace, spans_of, status_of, until

BAD_IDS: dict[str, tuple[bytes, bytes]] = {
    "no trace id": (b"", b"s" * 8),
    "no span id": (b"t" * 16, b""),
    "a trace id of zeros": (bytes(16), b"s" * 8),
    "a span id of zeros": (b"t" * 16, bytes(8)),
    "a short trace id": (b"t" * 8, b"s" * 8),
    "a long trace id": (b"t" * 17, b"s" * 8),
    "a short span id": (b"t" * 16, b"s" * 7),
    "a long span id": (b"t" * 16, b"s" * 16),
}


def with_bad(ids: Sequence[tuple[bytes, bytes]]) -> tuple[str, bytes]:
    """A trace as the SDK sends it, with bad spans between the good ones: its id, the request."""
    app = App()
    trace_id = shop_trace(app)
    request = ExportTraceServiceRequest.FromString(encoded(app.finished))
    spans = request.resource_spans[0].scope_spans[0].spans
    for number, (trace, span) in enumerate(ids):
        bad = type(spans[0])()
        bad.CopyFrom(spans[2 * number])
        bad.trace_id, bad.span_id, bad.name = trace, span, "bad"
        spans.insert(2 * number, bad)
    return trace_id, request.SerializeToString()


@pytest.mark.parametrize("name", BAD_IDS)
def test_a_span_with_bad_ids_is_refused_alone(both: Rig, name: str) -> None:
    """`partial_success` counts it and says why; the others are in Tempo and in Langfuse."""
    trace_id, data = with_bad([BAD_IDS[name]])
    response = both.sidecar.call(data)
    assert response.partial_success.rejected_spans == 1
    assert "16 bytes" in response.partial_success.error_message
    until(lambda: len(both.tempo.of(trace_id)) == 10 and len(both.langfuse.of(trace_id)) == 5, "the others")
    assert not any(span.name == "bad" for span in both.tempo.spans)


@pytest.mark.parametrize("media", ["application/x-protobuf", "application/json"])
def test_bad_spans_are_counted_over_http(both: Rig, media: str) -> None:
    """All kinds at once: all are counted, in the encoding of the request, and in the metric."""
    trace_id, data = with_bad(list(BAD_IDS.values())[:5])
    before = both.sidecar.value("otelcol_receiver_refused_spans_total", transport="http")
    if media == "application/json":
        status, body, _ = both.sidecar.post(json_of(data), media)
        rejected = int(json.loads(body)["partialSuccess"]["rejectedSpans"])
    else:
        status, body, _ = both.sidecar.post(data)
        rejected = ExportTraceServiceResponse.FromString(body).partial_success.rejected_spans
    assert (status, rejected) == (200, 5)
    until(lambda: len(both.tempo.of(trace_id)) == 10 and len(both.langfuse.of(trace_id)) == 5, "the others")
    assert both.sidecar.value("otelcol_receiver_refused_spans_total", transport="http") - before == 5


def json_of(data: bytes) -> bytes:
    """OTLP/JSON of a few fields."""
    request = ExportTraceServiceRequest.FromString(data)
    spans = [
        {
            "traceId": span.trace_id.hex(),
            "spanId": span.span_id.hex(),
            "parentSpanId": span.parent_span_id.hex(),
            "name": span.name,
            "startTimeUnixNano": str(span.start_time_unix_nano),
            "endTimeUnixNano": str(span.end_time_unix_nano),
            "attributes": [
                {"key": pair.key, "value": {"stringValue": pair.value.string_value}} for pair in span.attributes if pair.value.string_value
            ],
        }
        for span in spans_of(request)
    ]
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()


def test_nothing_but_bad_spans_is_a_success_that_forwards_nothing(both: Rig) -> None:
    """The answer counts them all; no destination is asked."""
    request = ExportTraceServiceRequest()
    for trace_id, span_id in BAD_IDS.values():
        request.resource_spans.add().scope_spans.add().spans.add(trace_id=trace_id, span_id=span_id, name="bad alone")
    assert both.sidecar.call(request.SerializeToString()).partial_success.rejected_spans == len(BAD_IDS)
    later, data = with_bad([])
    both.sidecar.export(data)
    until(lambda: len(both.tempo.of(later)) == 10, "a later trace")
    assert not any(b"bad alone" in body for body in both.tempo.bodies)


def damaged() -> dict[str, bytes]:
    _, data = with_bad([])
    return {"cut off": data[:-3], "a length too long": b"\x0a\x7f\x01", "no protobuf": b"<html>"}


@pytest.mark.parametrize("name", ["cut off", "a length too long", "no protobuf"])
def test_a_damaged_request_is_refused_for_good(both: Rig, name: str) -> None:
    """INVALID_ARGUMENT or 400 that says at which byte; nothing of it goes on."""
    body = damaged()[name]
    before = both.sidecar.value("otelcol_receiver_accepted_spans_total")
    with pytest.raises(grpc.RpcError) as caught:
        both.sidecar.call(body)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "at byte" in status_of(caught.value).message
    status, answer, _ = both.sidecar.post(body)
    assert (status, b"at byte" in answer) == (400, True)
    assert both.sidecar.value("otelcol_receiver_accepted_spans_total") == before


@pytest.mark.parametrize("size", [1 << 12, 1 << 20])
def test_an_attribute_of_any_length_passes(both: Rig, size: int) -> None:
    """Prompts are long: a text of a megabyte reaches both destinations whole."""
    app, text = App(), new_trace().hex() * (size // 32)
    with app.chat("hello", gen_ai__input__messages=text) as span:
        trace_id = format(span.get_span_context().trace_id, "032x")
    both.sidecar.call(encoded(app.finished))
    (got,) = until(lambda: both.langfuse.of(trace_id).values() if both.tempo.of(trace_id) else None, "the span")
    assert got.attributes["gen_ai.input.messages"] == text


def test_metrics_meant_for_langfuse_are_its_business(both: Rig) -> None:
    """It takes them and throws them away; an error here would only be noise in the sender's log."""
    keys = {"Authorization": basic_auth(PUBLIC_KEY, SECRET_KEY)}
    assert both.sidecar.post(b"{}", "application/json", path="/api/public/otel/v1/metrics", **keys)[0] == 200


@pytest.mark.parametrize("path", ["/v1/metrics", "/v1/logs"])
def test_other_signals_get_a_sentence(both: Rig, path: str) -> None:
    """404 that says where such data belongs: sent here by mistake, it does not vanish in silence."""
    status, body, _ = both.sidecar.post(b"{}", "application/json", path=path)
    assert status == 404
    assert "only traces" in json.loads(body)["message"]
