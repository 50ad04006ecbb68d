"""A span in memory as a step: the codec's own reading of it, no second one."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from otel_ext import semconv
from otel_ext.detectors.base import Step
from otel_ext.detectors.skipping import Request
from otel_ext.dialects import KEYS, RULES
from otel_ext.ledger import Answer, request_of
from otel_ext.model import StepKind
from otel_ext.tracebook import ROW
from otel_ext.wire import Codec
from otel_ext.wire.names import fold
from otel_ext.wire.table import Field

LOW: Final = 0xFFFFFFFF
_STEP_BYTES: Final = ROW.size
_KIND_AT: Final = 12  # of the kind in a packed step
_NAME_AT: Final = 14
_ORDER: Final = struct.Struct("<QI")  # end and span of a packed step
_AGENT_AND_SERVICE: Final = struct.Struct("<HH")
_REQUESTS: Final = struct.Struct("<IHxxQQ")
_ANSWERS: Final = struct.Struct("<I?xxxQ")

# A span with none of these keys and none of these names is no step, whatever else it carries.
_KNOWN: Final = frozenset(key.name for key in KEYS if key.field is not Field.MARK and key.name != semconv.LANGFUSE_TRACE_ID)
_COMMON: Final = "gen_ai.operation.name"  # looked for first: most steps have it
_NAMED: Final = tuple(rule.prefix for rule in RULES if not rule.kinds or StepKind.OTHER in rule.kinds)


class Reading(NamedTuple):
    """What one step tells."""

    kind: int
    packed: bytes
    names: bytes  # agent and service
    conversation: str
    requests: Sequence[Request]
    answers: Sequence[Answer]
    texts: Sequence[tuple[int, str | list[str]]]

    @property
    def step(self) -> Step:
        """The step as a tuple."""
        step: Step = ROW.unpack(self.packed)
        return step

    @property
    def name(self) -> int:
        """The step's tool, model or agent."""
        return self.packed[_NAME_AT] | self.packed[_NAME_AT + 1] << 8

    @property
    def agent_and_service(self) -> tuple[int, int]:
        """Interned names."""
        agent, service = _AGENT_AND_SERVICE.unpack(self.names)
        return agent, service


class Reader:
    """Reads spans with one codec; remembers the resource and the scope it saw last."""

    def __init__(self, codec: Codec) -> None:
        self._span = codec.span
        # One value each, so that another thread never sees half of a change.
        self._resource: tuple[object, bytes] = (None, b"")
        self._scope: tuple[object, bytes] = (None, b"")

    def read(self, span: Any, span_id: int, attributes: dict[str, Any], inputs: bool) -> Reading | None:
        """*span* as a step, None where it is none. Without *inputs*, the messages that its model was given are left unread."""
        name = span._name
        if _COMMON not in attributes and _KNOWN.isdisjoint(attributes) and not name.startswith(_NAMED):
            return None
        resource, service = self._resource
        if span._resource is not resource:
            service = self._learn_resource(span._resource)
        scope, scope_name = self._scope
        if span._instrumentation_scope is not scope:
            scope_name = self._learn_scope(span._instrumentation_scope)
        single = self._span(
            name,
            scope_name,
            service,
            span_id,
            span._start_time or 0,
            span._end_time or 0,
            span._status.status_code._value_,
            attributes,
            inputs,
        )
        if single is None:
            return None
        step, requests, answers, conversation, texts = single
        packed = step[:_STEP_BYTES]
        return Reading(
            step[_KIND_AT],
            packed,
            step[_STEP_BYTES:],
            conversation or "",
            _asked(requests, packed) if requests else (),
            _answered(answers) if answers else (),
            texts or (),
        )

    def _learn_resource(self, resource: Any) -> bytes:
        service = str(resource.attributes.get("service.name", "")).encode("utf-8", "replace")
        self._resource = (resource, service)
        return service

    def _learn_scope(self, scope: Any) -> bytes:
        name = str(scope.name).encode("utf-8", "replace") if scope else b""
        self._scope = (scope, name)
        return name


def _asked(packed: bytes, model: bytes) -> list[Request]:
    end, span = _ORDER.unpack_from(model)
    return [request_of(fold(call), tool, span, end, place) for place, (_, tool, call, _) in enumerate(_REQUESTS.iter_unpack(packed))]


def _answered(packed: bytes) -> list[Answer]:
    return [Answer(fold(call), refused) for _, refused, call in _ANSWERS.iter_unpack(packed) if call]
