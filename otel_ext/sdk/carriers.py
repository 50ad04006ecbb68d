"""Trace context into and out of whatever carries a call: HTTP headers, MCP `_meta`, a tool parameter, message metadata.

What crosses: `traceparent`, `tracestate`, and `baggage` with the id by which Langfuse knows the trace. What cannot be read is ignored and
counted in `malformed`, by field.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, Final, TypeVar

from opentelemetry import baggage, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context, get_current
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from otel_ext import semconv
from otel_ext.sdk import spans
from otel_ext.sdk.processor import LANGFUSE_BAGGAGE

PARAMETER: Final = "_trace_parent"
META: Final = "_meta"
_FIELDS: Final = ("traceparent", "tracestate", "baggage")
_FIELD_LENGTH_MAX: Final = 8_192
_ENTRIES_MAX: Final = 1_000  # of a carrier that is looked through
_Carrier = TypeVar("_Carrier")

malformed: Final[Counter[str]] = Counter()
_trace: Final = TraceContextTextMapPropagator()
_baggage: Final = W3CBaggagePropagator()


def inject_trace_context(carrier: _Carrier, *, context: Context | None = None, parameter: bool = False) -> _Carrier:
    """Put the current trace context into *carrier*, and return that: a dict of headers or metadata, or a list of (str, bytes) pairs.

    With *parameter* it goes into the one key `_trace_parent`, for arguments of a tool whose server cannot read `_meta`. A carrier of
    another kind is left as it is, and counted.
    """
    fields: dict[str, str] = {}
    where = get_current() if context is None else context
    try:
        where = _with_langfuse_id(where)
        _trace.inject(fields, where)
        _baggage.inject(fields, where)
    except Exception:
        malformed["inject"] += 1
    if parameter:
        fields = {PARAMETER: fields["traceparent"]} if "traceparent" in fields else {}
    if isinstance(carrier, MutableMapping):
        carrier.update(fields)
    elif isinstance(carrier, list):
        carrier[:] = [pair for pair in carrier if not (isinstance(pair, tuple) and pair and _text(pair[0]).lower() in fields)]
        carrier.extend((key, value.encode()) for key, value in fields.items())
    else:
        malformed["carrier"] += 1
    return carrier


def _with_langfuse_id(context: Context) -> Context:
    if baggage.get_baggage(LANGFUSE_BAGGAGE, context):
        return context
    span: Any = trace.get_current_span(context)
    if not span.is_recording() or not hasattr(span, "_attributes"):
        return context
    known = spans.attributes_of(span).get(semconv.LANGFUSE_TRACE_ID)
    return baggage.set_baggage(LANGFUSE_BAGGAGE, known, context) if isinstance(known, str) and known else context


def extract_context(carrier: object, *, context: Context | None = None) -> Context:
    """The context that *carrier* holds, on top of *context* (the current one); that alone where it holds none.

    Reads dicts and lists of pairs, of text or bytes and in any case; MCP params with `_meta`; objects with such a `meta`. A `_trace_parent`
    parameter is taken out of a dict that can be changed, so that no tool gets to see it.
    """
    base = get_current() if context is None else context
    try:
        fields = _fields(carrier)
    except Exception:
        malformed["carrier"] += 1
        return base
    return _extract(fields, base) if fields else base


def _extract(fields: dict[str, str], base: Context) -> Context:
    found = base
    if "traceparent" in fields:
        read = _trace.extract(fields, Context(), _GETTER)
        span = trace.get_current_span(read)
        if span.get_span_context().is_valid:
            found = trace.set_span_in_context(span, base)
        else:
            malformed["traceparent"] += 1
    if "baggage" in fields:
        entries = baggage.get_all(_baggage.extract(fields, Context(), _GETTER))
        if not entries:
            malformed["baggage"] += 1
        for key, value in entries.items():
            found = baggage.set_baggage(key, value, found)
    return found


class _Getter(Getter[Mapping[str, str]]):
    def get(self, carrier: Mapping[str, str], key: str) -> list[str] | None:
        return [carrier[key]] if key in carrier else None

    def keys(self, carrier: Mapping[str, str]) -> list[str]:
        return list(carrier)


_GETTER: Final = _Getter()


def _fields(carrier: object) -> dict[str, str]:
    """The fields we know, by lower-case name. `_meta` comes before the rest, and the parameter last."""
    if carrier is None:
        return {}
    found: dict[str, str] = {}
    parameter = carrier.pop(PARAMETER, None) if isinstance(carrier, MutableMapping) else None
    for source in (*_inner(carrier), carrier):
        for key, value in _pairs(source):
            name = _text(key).lower()
            if name in _FIELDS and name not in found:
                _take(found, name, value)
    if parameter is not None and "traceparent" not in found:
        _take(found, "traceparent", parameter)
    return found


def _take(found: dict[str, str], name: str, value: object) -> None:
    text = _text(value[0] if isinstance(value, list | tuple) and value else value)
    if text and len(text) <= _FIELD_LENGTH_MAX:
        found[name] = text.strip()
    else:
        malformed[name] += 1


def _inner(carrier: object) -> Iterable[object]:
    """Where MCP keeps metadata: `_meta` of params, `meta` of a request's context, and what a model holds besides its fields."""
    if isinstance(carrier, Mapping):
        return (carrier[META],) if META in carrier else ()
    return tuple(
        inner for inner in (getattr(carrier, "meta", None), getattr(carrier, "model_extra", None)) if isinstance(inner, Mapping) or inner
    )


def _pairs(carrier: object) -> Iterable[tuple[object, object]]:
    if isinstance(carrier, Mapping):
        return list(carrier.items())[:_ENTRIES_MAX]
    if isinstance(carrier, list | tuple):
        return [(pair[0], pair[1]) for pair in carrier[:_ENTRIES_MAX] if isinstance(pair, list | tuple) and len(pair) == 2]
    extra = getattr(carrier, "model_extra", None)
    return list(extra.items())[:_ENTRIES_MAX] if isinstance(extra, Mapping) else ()


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("ascii", "replace")
    return value if isinstance(value, str) else ""
