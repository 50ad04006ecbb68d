"""A span in memory as a step: the codec's own reading of it, no second one."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from otel_ext.detectors.base import Step
from otel_ext.detectors.runs import Request
from otel_ext.dialects import KEYS, RULES
from otel_ext.ledger import Answer, request_of
from otel_ext.model import StepKind
from otel_ext.tracebook import ROW
from otel_ext.wire import Codec
from otel_ext.wire.memory import Events, More, Single
from otel_ext.wire.names import fold
from otel_ext.wire.table import STEP_KINDS, Field, NameRule

SCOPES_MAX: Final = 1_024  # scopes whose names are remembered
LOW: Final = 0xFFFFFFFF
_ORDER: Final = struct.Struct("<QI")  # end and span of a packed step
_REQUESTS: Final = struct.Struct("<IHxxQQ")
_order_of: Final = _ORDER.unpack_from
_request: Final = _REQUESTS.unpack
_REQUEST_BYTES: Final = _REQUESTS.size
_ANSWERS: Final = struct.Struct("<I?xxxQ")

# A span with none of these keys, and no name by which its scope's spans are known, is no step, whatever else it carries.
_KNOWN: Final = frozenset(key.name for key in KEYS if key.field is Field.KIND and not key.event)
_EVENTS: Final = frozenset(key.event for key in KEYS if key.event)
_COMMON: Final = "gen_ai.operation.name"  # looked for first: most steps have it


class Reading(NamedTuple):
    """What one step tells."""

    kind: int
    name: int  # of the tool, model or agent
    packed: bytes
    agent_and_service: tuple[int, int]  # interned names
    conversation: str
    requests: Sequence[Request]
    answers: Sequence[Answer]
    texts: Sequence[tuple[int, str | list[str]]]
    more: More | None = None  # user, an output that may claim something, declared tools

    @property
    def step(self) -> Step:
        """The step as a tuple."""
        step: Step = ROW.unpack(self.packed)
        return step


class Reader:
    """Reads spans with one codec; remembers the resource and the scope it saw last."""

    def __init__(self, codec: Codec) -> None:
        self._span = codec.span
        # One value each, so that another thread never sees half of a change.
        self._resource: tuple[object, bytes] = (None, b"")
        self._scope: tuple[object, bytes, tuple[str, ...]] = (None, b"", ())

    def read(self, span: Any, span_id: int, attributes: dict[str, Any], inputs: bool) -> Reading | None:
        """*span* as a step, None where it is none. Without *inputs*, the messages that its model was given are left unread."""
        single = self.single(span, span_id, attributes, inputs)
        return None if single is None else reading_of(single)

    def single(self, span: Any, span_id: int, attributes: dict[str, Any], inputs: bool) -> Single | None:
        """Like `read`, as the codec gives it: for the many spans of which nothing needs to be told."""
        name = span._name
        scope, scope_name, named = self._scope
        if span._instrumentation_scope is not scope:
            scope_name, named = self._learn_scope(span._instrumentation_scope)
        if _COMMON not in attributes and _KNOWN.isdisjoint(attributes) and not name.startswith(named):
            return None
        resource, service = self._resource
        if span._resource is not resource:
            service = self._learn_resource(span._resource)
        parent, events = span._parent, span._events
        return self._span(
            name,
            scope_name,
            service,
            span_id,
            span._start_time or 0,
            span._end_time or 0,
            span._status._status_code._value_,
            attributes,
            inputs,
            parent.span_id if parent is not None else 0,
            span._kind._value_ + 1,  # OTLP has 0 for none
            _dropped(span._attributes) or _dropped(events),
            _read(events) if _EVENTS and events else (),
        )

    def _learn_resource(self, resource: Any) -> bytes:
        service = str(resource.attributes.get("service.name", "")).encode("utf-8", "replace")
        self._resource = (resource, service)
        return service

    def _learn_scope(self, scope: Any) -> tuple[bytes, tuple[str, ...]]:
        name = str(scope.name) if scope else ""
        named = _names_of(name)
        raw = name.encode("utf-8", "replace")
        self._scope = (scope, raw, named)
        return raw, named


@lru_cache(maxsize=SCOPES_MAX)
def _names_of(scope: str) -> tuple[str, ...]:
    """What the names of steps of this scope start with, where the name alone says that a span is one."""
    return tuple(rule.prefix for rule in RULES if rule.kind in STEP_KINDS and _makes(rule, scope))


def _makes(rule: NameRule, scope: str) -> bool:
    """Whether a span of this scope can be a step by *rule* alone."""
    return (not rule.kinds or StepKind.OTHER in rule.kinds) and scope.startswith(rule.scope)


def _dropped(held: Any) -> bool:
    """Whether a container of the SDK had to let go of something."""
    return getattr(held, "dropped", 0) > 0


def _read(events: Sequence[Any]) -> Events:
    """The events that a key names."""
    return [(event.name, dict(event.attributes or ())) for event in events if event.name in _EVENTS]


def reading_of(single: Single) -> Reading:
    """What the codec read, with requests and answers."""
    kind, name, packed, agent, service, requests, answers, conversation, texts, more = single
    asked_for = asked(requests, packed) if requests else ()
    told = answered(answers) if answers else ()
    return Reading(kind, name, packed, (agent, service), conversation or "", asked_for, told, texts or (), more)


def asked(packed: bytes, model: bytes) -> Sequence[Request]:
    """The calls that a packed model step asked for."""
    end, span = _order_of(model)
    if len(packed) == _REQUEST_BYTES:  # most often one
        _, tool, call, _ = _request(packed)
        if call:
            return (Request((call ^ call >> 32) & LOW or 1, tool, span, end, False, False),)  # as `request_of` makes it
    return [request_of(fold(call), tool, span, end, place) for place, (_, tool, call, _) in enumerate(_REQUESTS.iter_unpack(packed))]


def answered(packed: bytes) -> list[Answer]:
    """The answers to calls that a model was given."""
    return [Answer(fold(call), refused) for _, refused, call in _ANSWERS.iter_unpack(packed) if call]
