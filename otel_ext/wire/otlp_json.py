"""OTLP/JSON to OTLP protobuf, by tables. No I/O.

The rules are those of the OTLP specification, "JSON Protobuf Encoding", which differ from protobuf's own JSON (`json_format`):
ids are hex in either case, enums are numbers, keys are lowerCamelCase only, unknown keys are ignored. `null` counts as absent.
An id that is not hex becomes BAD_ID, so that its span alone is refused.
A fault names the path and the expected type, never a value: payloads hold other people's prompts.
"""

from __future__ import annotations

import json
import re
from typing import Final

from otel_ext.errors import MalformedPayload
from otel_ext.wire.json_fields import (
    DEPTH_MAX,
    INT32,
    INT64,
    UINT32,
    Field,
    MismatchError,
    base64_bytes,
    boolean,
    double,
    enum,
    fixed,
    hex_id,
    integer,
    items,
    many,
    message,
    one,
    text,
    utf8,
    varint,
)

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_UTF8_BOM: Final = b"\xef\xbb\xbf"
_DECODER: Final = json.JSONDecoder()


def to_protobuf(body: bytes) -> bytes:
    """One ExportTraceServiceRequest in JSON, as protobuf; raises MalformedPayload with the JSON path and the byte index."""
    start = len(_UTF8_BOM) if body.startswith(_UTF8_BOM) else 0
    try:
        document = body[start:].decode()
    except UnicodeDecodeError as error:
        raise MalformedPayload("JSON: not UTF-8", start + error.start) from None
    try:
        # `from None` below: a JSONDecodeError carries the whole document.
        return _REQUEST(_parse(document, start), 1)
    except MismatchError as error:
        raise MalformedPayload(f"JSON: {error.where()}: must be {error.wanted}", start + _find(document, error.path)) from None
    except RecursionError:
        raise MalformedPayload("JSON: nested too deeply", start) from None


def _parse(document: str, start: int) -> object:
    try:
        return json.loads(document)
    except json.JSONDecodeError as error:
        raise MalformedPayload(f"JSON: {error.msg.partition(':')[0]}", start + _bytes_before(document, error.pos)) from None
    except ValueError:  # CPython refuses to read integers of thousands of digits, without saying where
        raise MalformedPayload("JSON: a number has too many digits", start) from None


def _bytes_before(document: str, position: int) -> int:
    return len(document[:position].encode())


def _find(document: str, path: list[str | int]) -> int:
    """Byte index of the value at *path* (innermost step first). Reads each character once at most; 0 where it cannot be told."""
    at = _skip(document, 0)
    try:
        for step in reversed(path):
            at = _skip(document, at + 1)
            at = _enter_array(document, at, step) if isinstance(step, int) else _enter_object(document, at, step)
    except (ValueError, IndexError, RecursionError):  # a key written twice: the walk took the first, the reader the last
        return 0
    return _bytes_before(document, at)


def _skip(document: str, at: int) -> int:
    found = _SPACE.match(document, at)
    return found.end() if found else at


def _enter_array(document: str, at: int, index: int) -> int:
    for _ in range(index):
        at = _next_item(document, at)
    return at


def _enter_object(document: str, at: int, wanted: str) -> int:
    while True:
        key, at = _DECODER.raw_decode(document, at)
        at = _skip(document, _skip(document, at) + 1)
        if key == wanted:
            return at
        at = _next_item(document, at)


def _next_item(document: str, at: int) -> int:
    _, at = _DECODER.raw_decode(document, at)
    return _skip(document, _skip(document, at) + 1)


# The messages of opentelemetry/proto/{collector/trace,trace,resource,common}/v1, JSON name -> field number and type.
# tests/wire/test_otlp_json.py compares these tables with the published descriptors.
ANY_VALUE: Final[dict[str, Field]] = {}
KEY_VALUE: Final = {"key": text(1), "value": one(2, message(ANY_VALUE)), "keyStrindex": integer(3, *INT32)}
ANY_VALUE.update(
    {
        "stringValue": text(1),
        "boolValue": boolean(2),
        "intValue": integer(3, *INT64),
        "doubleValue": double(4),
        "arrayValue": one(5, message({"values": many(1, message(ANY_VALUE))})),
        "kvlistValue": one(6, message({"values": many(1, message(KEY_VALUE))})),
        "bytesValue": base64_bytes(7),
        "stringValueStrindex": integer(8, *INT32),
    }
)
_ANY_ATTRIBUTE: Final = message(KEY_VALUE)


def _attribute(value: object, depth: int) -> bytes:
    """A KeyValue. Most hold a string: those skip the tables and take half the time."""
    if type(value) is dict and len(value) == 2 and depth < DEPTH_MAX:
        key, item = value.get("key"), value.get("value")
        if type(key) is str and type(item) is dict and len(item) == 1 and type(content := item.get("stringValue")) is str:
            name, raw = utf8(key), utf8(content)
            inner = b"\x0a" + varint(len(raw)) + raw
            return b"".join((b"\x0a", varint(len(name)), name, b"\x12", varint(len(inner)), inner))
    return _ANY_ATTRIBUTE(value, depth)


ENTITY_REF: Final = {"schemaUrl": text(1), "type": text(2), "idKeys": items(text(3)), "descriptionKeys": items(text(4))}
RESOURCE: Final = {
    "attributes": many(1, _attribute),
    "droppedAttributesCount": integer(2, *UINT32),
    "entityRefs": many(3, message(ENTITY_REF)),
}
SCOPE: Final = {"name": text(1), "version": text(2), "attributes": many(3, _attribute), "droppedAttributesCount": integer(4, *UINT32)}
EVENT: Final = {
    "timeUnixNano": fixed(1, 64),
    "name": text(2),
    "attributes": many(3, _attribute),
    "droppedAttributesCount": integer(4, *UINT32),
}
LINK: Final = {
    "traceId": hex_id(1),
    "spanId": hex_id(2),
    "traceState": text(3),
    "attributes": many(4, _attribute),
    "droppedAttributesCount": integer(5, *UINT32),
    "flags": fixed(6, 32),
}
STATUS: Final = {"message": text(2), "code": enum(3)}
SPAN: Final = {
    "traceId": hex_id(1),
    "spanId": hex_id(2),
    "traceState": text(3),
    "parentSpanId": hex_id(4),
    "name": text(5),
    "kind": enum(6),
    "startTimeUnixNano": fixed(7, 64),
    "endTimeUnixNano": fixed(8, 64),
    "attributes": many(9, _attribute),
    "droppedAttributesCount": integer(10, *UINT32),
    "events": many(11, message(EVENT)),
    "droppedEventsCount": integer(12, *UINT32),
    "links": many(13, message(LINK)),
    "droppedLinksCount": integer(14, *UINT32),
    "status": one(15, message(STATUS)),
    "flags": fixed(16, 32),
}
SCOPE_SPANS: Final = {"scope": one(1, message(SCOPE)), "spans": many(2, message(SPAN)), "schemaUrl": text(3)}
RESOURCE_SPANS: Final = {"resource": one(1, message(RESOURCE)), "scopeSpans": many(2, message(SCOPE_SPANS)), "schemaUrl": text(3)}
_REQUEST: Final = message({"resourceSpans": many(1, message(RESOURCE_SPANS))})
