"""What a framework wraps around a tool's result before it writes it down: the twin of native/src/envelope.rs.

A chat message with the call's id, `{"type": "tool", "data": {"content": .., "tool_call_id": .., "status": ..}}`, also without the `data` or
with `kwargs` in its place; or a result as MCP has it, `{"content": [..], "isError": true}`. As tolerant of a cut text as `messages.py`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final, NamedTuple

from otel_ext.wire.skim import FaultError, Json, Skim, present

_GUARDS: Final = (b"tool_call_id", b'rror"')  # one of them is in every envelope that tells something
_NESTED: Final = (b"data", b"kwargs")
_ERRORS: Final = (b"isError", b"is_error")
_WANTED: Final = (b"content", b"tool_call_id", b"status", *_ERRORS)

Level = dict[bytes, Json]


class Envelope(NamedTuple):
    """A result without its envelope. Where there is a call id, `content` is what the tool said."""

    call_id: Json | None
    content: Json | None
    error: bool


def read(json: bytes) -> Envelope | None:
    """None where *json* is no envelope at first sight."""
    if not json.startswith(b"{") or not any(guard in json for guard in _GUARDS):
        return None
    skim = Skim(json)
    outer: Level = {}
    inner: Level = {}

    def take(key: bytes, at: int, level: Level) -> int:
        return skim.take(key, at, level) if key in _WANTED else skim.skip(at)

    def member(key: bytes, at: int) -> int:
        if key in _NESTED and skim.byte(at) == b"{":
            return skim.members(at, lambda key, at: take(key, at, inner))
        return take(key, at, outer)

    with suppress(FaultError):
        skim.members(0, member)
    error = any(level.get(key) == Json(b"true", False) for level in (outer, inner) for key in _ERRORS)
    level = outer if _has_call_id(outer) else inner
    if not _has_call_id(level):
        return Envelope(None, None, error)
    return Envelope(level[b"tool_call_id"], level.get(b"content"), error or level.get(b"status") == Json(b"error", True))


def _has_call_id(level: Level) -> bool:
    call_id = present(level.get(b"tool_call_id"))
    return call_id is not None and call_id.raw != b""
