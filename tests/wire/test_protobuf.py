"""opentelemetry-proto as third opinion: what the codecs read and write is what protobuf reads."""

from __future__ import annotations

import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from otel_ext.errors import MalformedPayload
from otel_ext.wire import encode, fields
from otel_ext.wire.table import IdColumn, Limits
from tests.wire.sample import codecs, real_payloads

CODECS = pytest.mark.parametrize("codec", codecs(Limits()), ids=lambda codec: type(codec).__name__)

_UNKNOWN = b"\xaa\x06\x03abc"  # field 101


def _payloads() -> list[bytes]:
    attributes = {"k": "v", "gen_ai.usage.input_tokens": 7}
    spans = [
        encode.span(b"\1" * 16, bytes([number]) * 8, b"\1" * 8 if number > 1 else b"", f"s{number}", number, number + 1, attributes)
        for number in range(1, 6)
    ]
    return [encode.request({"service.name": "a"}, "lib", "1", spans), *real_payloads(1)]


def _spans(payload: bytes) -> list[trace_pb2.Span]:
    request = ExportTraceServiceRequest.FromString(payload)
    return [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]


@CODECS
def test_rows_equal_the_decoded_spans(codec) -> None:
    """Ids, times, status and token counts."""
    for payload in _payloads():
        scan, spans = codec.scan(payload), _spans(payload)
        assert len(scan.spans) == len(spans)
        for row, span in zip(scan.spans, spans, strict=True):
            assert scan.trace_ids[row["trace"]] == span.trace_id
            assert int(row["span_id"]).to_bytes(8, "big") == span.span_id
            assert int(row["parent_id"]) == int.from_bytes(span.parent_span_id, "big")
            assert (row["start"], row["end"], row["status"]) == (span.start_time_unix_nano, span.end_time_unix_nano, span.status.code)
            tokens = [pair.value.int_value for pair in span.attributes if pair.key == "gen_ai.usage.input_tokens"]
            if tokens:
                assert row["input_tokens"] == tokens[0]


@CODECS
def test_splice_adds_attributes_and_nothing_else(codec) -> None:
    """The output decodes to the input with the attributes appended; without any it is the input."""
    for payload in _payloads():
        count = len(_spans(payload))
        column = (np.arange(count) % 2, [b"", encode.attribute("added", "x" * 300) + encode.event("e", 3, {"a": 1.5})])
        expected = ExportTraceServiceRequest.FromString(payload)
        row = 0
        for resource in expected.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    if row % 2:
                        span.attributes.add(key="added").value.string_value = "x" * 300
                        event = span.events.add(name="e", time_unix_nano=3)
                        event.attributes.add(key="a").value.double_value = 1.5
                    row += 1
        assert ExportTraceServiceRequest.FromString(codec.splice(payload, [column])) == expected
        assert codec.splice(payload, []) == payload


@CODECS
def test_project_keeps_reparents_and_labels(codec) -> None:
    """Spans that stay are in order, with their new parent and their own id; the rest is as it was."""
    for payload in _payloads():
        spans = _spans(payload)
        keep = np.arange(len(spans)) % 3 != 1
        parents = np.array([[0, 5, int.from_bytes(span.parent_span_id, "big")][row % 3] for row, span in enumerate(spans)], "u8")
        own = IdColumn(np.ones(len(spans), "u1"), *encode.id_attribute("own.id", digits=16), of_span=True)
        output = _spans(codec.project(payload, keep, parents, [own]))
        wanted = [span for span, kept in zip(spans, keep, strict=True) if kept]
        assert [span.span_id for span in output] == [span.span_id for span in wanted]
        for span, before, parent in zip(output, wanted, parents[keep], strict=True):
            assert span.parent_span_id == (int(parent).to_bytes(8, "big") if parent else b"")
            assert (span.attributes[-1].key, span.attributes[-1].value.string_value) == ("own.id", span.span_id.hex())
            del span.attributes[-1]
            before.parent_span_id = span.parent_span_id
            assert span == before


@CODECS
def test_ids_of_their_own_in_column_order(codec) -> None:
    """Trace and span ids in hex in the place that a template keeps for them; only where the mask says so, and only whole ids."""
    long = "https://grafana/" + "x" * 90 + "/"
    ids = [(b"\xab" * 16, b"\x01" * 8), (b"\xcd" * 16, b"\x02" * 8), (b"\xef" * 15, b"\x03" * 7)]
    payload = encode.request({}, "s", "", [encode.span(trace, own, b"", "n", 1, 2, {}) for trace, own in ids])
    columns = [
        IdColumn(np.array([True, False, True]), *encode.id_attribute("url", long + "{trace_id}?a=b")),
        (np.array([1, 1, 0]), [b"", encode.attribute("k", "v")]),
        IdColumn(np.array([1, 7, 1], "u1"), *encode.id_attribute("own", digits=16), of_span=True),
    ]
    expected = [
        [("url", f"{long}{'ab' * 16}?a=b"), ("k", "v"), ("own", "01" * 8)],
        [("k", "v"), ("own", "02" * 8)],
        [],
    ]
    for output in (codec.splice(payload, columns), codec.project(payload, np.ones(3, "u1"), np.zeros(3, "u8"), columns)):
        assert [[(pair.key, pair.value.string_value) for pair in span.attributes] for span in _spans(output)] == expected
    with pytest.raises(ValueError, match="column 0 has 2 rows"):
        codec.splice(payload, [IdColumn(np.ones(2, "u1"), b"", b"")])


@CODECS
def test_splice_reads_a_span_only_for_its_id(codec) -> None:
    """Damage inside of a span is reported where its id is wanted, and copied where it is not."""
    payload = encode.delimited(1, encode.delimited(2, encode.delimited(2, b"\x0a\x7f")))
    assert codec.splice(payload, [IdColumn(np.zeros(1, "u1"), b"a", b"b")]) == payload
    with pytest.raises(MalformedPayload, match="length 127"):
        codec.splice(payload, [IdColumn(np.ones(1, "u1"), b"a", b"b")])


def test_a_template_has_a_place_for_the_id() -> None:
    """The bytes are those of the whole attribute; a text without the place is refused."""
    before, after = encode.id_attribute("k", "é{trace_id}/")
    assert before + b"0" * 32 + after == encode.attribute("k", "é" + "0" * 32 + "/")
    with pytest.raises(ValueError, match="trace_id"):
        encode.id_attribute("k", "no place")


@CODECS
def test_nothing_kept_leaves_no_resource(codec) -> None:
    """Unknown fields of the request stay, resources without a span go, also those that never had one."""
    payload = _payloads()[0] + _UNKNOWN + encode.delimited(1, b"")
    assert codec.project(payload, np.zeros(5, "u1"), np.zeros(5, "u8"), []) == _UNKNOWN
    assert codec.splice(payload, []) == payload


@CODECS
def test_unknown_fields_and_double_keys_survive(codec) -> None:
    """At every level, byte for byte."""
    double = encode.attribute("k", 1) + encode.attribute("k", 2)
    span = encode.span(b"\1" * 16, b"\2" * 8, b"", "n", 1, 2, {}) + double + _UNKNOWN
    scope = encode.delimited(2, span) + _UNKNOWN
    payload = encode.delimited(1, encode.delimited(2, scope) + _UNKNOWN) + _UNKNOWN
    added = encode.attribute("new", True)
    output = codec.splice(payload, [(np.ones(1, "u4"), [b"", added])])
    expected = encode.delimited(1, encode.delimited(2, encode.delimited(2, span + added) + _UNKNOWN) + _UNKNOWN) + _UNKNOWN
    assert output == expected
    assert codec.project(payload, np.ones(1, "u1"), np.zeros(1, "u8"), []) == payload


def test_encode_equals_protobuf() -> None:
    """Each kind of value, an event, a link and a status decode to what went in."""
    attributes = {"s": "é", "b": True, "i": -5, "big": 2**62, "f": 0.5, "l": ["a", "b"], "e": ""}
    extra = [encode.event("ev", 9, {"x": 1}), encode.link(b"\3" * 16, b"\4" * 8, {"y": "z"})]
    encoded = encode.span(b"\1" * 16, b"\2" * 8, b"\3" * 8, "n", 5, 6, attributes, 3, 2, "bad", 0x300, extra)
    span = trace_pb2.Span.FromString(encoded)
    values = {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in span.attributes}
    assert [item.string_value for item in values.pop("l").values] == ["a", "b"]
    assert values == {key: value for key, value in attributes.items() if key != "l"}
    assert (span.kind, span.status.code, span.status.message, span.flags) == (3, 2, "bad", 0x300)
    assert (span.events[0].name, span.events[0].time_unix_nano, span.links[0].span_id) == ("ev", 9, b"\4" * 8)
    assert encode.varint(2**64 - 1) == b"\xff" * 9 + b"\1"
    with pytest.raises(TypeError):
        encode.any_value(None)  # type: ignore[arg-type]
    assert trace_pb2.Span.FromString(encode.attribute("k", "\ud800")).attributes[0].value.string_value == "?"


def test_field_numbers_are_those_of_the_protos() -> None:
    """Our table against the generated classes."""
    messages = {
        fields.Request: ExportTraceServiceRequest,
        fields.ResourceSpans: trace_pb2.ResourceSpans,
        fields.Resource: resource_pb2.Resource,
        fields.ScopeSpans: trace_pb2.ScopeSpans,
        fields.Scope: common_pb2.InstrumentationScope,
        fields.Span: trace_pb2.Span,
        fields.Event: trace_pb2.Span.Event,
        fields.Link: trace_pb2.Span.Link,
        fields.Status: trace_pb2.Status,
        fields.KeyValue: common_pb2.KeyValue,
        fields.AnyValue: common_pb2.AnyValue,
        fields.ArrayValue: common_pb2.ArrayValue,
    }
    for ours, theirs in messages.items():
        for name, number in vars(ours).items():
            if name.isupper():
                assert theirs.DESCRIPTOR.fields_by_name[name.lower()].number == number
