"""otlp_json: the JSON rules of the OTLP specification, the errors, and the tables against the published descriptors."""

from __future__ import annotations

import base64
import json
import math
import random
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from otel_ext.errors import MalformedPayload
from otel_ext.wire import json_fields, otlp_json
from otel_ext.wire.otlp_json import to_protobuf

SPAN = {"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "00f067aa0ba902b7", "name": "chat"}


def request(span: dict[str, object]) -> bytes:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()


def span_of(span: dict[str, object]) -> trace_pb2.Span:
    parsed = ExportTraceServiceRequest.FromString(to_protobuf(request(span)))
    return parsed.resource_spans[0].scope_spans[0].spans[0]


def value_of(value: object) -> common_pb2.AnyValue:
    return span_of({"attributes": [{"key": "k", "value": value}]}).attributes[0].value


# --- the property: everything that protobuf can say survives ---------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
u32, u64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
i32, i64 = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
leaves = st.one_of(
    st.builds(common_pb2.AnyValue),
    st.builds(common_pb2.AnyValue, string_value=texts),
    st.builds(common_pb2.AnyValue, bool_value=st.booleans()),
    st.builds(common_pb2.AnyValue, int_value=i64),
    st.builds(common_pb2.AnyValue, double_value=st.floats(allow_nan=False)),
    st.builds(common_pb2.AnyValue, bytes_value=st.binary(max_size=8)),
    st.builds(common_pb2.AnyValue, string_value_strindex=i32),
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda v: common_pb2.AnyValue(array_value=common_pb2.ArrayValue(values=v)), st.lists(inner, max_size=3)),
        st.builds(
            lambda v: common_pb2.AnyValue(kvlist_value=common_pb2.KeyValueList(values=[common_pb2.KeyValue(key=k, value=x) for k, x in v])),
            st.lists(st.tuples(texts, inner), max_size=3),
        ),
    ),
    max_leaves=6,
)
attributes = st.lists(st.builds(common_pb2.KeyValue, key=texts, value=values, key_strindex=i32), max_size=3)
trace_ids, span_ids = st.binary(max_size=16), st.binary(max_size=8)
events = st.builds(trace_pb2.Span.Event, time_unix_nano=u64, name=texts, attributes=attributes, dropped_attributes_count=u32)
links = st.builds(
    trace_pb2.Span.Link,
    trace_id=trace_ids,
    span_id=span_ids,
    trace_state=texts,
    attributes=attributes,
    dropped_attributes_count=u32,
    flags=u32,
)
spans = st.builds(
    trace_pb2.Span,
    trace_id=trace_ids,
    span_id=span_ids,
    parent_span_id=span_ids,
    trace_state=texts,
    name=texts,
    kind=i32,
    start_time_unix_nano=u64,
    end_time_unix_nano=u64,
    attributes=attributes,
    dropped_attributes_count=u32,
    events=st.lists(events, max_size=2),
    dropped_events_count=u32,
    links=st.lists(links, max_size=2),
    dropped_links_count=u32,
    status=st.builds(trace_pb2.Status, message=texts, code=st.integers(0, 2)),
    flags=u32,
)
entities = st.builds(common_pb2.EntityRef, schema_url=texts, type=texts, id_keys=st.lists(texts), description_keys=st.lists(texts))
scopes = st.builds(common_pb2.InstrumentationScope, name=texts, version=texts, attributes=attributes, dropped_attributes_count=u32)
requests = st.builds(
    lambda resource, scope, many, url: ExportTraceServiceRequest(
        resource_spans=[
            trace_pb2.ResourceSpans(
                resource=resource, schema_url=url, scope_spans=[trace_pb2.ScopeSpans(scope=scope, spans=many, schema_url=url)]
            )
        ]
    ),
    st.builds(resource_pb2.Resource, attributes=attributes, dropped_attributes_count=u32, entity_refs=st.lists(entities, max_size=2)),
    scopes,
    st.lists(spans, max_size=2),
    texts,
)


def as_json(message: object, dice: random.Random) -> dict[str, object]:
    """A message by the OTLP JSON rules; where they leave a choice (case of hex, 64-bit numbers, padding, key order) the dice decide."""
    out: dict[str, object] = {}
    fields = list(message.ListFields())  # type: ignore[attr-defined]
    dice.shuffle(fields)
    for field, value in fields:
        many = list(value) if field.is_repeated else [value]
        items = [as_json_value(field, item, dice) for item in many]
        out[field.json_name] = items if field.is_repeated else items[0]
    if dice.random() < 0.2:
        out["added_in_a_later_version"] = {"a": [1, None, "x"]}
    return out


def as_json_value(field: object, value: object, dice: random.Random) -> object:
    kind, name = field.type, field.name  # type: ignore[attr-defined]
    if kind == field.TYPE_MESSAGE:  # type: ignore[attr-defined]
        return as_json(value, dice)
    if isinstance(value, bytes):
        if name.endswith("_id"):
            return dice.choice((str.upper, str.lower))(value.hex())
        return dice.choice((base64.b64encode, base64.urlsafe_b64encode))(value).decode().rstrip(dice.choice("=!"))
    if isinstance(value, float) and not math.isfinite(value):
        return "Infinity" if value > 0 else "-Infinity"
    if kind in (field.TYPE_FIXED64, field.TYPE_INT64):  # type: ignore[attr-defined]
        return dice.choice((str, int))(value)  # type: ignore[arg-type]
    return value


@settings(max_examples=200, deadline=None)
@given(requests, st.integers())
def test_every_valid_request_survives(message: ExportTraceServiceRequest, seed: int) -> None:
    """Whatever protobuf can say comes back equal through JSON written by the OTLP rules."""
    body = json.dumps(as_json(message, random.Random(seed)), ensure_ascii=bool(seed & 1)).encode()
    assert ExportTraceServiceRequest.FromString(to_protobuf(body)) == message


DESCRIPTORS = {
    trace_pb2.ResourceSpans: otlp_json.RESOURCE_SPANS,
    resource_pb2.Resource: otlp_json.RESOURCE,
    common_pb2.EntityRef: otlp_json.ENTITY_REF,
    trace_pb2.ScopeSpans: otlp_json.SCOPE_SPANS,
    common_pb2.InstrumentationScope: otlp_json.SCOPE,
    trace_pb2.Span: otlp_json.SPAN,
    trace_pb2.Span.Event: otlp_json.EVENT,
    trace_pb2.Span.Link: otlp_json.LINK,
    trace_pb2.Status: otlp_json.STATUS,
    common_pb2.KeyValue: otlp_json.KEY_VALUE,
    common_pb2.AnyValue: otlp_json.ANY_VALUE,
}


@pytest.mark.parametrize(("message", "table"), DESCRIPTORS.items(), ids=lambda x: getattr(x, "__name__", ""))
def test_the_tables_know_every_published_field(message: type, table: dict[str, object]) -> None:
    """No field of the published protocol is missing: a missing one would be lost in silence."""
    assert {field.json_name for field in message.DESCRIPTOR.fields} <= set(table)  # type: ignore[attr-defined]


# --- the rules, one by one ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [str.upper, str.lower])
def test_ids_are_hex_in_either_case(write: object) -> None:
    """`traceId`, `spanId`, `parentSpanId` are case-insensitive hex."""
    span = span_of({"traceId": write(SPAN["traceId"]), "spanId": write("AbCdEf0123456789"), "parentSpanId": write("00f067aa0ba902b7")})  # type: ignore[operator]
    assert span.trace_id.hex() == SPAN["traceId"]
    assert span.span_id.hex() == "abcdef0123456789"
    assert span.parent_span_id.hex() == "00f067aa0ba902b7"


@pytest.mark.parametrize("bad", ["abc", "zz" * 16, "Cvdlihz3Q92ESOshHIAxnA==", "0a f7", "é" * 16, "0x" + "0" * 14])
@pytest.mark.parametrize("key", ["traceId", "spanId", "parentSpanId"])
def test_an_id_that_is_not_hex_spoils_only_its_span(bad: str, key: str) -> None:
    """Neither refused with the whole batch nor mistaken for a valid or absent id: its length fits no id."""
    good, broken = dict(SPAN), {**SPAN, key: bad}
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [good, broken]}]}]}).encode()
    first, second = ExportTraceServiceRequest.FromString(to_protobuf(body)).resource_spans[0].scope_spans[0].spans
    assert len(first.trace_id) == 16
    field = {"traceId": second.trace_id, "spanId": second.span_id, "parentSpanId": second.parent_span_id}[key]
    assert len(field) not in (0, 8, 16)


def test_an_id_of_the_wrong_length_is_passed_on() -> None:
    """Hex of another length stays what it is, for the pipeline to refuse."""
    assert span_of({"spanId": "abcd"}).span_id == b"\xab\xcd"


@pytest.mark.parametrize("number", [1700000000000000001, "1700000000000000001", 2**64 - 1, "0", 1.7e18, "007"])
def test_times_are_numbers_or_strings(number: object) -> None:
    """64-bit integers are accepted as string and as number, exactly."""
    assert span_of({"startTimeUnixNano": number}).start_time_unix_nano == int(number)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("value", "field", "wanted"),
    [
        ({"stringValue": ""}, "string_value", ""),
        ({"boolValue": False}, "bool_value", False),
        ({"intValue": "-9223372036854775808"}, "int_value", -(2**63)),
        ({"intValue": 0}, "int_value", 0),
        ({"doubleValue": 1}, "double_value", 1.0),
        ({"doubleValue": "-Infinity"}, "double_value", -math.inf),
        ({"doubleValue": "1.5e3"}, "double_value", 1500.0),
        ({"bytesValue": "-_8"}, "bytes_value", b"\xfb\xff"),
        ({"bytesValue": ""}, "bytes_value", b""),
    ],
)
def test_values_keep_their_type(value: object, field: str, wanted: object) -> None:
    """Every kind of attribute value arrives, also the empty ones, as the kind it was."""
    parsed = value_of(value)
    assert parsed.WhichOneof("value") == field
    assert getattr(parsed, field) == wanted


def test_nan_is_a_string() -> None:
    """`"NaN"` is a double (protobuf JSON mapping)."""
    assert math.isnan(value_of({"doubleValue": "NaN"}).double_value)


def test_mixed_arrays_and_nested_maps_arrive() -> None:
    """Heterogenous arrays and kvlists are values like others."""
    value = value_of(
        {"arrayValue": {"values": [{"intValue": 1}, {}, {"kvlistValue": {"values": [{"key": "a", "value": {"boolValue": True}}]}}]}}
    )
    kinds = [item.WhichOneof("value") for item in value.array_value.values]
    assert kinds == ["int_value", None, "kvlist_value"]


def test_null_is_absent() -> None:
    """`null` stands for a field that is not there, anywhere."""
    span = span_of({**SPAN, "attributes": None, "status": None, "kind": None, "events": [None], "parentSpanId": None})
    assert span.name == "chat"
    assert not span.HasField("status")
    assert not span.events


def test_unknown_fields_and_snake_case_are_ignored() -> None:
    """Unknown fields MUST be ignored, and `trace_id` is one: keys are lowerCamelCase only."""
    span = span_of({**SPAN, "trace_id": "ff" * 16, "new": {"deep": [1]}, "start_time_unix_nano": "x"})
    assert span.trace_id.hex() == SPAN["traceId"]


@pytest.mark.parametrize("body", [b"{}", b'{"resourceSpans":[]}', b'{"resourceSpans":null}', b' {"x": 1} ', b"\xef\xbb\xbf{}"])
def test_an_empty_request_is_an_empty_message(body: bytes) -> None:
    """No spans is a valid request."""
    assert to_protobuf(body) == b""


def test_half_a_surrogate_pair_does_not_refuse_the_batch() -> None:
    """JavaScript cuts strings between surrogates; the half becomes U+FFFD and the rest stays."""
    assert value_of({"stringValue": "ab\ud83d"}).string_value == "ab\ufffd"
    assert value_of({"stringValue": "\U0001f600"}).string_value == "\U0001f600"


# --- errors ----------------------------------------------------------------------------------------------------------------------

ATTRIBUTE = "resourceSpans[0].scopeSpans[0].spans[0].attributes[0]"


@pytest.mark.parametrize(
    ("span", "path"),
    [
        ({"name": 5}, "name"),
        ({"kind": "SPAN_KIND_CLIENT"}, "kind"),
        ({"kind": 1.0}, "kind"),
        ({"status": {"code": "STATUS_CODE_ERROR"}}, "status.code"),
        ({"status": []}, "status"),
        ({"traceId": 5}, "traceId"),
        ({"startTimeUnixNano": "SECRET"}, "startTimeUnixNano"),
        ({"startTimeUnixNano": -1}, "startTimeUnixNano"),
        ({"startTimeUnixNano": "18446744073709551616"}, "startTimeUnixNano"),
        ({"startTimeUnixNano": True}, "startTimeUnixNano"),
        ({"startTimeUnixNano": 1.5}, "startTimeUnixNano"),
        ({"startTimeUnixNano": "1_0"}, "startTimeUnixNano"),
        ({"startTimeUnixNano": "٣"}, "startTimeUnixNano"),
        ({"droppedAttributesCount": 2**32}, "droppedAttributesCount"),
        ({"attributes": {"SECRET": 1}}, "attributes"),
        ({"attributes": ["SECRET"]}, "attributes[0]"),
        ({"attributes": [{}, {"key": "k", "value": "SECRET"}]}, "attributes[1].value"),
        ({"attributes": [{"key": "k", "value": {"intValue": "SECRET"}}]}, "attributes[0].value.intValue"),
        ({"attributes": [{"key": "k", "value": {"boolValue": 1}}]}, "attributes[0].value.boolValue"),
        ({"attributes": [{"key": "k", "value": {"doubleValue": "SECRET"}}]}, "attributes[0].value.doubleValue"),
        ({"attributes": [{"key": "k", "value": {"doubleValue": 10**400}}]}, "attributes[0].value.doubleValue"),
        ({"attributes": [{"key": "k", "value": {"bytesValue": "SECRET!"}}]}, "attributes[0].value.bytesValue"),
        ({"attributes": [{"key": "k", "value": {"arrayValue": {"values": [{}, 3]}}}]}, "attributes[0].value.arrayValue.values[1]"),
        ({"events": [{"name": 1}]}, "events[0].name"),
        ({"links": [{"flags": -1}]}, "links[0].flags"),
    ],
)
def test_a_wrong_type_names_its_path_and_byte_and_no_value(span: dict[str, object], path: str) -> None:
    """The message leads to the fault: JSON path, wanted type, byte index of the value; never the value itself."""
    body = request({"padding": 'é[{",', "SECRET": "SECRET", **span})
    with pytest.raises(MalformedPayload) as caught:
        to_protobuf(body)
    assert f"resourceSpans[0].scopeSpans[0].spans[0].{path}: must be" in str(caught.value)
    assert "SECRET" not in str(caught.value)
    wrong: object = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    for step in f"resourceSpans.0.scopeSpans.0.spans.0.{path}".replace("[", ".").replace("]", "").split("."):
        wrong = wrong[int(step)] if step.isdigit() else wrong[step]  # type: ignore[index]
    assert body[caught.value.at :].startswith(json.dumps(wrong).encode())
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("body", [b"[]", b'"SECRET"', b"5", b"null"])
def test_the_request_itself_must_be_an_object(body: bytes) -> None:
    """A body that is JSON but no object is malformed."""
    with pytest.raises(MalformedPayload, match="the request: must be an object at byte 0"):
        to_protobuf(body)


@pytest.mark.parametrize(
    ("body", "at"),
    [
        (b"", 0),
        (b'{"a": "\xc3\xa9", }', 12),
        (b'{"a": SECRET}', 6),
        (b'{"a": 1} SECRET', 9),
        (b'\xef\xbb\xbf{"a"', 7),
        (b'{"a": "\xff"}', 7),
        (b"\x0a\x05", 1),
    ],
)
def test_broken_json_names_the_byte(body: bytes, at: int) -> None:
    """Syntax errors carry the index in bytes, not in characters, and nothing of the text."""
    with pytest.raises(MalformedPayload) as caught:
        to_protobuf(body)
    assert caught.value.at == at
    assert "SECRET" not in str(caught.value)


def test_a_number_of_thousands_of_digits_is_malformed() -> None:
    """CPython's limit on digits surfaces as MalformedPayload."""
    with pytest.raises(MalformedPayload, match="too many digits"):
        to_protobuf(b'{"a": ' + b"9" * 10_000 + b"}")


def nested(levels: int) -> bytes:
    inner = '{"arrayValue":{"values":[' * levels + "{}" + "]}}" * levels
    return ('{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[{"key":"k","value":' + inner + "}]}]}]}]}").encode()


def test_what_is_let_through_can_be_read_downstream() -> None:
    """Depth is bounded where protobuf readers bound it: the deepest accepted request parses, one level more is malformed."""
    deepest = (json_fields.DEPTH_MAX - 6) // 2  # six messages lead to the value of an attribute, each level adds two
    ExportTraceServiceRequest.FromString(to_protobuf(nested(deepest)))
    with pytest.raises(MalformedPayload, match=f"at most {json_fields.DEPTH_MAX} messages deep"):
        to_protobuf(nested(deepest + 1))


@pytest.mark.parametrize("levels", [500, 5_000, 300_000])
@pytest.mark.parametrize("shape", ["known", "unknown", "open"])
def test_no_depth_makes_the_interpreter_fail(levels: int, shape: str) -> None:
    """RecursionError never escapes, be the nesting in known fields, in unknown ones, or never closed."""
    body = {"known": nested(levels), "unknown": b'{"x":' + b"[" * levels + b"]" * levels + b"}", "open": b"[" * levels}[shape]
    try:
        to_protobuf(body)
    except MalformedPayload:
        return
    assert shape == "unknown"


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_requests_are_malformed_or_read(data: st.DataObject) -> None:
    """Any single damaged place gives protobuf that parses, or MalformedPayload with an index inside the body; nothing else escapes."""
    body = bytearray(request({**SPAN, "attributes": [{"key": "k", "value": {"intValue": "5"}}], "kind": 3}))
    at = data.draw(st.integers(0, len(body) - 1))
    body[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=3))
    at_fault = 0
    try:
        ExportTraceServiceRequest.FromString(to_protobuf(bytes(body)))
    except MalformedPayload as error:
        at_fault = error.at
    assert 0 <= at_fault <= len(body)


def test_the_stack_is_not_needed() -> None:
    """The deepest accepted request converts from a stack that is already deep, as in a server under test."""

    def deeper(levels: int) -> bytes:
        return deeper(levels - 1) if levels else to_protobuf(nested(40))

    assert deeper(min(300, sys.getrecursionlimit() // 3))
