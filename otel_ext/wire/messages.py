"""Chat messages in a JSON string, skimmed: the twin of native/src/messages.rs, step by step.

Two shapes: `[{"role", "parts": [{"type": "text" | "tool_call" | "tool_call_response", ..}]}]` and OpenAI's
`{"role", "content", "tool_calls": [{"id", "function": {"name", "arguments"}}], "tool_call_id"}`.

Tolerant on purpose, because SDKs cut long attributes: a fault ends the reading, and what was complete by then stays. Complete is: a text
with its closing quote, a part or a tool call with its closing brace, an OpenAI answer with the brace of its message.
"""

from __future__ import annotations

from typing import NamedTuple

from otel_ext.wire.skim import FaultError, Json, Skim, present, string


class Request(NamedTuple):
    """A tool call the model asked for."""

    name: Json | None
    id: Json | None
    arguments: Json | None


class Answer(NamedTuple):
    """An answer to a tool call, as a later model call was given it."""

    id: Json | None
    response: bytes


class Messages:
    """What one JSON text holds: texts and requests with *outputs*, else answers."""

    def __init__(self, json: bytes, *, outputs: bool) -> None:
        self.outputs = outputs
        self.texts: list[bytes] = []
        self.requests: list[Request] = []
        self.answers: list[Answer] = []
        self._skim = Skim(json)
        try:
            self._document()
        except FaultError:
            return

    def _document(self) -> None:
        at = self._skim.blanks(0)
        first = self._skim.byte(at)
        if first == b"[":
            self._skim.items(at, self._message)
        elif first == b"{":
            self._message(at)

    def _message(self, at: int) -> int:
        skim = self._skim
        if skim.byte(at) != b"{":
            return skim.skip(at)
        slots: dict[bytes, Json] = {}

        def member(key: bytes, at: int) -> int:
            first = skim.byte(at)
            if key in (b"parts", b"content") and first == b"[":
                end = skim.items(at, self._part)
                if key == b"content":
                    slots[key] = Json(skim.json[at:end], False)
                return end
            if key == b"content":
                end = skim.take(key, at, slots)
                if self.outputs and slots[key].is_string:
                    self.texts.append(slots[key].raw)
                return end
            if key == b"tool_calls" and first == b"[" and self.outputs:
                return skim.items(at, self._tool_call)
            return skim.take(key, at, slots) if key == b"tool_call_id" else skim.skip(at)

        end = skim.members(at, member)
        call_id = present(slots.get(b"tool_call_id"))
        if not self.outputs and call_id is not None:
            content = slots.get(b"content")
            self.answers.append(Answer(call_id, content.raw if content else b""))
        return end

    def _part(self, at: int) -> int:
        skim = self._skim
        if skim.byte(at) != b"{":
            return skim.skip(at)
        slots: dict[bytes, Json] = {}
        wanted = (b"type", b"content", b"text", b"id", b"name", b"arguments", b"response", b"result")
        end = skim.members(at, lambda key, at: skim.take(key, at, slots) if key in wanted else skim.skip(at))
        kind = string(slots.get(b"type"))
        if kind is None:
            return end
        if kind.raw == b"text" and self.outputs:
            text = string(slots.get(b"content")) or string(slots.get(b"text"))
            if text is not None:
                self.texts.append(text.raw)
        elif kind.raw == b"tool_call" and self.outputs:
            self.requests.append(_request(slots))
        elif kind.raw == b"tool_call_response" and not self.outputs:
            response = slots.get(b"response") or slots.get(b"result")
            self.answers.append(Answer(present(slots.get(b"id")), response.raw if response else b""))
        return end

    def _tool_call(self, at: int) -> int:
        skim = self._skim
        if skim.byte(at) != b"{":
            return skim.skip(at)
        slots: dict[bytes, Json] = {}

        def function(key: bytes, at: int) -> int:
            return skim.take(key, at, slots) if key in (b"name", b"arguments") else skim.skip(at)

        def member(key: bytes, at: int) -> int:
            if key == b"function" and skim.byte(at) == b"{":
                return skim.members(at, function)
            return skim.take(key, at, slots) if key in (b"id", b"name", b"arguments") else skim.skip(at)

        end = skim.members(at, member)
        self.requests.append(_request(slots))
        return end


def _request(slots: dict[bytes, Json]) -> Request:
    return Request(string(slots.get(b"name")), present(slots.get(b"id")), present(slots.get(b"arguments")))
