"""Chat messages in a JSON string, skimmed: the twin of native/src/messages.rs, step by step.

Two shapes: `[{"role", "parts": [{"type": "text" | "tool_call" | "tool_call_response", ..}]}]` and OpenAI's
`{"role", "content", "tool_calls": [{"id", "function": {"name", "arguments"}}], "tool_call_id"}`.

Tolerant on purpose, because SDKs cut long attributes: a fault ends the reading, and what was complete by then stays. Complete is: a text
with its closing quote, a part or a tool call with its closing brace, an OpenAI answer with the brace of its message.
Commas count as blanks. A value that is skipped may nest 64 brackets deep; which bracket closes which is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

_DEPTH_MAX: Final = 64

_BLANKS: Final = re.compile(rb"[ \t\n\r]*+")
_SEPARATORS: Final = re.compile(rb"[ \t\n\r,]*+")
_STRING_REST: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_SCALAR: Final = re.compile(rb'[^,\]}\[{": \t\n\r]++')
_BRACKET_OR_QUOTE: Final = re.compile(rb'["{}\[\]]')
_ESCAPE: Final = re.compile(rb'\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(["\\/bfnrt]))')
_PLAIN: Final = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}


class Json(NamedTuple):
    """A JSON value as it is on the wire; for a string what is between the quotes, still escaped."""

    raw: bytes
    is_string: bool


class Request(NamedTuple):
    """A tool call the model asked for."""

    name: Json | None
    id: Json | None
    arguments: Json | None


class Answer(NamedTuple):
    """An answer to a tool call, as a later model call was given it."""

    id: Json | None
    response: bytes


class _FaultError(Exception):
    """The JSON cannot be read further."""


class Messages:
    """What one JSON text holds: texts and requests with *outputs*, else answers."""

    def __init__(self, json: bytes, *, outputs: bool) -> None:
        self.outputs = outputs
        self.texts: list[bytes] = []
        self.requests: list[Request] = []
        self.answers: list[Answer] = []
        self._skim = _Skim(json)
        try:
            self._document()
        except _FaultError:
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
        call_id = _present(slots.get(b"tool_call_id"))
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
        kind = _string(slots.get(b"type"))
        if kind is None:
            return end
        if kind.raw == b"text" and self.outputs:
            text = _string(slots.get(b"content")) or _string(slots.get(b"text"))
            if text is not None:
                self.texts.append(text.raw)
        elif kind.raw == b"tool_call" and self.outputs:
            self.requests.append(_request(slots))
        elif kind.raw == b"tool_call_response" and not self.outputs:
            response = slots.get(b"response") or slots.get(b"result")
            self.answers.append(Answer(_present(slots.get(b"id")), response.raw if response else b""))
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


def _present(value: Json | None) -> Json | None:
    return None if value == Json(b"null", False) else value


def _string(value: Json | None) -> Json | None:
    return value if value is not None and value.is_string else None


def _request(slots: dict[bytes, Json]) -> Request:
    return Request(_string(slots.get(b"name")), _present(slots.get(b"id")), _present(slots.get(b"arguments")))


class _Skim:
    """Positions in a JSON text: every function takes one and gives the one after what it read, or raises _FaultError."""

    def __init__(self, json: bytes) -> None:
        self.json = json

    def byte(self, at: int) -> bytes:
        if at >= len(self.json):
            raise _FaultError
        return self.json[at : at + 1]

    def _match(self, pattern: re.Pattern[bytes], at: int) -> int:
        found = pattern.match(self.json, at)
        if found is None:
            raise _FaultError
        return found.end()

    def blanks(self, at: int) -> int:
        return self._match(_BLANKS, at)

    def skip(self, at: int) -> int:
        first = self.byte(at)
        if first == b'"':
            return self._match(_STRING_REST, at + 1)
        return self._container(at) if first in (b"{", b"[") else self._match(_SCALAR, at)

    def _container(self, at: int) -> int:
        depth = 0
        while True:
            found = _BRACKET_OR_QUOTE.search(self.json, at)
            if found is None:
                raise _FaultError
            at = found.end()
            if found[0] == b'"':
                at = self._match(_STRING_REST, at)
            elif found[0] in b"{[":
                depth += 1
                if depth > _DEPTH_MAX:
                    raise _FaultError
            else:
                depth -= 1
                if depth == 0:
                    return at

    def take(self, key: bytes, at: int, slots: dict[bytes, Json]) -> int:
        end = self.skip(at)
        is_string = self.byte(at) == b'"'
        slots[key] = Json(self.json[at + 1 : end - 1] if is_string else self.json[at:end], is_string)
        return end

    def items(self, at: int, item: Callable[[int], int]) -> int:
        at += 1
        while True:
            at = self._match(_SEPARATORS, at)
            if self.byte(at) == b"]":
                return at + 1
            at = item(at)

    def members(self, at: int, member: Callable[[bytes, int], int]) -> int:
        at += 1
        while True:
            at = self._match(_SEPARATORS, at)
            first = self.byte(at)
            if first == b"}":
                return at + 1
            if first != b'"':
                raise _FaultError
            end = self._match(_STRING_REST, at + 1)
            key = self.json[at + 1 : end - 1]
            at = self.blanks(end)
            if self.byte(at) != b":":
                raise _FaultError
            at = member(key, self.blanks(at + 1))


def unescape(raw: bytes) -> bytes:
    """The text of a JSON string. A lone surrogate becomes U+FFFD, an unknown escape stays as it is."""
    return _ESCAPE.sub(_plain, raw)


def _plain(escape: re.Match[bytes]) -> bytes:
    high, low, unit, letter = escape.groups()
    if high:
        return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00).encode()
    if unit:
        code = int(unit, 16)
        return "\ufffd".encode() if 0xD800 <= code <= 0xDFFF else chr(code).encode()
    return _PLAIN.get(letter, letter)
