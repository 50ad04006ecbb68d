"""Tool calls that models asked for, crossed off as their spans and answers come. Any order of arrival ends in the same state."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from otel_ext.detectors.base import KIND, Step, hollow
from otel_ext.detectors.base import C as CALL
from otel_ext.detectors.runs import Request
from otel_ext.tracebook import ROW, Trace
from otel_ext.wire.steps import TOOL
from otel_ext.wire.table import StepFlag

OPEN_REQUESTS_MAX: Final = 256  # calls of one trace that wait for their span; more are counted and not judged
_CALL_AT: Final = ROW.size - 4
_CALL: Final = struct.Struct("<I")
_pack_call: Final = _CALL.pack
_call_of: Final = _CALL.unpack_from
_FLAGS_AT: Final = 13  # of a packed step
_HOLLOW: Final = int(StepFlag.HAS_ARGUMENTS)  # and nothing else
_REFUSED: Final = int(StepFlag.REFUSED)


class Answer(NamedTuple):
    """An answer to a call, as a later model call was given it."""

    call: int
    refused: bool


def request_of(call: int, tool: int, model_span: int, end: int, place: int) -> Request:
    """The *place*-th call that a model asked for. Without a call id it has a number of its own below zero, at every delivery the same."""
    number = call or -((model_span << 8 | place & 0xFF) + 1)
    return Request(number, tool, model_span, end, False, False)  # by position: by name it costs twice as much


def record(trace: Trace, fresh: list[Step], requests: Iterable[Request], answers: Iterable[Answer]) -> int:
    """Bring the trace's open requests up to date with new steps, requests and answers; returns how many did not fit.

    A call id that a tool span carries is settled for good, whatever its answer says: the tool ran. A request without a call id has a
    number below zero for one, and is matched by name when it is judged.
    """
    waiting = trace.requests or {}
    for step in fresh:
        if waiting and step[KIND] == TOOL and step[CALL] and not hollow(step):
            waiting.pop(step[CALL], None)
    overflow = 0
    for request in requests:
        overflow += _put(trace, waiting, request)
    for answer in answers:
        overflow += _put(trace, waiting, Request(answer.call, 0, 0, 0, answered=True, refused=answer.refused))
    trace.requests = waiting or None
    return overflow


def ask(trace: Trace, requests: Sequence[Request]) -> int:
    """Add what a model asked for, in a trace whose steps come in order; returns how many did not fit."""
    waiting = trace.requests
    if waiting is None:
        if len(requests) == 1:  # most often
            call = requests[0][0]
            if call < 0 or _pack_call(call) not in trace.steps:
                trace.requests = {call: requests[0]}
                return 0
        waiting = trace.requests = {}
    overflow = 0
    for request in requests:
        if request.call in waiting or len(waiting) >= OPEN_REQUESTS_MAX or _CALL.pack(max(request.call, 0)) in trace.steps:
            overflow += _put(trace, waiting, request)
        else:
            waiting[request.call] = request
    trace.requests = waiting or None
    return overflow


def settle(trace: Trace, packed: bytes) -> None:
    """Cross off the call that this packed step of a tool made."""
    waiting = trace.requests
    call = _call_of(packed, _CALL_AT)[0]
    flags = packed[_FLAGS_AT]
    if waiting and call in waiting and flags != _HOLLOW and not flags & _REFUSED:
        del waiting[call]
        if not waiting:
            trace.requests = None


def _put(trace: Trace, waiting: dict[int, Request], news: Request) -> int:
    """Add what *news* knows of a call; 1 where there is no room."""
    known = waiting.get(news.call)
    if known is None:
        if ran(trace, news.call):
            return 0
        if len(waiting) >= OPEN_REQUESTS_MAX:
            return 1
        waiting[news.call] = news
        return 0
    asked = news if news.tool else known
    waiting[news.call] = asked._replace(answered=known.answered or news.answered, refused=known.refused or news.refused)
    return 0


def ran(trace: Trace, call: int) -> bool:
    """A tool span with this call id is among the steps. Without an id nothing can be said here."""
    if call <= 0:
        return False
    pattern = call.to_bytes(4, "little")
    at = trace.steps.find(pattern)
    while at >= 0:
        start = at - _CALL_AT
        if start >= 0 and start % ROW.size == 0:
            step = ROW.unpack_from(trace.steps, start)
            if step[KIND] == TOOL and not hollow(step):
                return True
        at = trace.steps.find(pattern, at + 1)
    return False
