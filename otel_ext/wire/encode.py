"""Protobuf bytes out of plain values: attributes, events, spans, whole requests. Pure functions; nothing is validated twice.

`attribute` and `event` give tagged Span fields, ready to be appended to a span (`otel_ext.wire.table.Column`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from otel_ext.wire import fields
from otel_ext.wire.fields import FIXED32, FIXED64, LEN, VARINT

Value = str | bool | int | float | list[str]

_ONE_BYTE: Final = tuple(bytes([number]) for number in range(128))
_DOUBLE: Final = struct.Struct("<d")
_UINT64_MAX: Final = 2**64 - 1
# Enough for every key we write and every dialect's; keys with an index in them must not push those out for ever.
_KEYS_CACHED_MAX: Final = 4096


def varint(number: int) -> bytes:
    """*number*, 0 to 2**64 - 1, as a varint."""
    if number < 128:
        return _ONE_BYTE[number]
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def delimited(number: int, content: bytes) -> bytes:
    """A length-delimited field."""
    return varint(fields.tag(number, LEN)) + varint(len(content)) + content


_STRING: Final = varint(fields.tag(fields.AnyValue.STRING_VALUE))
_BOOL: Final = varint(fields.tag(fields.AnyValue.BOOL_VALUE, VARINT))
_INT: Final = varint(fields.tag(fields.AnyValue.INT_VALUE, VARINT))
_DOUBLE_TAG: Final = varint(fields.tag(fields.AnyValue.DOUBLE_VALUE, FIXED64))
_VALUE: Final = varint(fields.tag(fields.KeyValue.VALUE))
_ATTRIBUTE: Final = varint(fields.tag(fields.Span.ATTRIBUTES))


def any_value(value: Value) -> bytes:
    """An AnyValue message; raises TypeError for a type that is not `Value`."""
    if isinstance(value, str):
        text = value.encode("utf-8", "replace")  # a lone surrogate is no UTF-8, and a receiver would refuse the whole request
        return _STRING + varint(len(text)) + text
    if isinstance(value, bool):
        return _BOOL + _ONE_BYTE[value]
    if isinstance(value, int):
        return _INT + varint(value & _UINT64_MAX)
    if isinstance(value, float):
        return _DOUBLE_TAG + _DOUBLE.pack(value)
    if isinstance(value, list | tuple):
        items = b"".join(delimited(fields.ArrayValue.VALUES, any_value(item)) for item in value)
        return delimited(fields.AnyValue.ARRAY_VALUE, items)
    raise TypeError(f"no attribute value: {type(value).__name__}")


@lru_cache(maxsize=_KEYS_CACHED_MAX)
def _key(key: str) -> bytes:
    return delimited(fields.KeyValue.KEY, key.encode("utf-8", "replace")) + _VALUE


def _pair(key: str, value: Value) -> bytes:
    encoded = any_value(value)
    return _key(key) + varint(len(encoded)) + encoded


def attribute(key: str, value: Value) -> bytes:
    """A Span.attributes field."""
    pair = _pair(key, value)
    return _ATTRIBUTE + varint(len(pair)) + pair


ID_PLACE: Final = "{trace_id}"


def id_attribute(key: str, template: str = ID_PLACE, digits: int = 32) -> tuple[bytes, bytes]:
    """Before and after of an IdColumn: an attribute whose text is *template* with that many hex digits in the place of `{trace_id}`."""
    before, place, after = (part.encode("utf-8", "replace") for part in template.partition(ID_PLACE))
    if not place:
        raise ValueError(f"no {ID_PLACE} in {template!r}")
    size = len(before) + digits + len(after)
    value = _STRING + varint(size)
    name = _key(key) + varint(len(value) + size) + value
    return _ATTRIBUTE + varint(len(name) + size) + name + before, after


def _attributes(number: int, attributes: Mapping[str, Value]) -> bytes:
    return b"".join(delimited(number, _pair(key, value)) for key, value in attributes.items())


def _fixed64(number: int, value: int) -> bytes:
    return varint(fields.tag(number, FIXED64)) + value.to_bytes(8, "little")


def event(name: str, time_unix_nano: int, attributes: Mapping[str, Value]) -> bytes:
    """A Span.events field."""
    content = (
        _fixed64(fields.Event.TIME_UNIX_NANO, time_unix_nano)
        + delimited(fields.Event.NAME, name.encode("utf-8", "replace"))
        + _attributes(fields.Event.ATTRIBUTES, attributes)
    )
    return delimited(fields.Span.EVENTS, content)


def link(trace_id: bytes, span_id: bytes, attributes: Mapping[str, Value]) -> bytes:
    """A Span.links field."""
    ids = delimited(fields.Link.TRACE_ID, trace_id) + delimited(fields.Link.SPAN_ID, span_id)
    return delimited(fields.Span.LINKS, ids + _attributes(fields.Link.ATTRIBUTES, attributes))


def _status(code: int, message: str) -> bytes:
    if not code and not message:
        return b""
    text = delimited(fields.Status.MESSAGE, message.encode("utf-8", "replace")) if message else b""
    number = varint(fields.tag(fields.Status.CODE, VARINT)) + varint(code) if code else b""
    return delimited(fields.Span.STATUS, text + number)


def span(
    trace_id: bytes,
    span_id: bytes,
    parent_id: bytes,
    name: str,
    start: int,
    end: int,
    attributes: Mapping[str, Value],
    kind: int = 1,
    status: int = 0,
    status_message: str = "",
    flags: int = 0,
    extra: Iterable[bytes] = (),
) -> bytes:
    """A Span message. Times in ns since the epoch; *parent_id* b"" for a root; *extra* are encoded fields (events, links)."""
    parts = [
        delimited(fields.Span.TRACE_ID, trace_id),
        delimited(fields.Span.SPAN_ID, span_id),
        delimited(fields.Span.PARENT_SPAN_ID, parent_id) if parent_id else b"",
        varint(fields.tag(fields.Span.FLAGS, FIXED32)) + flags.to_bytes(4, "little") if flags else b"",
        delimited(fields.Span.NAME, name.encode("utf-8", "replace")),
        varint(fields.tag(fields.Span.KIND, VARINT)) + varint(kind),
        _fixed64(fields.Span.START_TIME_UNIX_NANO, start),
        _fixed64(fields.Span.END_TIME_UNIX_NANO, end),
        _attributes(fields.Span.ATTRIBUTES, attributes),
        *extra,
        _status(status, status_message),
    ]
    return b"".join(parts)


def request(resource_attributes: Mapping[str, Value], scope_name: str, scope_version: str, spans: Sequence[bytes]) -> bytes:
    """A whole ExportTraceServiceRequest of one resource and one scope."""
    scope = delimited(fields.Scope.NAME, scope_name.encode("utf-8", "replace"))
    if scope_version:
        scope += delimited(fields.Scope.VERSION, scope_version.encode("utf-8", "replace"))
    scope_spans = delimited(fields.ScopeSpans.SCOPE, scope) + b"".join(delimited(fields.ScopeSpans.SPANS, one) for one in spans)
    resource = delimited(fields.ResourceSpans.RESOURCE, _attributes(fields.Resource.ATTRIBUTES, resource_attributes))
    return delimited(fields.Request.RESOURCE_SPANS, resource + delimited(fields.ResourceSpans.SCOPE_SPANS, scope_spans))
