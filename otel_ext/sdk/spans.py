"""Writing on a span of the SDK, also while it ends.

`_on_ending` is called with a span that refuses its public setters already (SDK 1.45: `_end_time` is set first), though the specification
has it writable then. So the containers behind them are written: the same ones that the ReadableSpan of `on_end` shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import Event, SpanProcessor

from otel_ext import semconv
from otel_ext.findings import details, loudest
from otel_ext.model import Finding

# Whether the SDK calls processors while a span is ending, before any of them is given the ended one.
HAS_ENDING: Final = hasattr(SpanProcessor, "_on_ending")

_NONE: Final[dict[str, Any]] = {}


def attributes_of(span: Any) -> dict[str, Any]:
    """The attributes as the plain dict behind them; a copy where this SDK keeps them elsewhere. To be read only."""
    held = span._attributes
    try:
        found = held._dict
    except AttributeError:
        return dict(held or _NONE)
    return found if type(found) is dict else dict(found)


def put(span: Any, key: str, value: str | Sequence[str]) -> None:
    """Set an attribute, within the span's limits; on an ended span too."""
    held = span._attributes
    if type(held) is BoundedAttributes and held.max_value_len is None and (held.maxlen is None or len(held._dict) < held.maxlen):
        held._dict[key] = value
        return
    _put_bounded(held, key, value)


def _put_bounded(held: Any, key: str, value: str | Sequence[str]) -> None:
    """By the container's own rules, which may cut the value or drop the oldest key."""
    frozen = getattr(held, "_immutable", False)
    if frozen:
        held._immutable = False
    try:
        held[key] = value
    finally:
        if frozen:
            held._immutable = True


def put_missing(span: Any, key: str, value: str) -> None:
    """Set what the application did not set itself."""
    held = span._attributes
    if type(held) is BoundedAttributes:
        there = held._dict
        if key in there:
            return
        if held.max_value_len is None and (held.maxlen is None or len(there) < held.maxlen):
            there[key] = value
            return
    if key not in held:
        _put_bounded(held, key, value)


def mark(span: Any, findings: Sequence[Finding]) -> None:
    """The findings onto the span at fault: rule ids, severity, an event each."""
    there = attributes_of(span)
    known = tuple(there.get(semconv.FINDINGS) or ())
    put(span, semconv.FINDINGS, (*known, *(finding.rule for finding in findings if finding.rule not in known)))
    if semconv.SEVERITY not in there:
        put(span, semconv.SEVERITY, str(loudest(findings)))
    for finding in findings:
        attributes = BoundedAttributes(None, details(finding), immutable=True)
        span._events.append(Event(semconv.FINDING_EVENT, attributes, finding.time_unix_nano))
