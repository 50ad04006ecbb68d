"""A span that is still in memory, as a request of one span: what a codec reads is then always the same bytes.

The twin of native/src/memory.rs. Only attributes that the table knows are written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from otel_ext.wire import encode, fields
from otel_ext.wire.compile import Entry
from otel_ext.wire.encode import delimited
from otel_ext.wire.table import Field

DEPTH_MAX: Final = 8  # values nested deeper are written empty
_INT64: Final = 2**63
_TRACE_ID: Final = bytes([1]) * 16  # one trace: which one is the caller's business
_INPUTS: Final = (Field.INPUT_MESSAGES, Field.FLAT_INPUT)

# Kind and name of the step; the step packed; agent and service of the span; packed requests; packed answers; conversation;
# (field number, text). What is not there is None, but for numbers.
Texts = list[tuple[int, str | list[str]]]
Single = tuple[int, int, bytes, int, int, bytes | None, bytes | None, str | None, Texts | None]


class Known(NamedTuple):
    """The key table, as far as it decides which attributes are read."""

    exact: Mapping[bytes, Sequence[Entry]]
    flat: Sequence[Entry]

    def reads(self, key: bytes, *, inputs: bool) -> bool:
        """Whether *key* tells something; without *inputs*, the messages that a model was given tell nothing."""
        entries = [*self.exact.get(key, ()), *(entry for entry in self.flat if key.startswith(entry.name))]
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
) -> bytes:
    """An ExportTraceServiceRequest with this one span."""
    written = [
        delimited(fields.Span.ATTRIBUTES, _pair(key, value, 1))
        for key, value in attributes.items()
        if isinstance(key, str) and known.reads(key.encode("utf-8", "replace"), inputs=inputs)
    ]
    span = encode.span(_TRACE_ID, span_id.to_bytes(8, "big"), b"", name, start, end, {}, status=status, extra=written)
    resource = {"service.name": service.decode("utf-8", "replace")}
    return encode.request(resource, scope.decode("utf-8", "replace"), "", [span])


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
