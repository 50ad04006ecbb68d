"""OTLP field numbers, one class a message, and protobuf's wire types.

From opentelemetry/proto/{collector/trace/v1/trace_service,trace/v1/trace,common/v1/common,resource/v1/resource}.proto; a test holds them
against the generated classes.
"""

from __future__ import annotations

from typing import Final

VARINT: Final = 0
FIXED64: Final = 1
LEN: Final = 2
FIXED32: Final = 5


class Request:
    """ExportTraceServiceRequest."""

    RESOURCE_SPANS: Final = 1


class ResourceSpans:
    """What one resource sent."""

    RESOURCE: Final = 1
    SCOPE_SPANS: Final = 2


class Resource:
    """The process that sent it."""

    ATTRIBUTES: Final = 1


class ScopeSpans:
    """What one instrumentation scope of a resource sent."""

    SCOPE: Final = 1
    SPANS: Final = 2


class Scope:
    """InstrumentationScope."""

    NAME: Final = 1
    VERSION: Final = 2
    ATTRIBUTES: Final = 3


class Span:
    """One span."""

    TRACE_ID: Final = 1
    SPAN_ID: Final = 2
    PARENT_SPAN_ID: Final = 4
    NAME: Final = 5
    KIND: Final = 6
    START_TIME_UNIX_NANO: Final = 7
    END_TIME_UNIX_NANO: Final = 8
    ATTRIBUTES: Final = 9
    DROPPED_ATTRIBUTES_COUNT: Final = 10
    EVENTS: Final = 11
    DROPPED_EVENTS_COUNT: Final = 12
    LINKS: Final = 13
    STATUS: Final = 15
    FLAGS: Final = 16


class Event:
    """Span.Event."""

    TIME_UNIX_NANO: Final = 1
    NAME: Final = 2
    ATTRIBUTES: Final = 3


class Link:
    """Span.Link."""

    TRACE_ID: Final = 1
    SPAN_ID: Final = 2
    ATTRIBUTES: Final = 4


class Status:
    """Span status."""

    MESSAGE: Final = 2
    CODE: Final = 3


class KeyValue:
    """One attribute."""

    KEY: Final = 1
    VALUE: Final = 2


class AnyValue:
    """A value: one of these."""

    STRING_VALUE: Final = 1
    BOOL_VALUE: Final = 2
    INT_VALUE: Final = 3
    DOUBLE_VALUE: Final = 4
    ARRAY_VALUE: Final = 5
    KVLIST_VALUE: Final = 6
    BYTES_VALUE: Final = 7


class ArrayValue:
    """ArrayValue; KeyValueList has the same number."""

    VALUES: Final = 1


def tag(number: int, wire: int = LEN) -> int:
    """The varint that starts a field."""
    return number << 3 | wire
