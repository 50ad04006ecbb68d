"""A span that is still in memory, as a request of one span: what a codec reads is then always the same bytes.

The twin of native/src/memory.rs. Only attributes that the table knows are written, and of events only those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from otel_ext.wire import encode, fields
from otel_ext.wire.compile import Entry
from otel_ext.wire.encode import delimited, varint
from otel_ext.wire.fields import tag
from otel_ext.wire.table import Field

DEPTH_MAX: Final = 8  # values nested deeper are written empty
_INT64: Final = 2**63
_TRACE_ID: Final = bytes([1]) * 16  # one trace: which one is the caller's business
_INPUTS: Final = (Field.INPUT_MESSAGES, Field.FLAT_INPUT)
_CUT: Final = varint(tag(fields.Span.DROPPED_ATTRIBUTES_COUNT, fields.VARINT)) + varint(1)

# Kind and name of the step; the step packed; agent and service of the span; packed requests; packed answers; conversation;
# (field number, text); what few spans tell. What is not there is None, but for numbers.
Texts = list[tuple[int, str | list[str]]]
Tools = list[tuple[int, int, bytes]]  # how, hash and value, as in a row of `table.DECLARED`
More = tuple[str | None, str | None, Tools | None]  # user; the value the output came from, where Flag.CLAIM is set; declared tools
Single = tuple[int, int, bytes, int, int, bytes | None, bytes | None, str | None, Texts | None, More | None]
Events = Sequence[tuple[str, Mapping[str, object]]]  # name and attributes


class Known(NamedTuple):
    """The key table, as far as it decides which attributes are read."""

    exact: Mapping[bytes, Sequence[Entry]]
    events: Mapping[bytes, Mapping[bytes, Sequence[Entry]]]
    flat: Sequence[Entry]

    def reads(self, key: bytes, *, inputs: bool) -> bool:
        """Whether *key* tells something; without *inputs*, the messages that a model was given tell nothing."""
        return _tells([*self.exact.get(key, ()), *(entry for entry in self.flat if key.startswith(entry.name))], inputs)

    def reads_event(self, name: bytes, key: bytes, *, inputs: bool) -> bool:
        """Whether *key* on an event of that name tells something."""
        return _tells(self.events.get(name, {}).get(key, ()), inputs)


def _tells(entries: Sequence[Entry], inputs: bool) -> bool:
    return any(inputs or entry.field not in _INPUTS for entry in entries)


def request(
    known: Known,
    name: str,
    scope: bytes,
    service: bytes,
    span_id: int,
    start: int,
    end: int,
    status: int,
    attributes: Mapping[str, object],
    *,
    inputs: bool,
    parent_id: int,
    kind: int,
    cut: bool,
    events: Events,
) -> bytes:
    """An ExportTraceServiceRequest with this one span; the arguments are those of `otel_ext.wire.ReadSpan`."""
    written = [
        delimited(fields.Span.ATTRIBUTES, _pair(key, value, 1))
        for key, value in attributes.items()
        if isinstance(key, str) and known.reads(key.encode("utf-8", "replace"), inputs=inputs)
    ]
    written += [_event(known, event_name, pairs, inputs=inputs) for event_name, pairs in events]
    written += [_CUT] if cut else []
    ids = span_id.to_bytes(8, "big"), parent_id.to_bytes(8, "big") if parent_id else b""
    span = encode.span(_TRACE_ID, *ids, name, start, end, {}, kind, status=status, extra=written)
    resource = {"service.name": service.decode("utf-8", "replace")}
    return encode.request(resource, scope.decode("utf-8", "replace"), "", [span])


def _event(known: Known, name: str, pairs: Mapping[str, object], *, inputs: bool) -> bytes:
    raw = name.encode("utf-8", "replace")
    written = [
        delimited(fields.Event.ATTRIBUTES, _pair(key, value, 1))
        for key, value in pairs.items()
        if isinstance(key, str) and known.reads_event(raw, key.encode("utf-8", "replace"), inputs=inputs)
    ]
    return delimited(fields.Span.EVENTS, delimited(fields.Event.NAME, raw) + b"".join(written))


def _pair(key: str, value: object, depth: int) -> bytes:
    text = delimited(fields.KeyValue.KEY, key.encode("utf-8", "replace"))
    return text + delimited(fields.KeyValue.VALUE, _value(value, depth))


def _value(value: object, depth: int) -> bytes:
    """The members of an AnyValue; a type that OTLP does not have is written empty."""
    if isinstance(value, str | bool):
        return encode.any_value(value)
    if isinstance(value, int):
        return encode.any_value(value) if -_INT64 <= value < _INT64 else b""
    if isinstance(value, float):
        return encode.any_value(value)
    if isinstance(value, bytes):
        return delimited(fields.AnyValue.BYTES_VALUE, value)
    if depth >= DEPTH_MAX:
        return b""
    if isinstance(value, list | tuple):
        items = b"".join(delimited(fields.ArrayValue.VALUES, _value(item, depth + 1)) for item in value)
        return delimited(fields.AnyValue.ARRAY_VALUE, items)
    if isinstance(value, dict):
        pairs = b"".join(delimited(1, _pair(key, item, depth + 1)) for key, item in value.items() if isinstance(key, str))
        return delimited(fields.AnyValue.KVLIST_VALUE, pairs)
    return b""
