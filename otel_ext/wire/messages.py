"""Chat messages in a JSON text, skimmed: the twin of native/src/messages.rs, step by step.

What is read, wherever it stands in arrays and under the names in _LISTS and _OBJECTS, so that whole requests and responses are read too:

    texts     {"type": "text" | "output_text", "content" | "text"}, a `text` without a type, a `content` that is a string, strings in arrays
    requests  {"type": "tool_call", "id", "name", "arguments"}, an item of `tool_calls` (also with its `function` apart),
              {"type": "tool_use", "id", "name", "input"}, {"toolUse": {"toolUseId", "name", "input"}}, {"functionCall": {"name", "args"}},
              {"type": "function_call", "call_id", "name", "arguments"}, {"toolCallId", "toolName", "args"}, {"name", "arguments"}
    answers   {"type": "tool_call_response", "id", "response"}, {"tool_call_id", "content"},
              {"type": "tool_result", "tool_use_id", "content"}, {"toolResult": {"toolUseId", "content"}},
              {"functionResponse": {"id", "response"}}, {"type": "function_call_output", "call_id", "output"}, {"toolCallId", "output"}

Tolerant on purpose, because SDKs cut long attributes: a fault ends the reading, and what was complete by then stays. Complete is: the
`content` of a message or a string in an array with its closing quote, anything else with the closing brace of its object.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from otel_ext.wire.skim import FaultError, Json, Skim, present, string

_DEPTH_MAX: Final = 16
_RECENT: Final = 32  # requests among which one that comes twice is looked for
_LISTS: Final = frozenset(
    [b"parts", b"content", b"contents", b"messages", b"choices", b"candidates", b"generations", b"replies", b"blocks"]
)
_PARTS: Final = frozenset([b"parts", b"content", b"contents", b"blocks"])
_CONTENTS: Final = (b"content", b"contents", b"blocks", b"parts")
_OBJECTS: Final = frozenset([b"message", b"kwargs", b"content", b"data"])
_CALLS: Final = frozenset([b"function", b"function_call", b"functionCall", b"toolUse", b"tool_call"])
_ANSWERS: Final = frozenset([b"functionResponse", b"function_response", b"toolResult", b"tool_call_result"])
_SLOTS: Final = {
    **{key: key for key in (b"type", b"content", b"text", b"id", b"tool_call_id", b"response", b"result", b"output", b"refusal", b"audio")},
    **dict.fromkeys((b"call_id", b"toolCallId", b"toolUseId", b"tool_use_id"), b"call_id"),
    **dict.fromkeys((b"name", b"toolName", b"tool_name"), b"name"),
    **dict.fromkeys((b"arguments", b"args"), b"arguments"),
    b"input": b"input",
}
_CALL_TYPES: Final = frozenset([b"tool_call", b"tool_use", b"tool-call", b"function_call", b"function"])
_ANSWER_TYPES: Final = frozenset([b"tool_call_response", b"tool_result", b"tool-result", b"function_call_output"])
_TEXT_TYPES: Final = frozenset([b"text", b"output_text"])
_SILENT_TYPES: Final = frozenset([b"reasoning", b"thinking", b"redacted_thinking"])
_RESPONSES: Final = (b"response", b"result", b"output", b"content")  # the first that is there
# An answer has one of these in it.
GUARDS: Final = (b'"tool', b'"function', b'"call_id"')

Slots = dict[bytes, Json]


class Request(NamedTuple):
    """A tool call the model asked for."""

    name: Json | None
    id: Json | None
    arguments: Json | None


class Answer(NamedTuple):
    """An answer to a tool call, as a later model call was given it."""

    id: Json | None
    response: bytes


class _Object:
    """What was seen of an object: its slots, those of a call and of an answer inside of it, and whether anything of it is known."""

    def __init__(self) -> None:
        self.slots: Slots = {}
        self.call: Slots | None = None
        self.answer: Slots | None = None
        self.builtin = False  # a call that the provider executed itself
        self.known = self.told = False  # told: its text was taken, or was inside of it


class Messages:
    """What one JSON text holds: texts and requests with *outputs*, else answers.

    `whole`: it was read to its end, and nothing in it may be an output of a kind that is not read here.
    """

    def __init__(self, json: bytes, *, outputs: bool) -> None:
        self.outputs = outputs
        self.texts: list[bytes] = []
        self.requests: list[Request] = []
        self.answers: list[Answer] = []
        self.whole = False
        self._strange = False
        self._skim = Skim(json)
        try:
            end = self._skim.blanks(self._document())
            self.whole = end == len(json) and not self._strange
        except FaultError:
            return

    def _document(self) -> int:
        skim = self._skim
        at = skim.blanks(0)
        first = skim.byte(at)
        if first in (b"{", b"[", b'"'):
            return self._value(at, 0, part=False)
        if skim.json[at:].rstrip(b" \t\n\r") != b"null":
            self._text(skim.json)
        return len(skim.json)

    def _text(self, raw: bytes) -> None:
        if self.outputs:
            self.texts.append(raw)

    def _string(self, at: int) -> int:
        slots: Slots = {}
        end = self._skim.take(b"", at, slots)
        self._text(slots[b""].raw)
        return end

    def _value(self, at: int, depth: int, *, part: bool, call: bool = False) -> int:
        first = self._skim.byte(at)
        if depth > _DEPTH_MAX:
            return self._skim.skip(at)
        if first == b"{":
            return self._object(at, depth, part=part, call=call)
        if first == b"[":
            return self._skim.items(at, lambda item: self._value(item, depth + 1, part=part, call=call))
        return self._string(at) if first == b'"' and not call else self._skim.skip(at)

    def _object(self, at: int, depth: int, *, part: bool, call: bool) -> int:
        one = _Object()
        end = self._skim.members(at, lambda key, at: self._member(one, key, at, depth, part=part))
        self._close(one, part=part, call=call)
        return end

    def _member(self, one: _Object, key: bytes, at: int, depth: int, *, part: bool) -> int:
        skim = self._skim
        first = skim.byte(at)
        top = depth == 0 and key == b"output" and b"type" not in one.slots
        descends = (first == b"[" and (key in _LISTS or top)) or (first == b"{" and (key in _OBJECTS or top))
        if descends and _type(one.slots) not in _ANSWER_TYPES:
            end = self._value(at, depth + 1, part=key in _PARTS and first == b"[")
            if key in _CONTENTS:
                one.slots[b"content"] = Json(skim.json[at:end], False)
            one.known = one.told = True
            return end
        if key == b"tool_calls":
            one.known = True
            return self._value(at, depth + 1, part=True, call=True) if first == b"[" and self.outputs else skim.skip(at)
        if first == b"{" and key == b"additional_kwargs":
            beside, end = self._inner(at)
            if b"tool_call_id" in beside:
                one.slots.setdefault(b"tool_call_id", beside[b"tool_call_id"])
            return end
        if key == b"builtin":
            end = skim.skip(at)
            one.builtin = skim.json[at:end] == b"true"
            return end
        if first == b"{" and (key in _CALLS or key in _ANSWERS):
            inner = self._inner(at)
            if key in _CALLS:
                one.call = inner[0]
            else:
                one.answer = inner[0]
            return inner[1]
        return self._slot(one, key, at, part=part)

    def _slot(self, one: _Object, key: bytes, at: int, *, part: bool) -> int:
        slot = _SLOTS.get(key)
        if slot is None:
            return self._skim.skip(at)
        end = self._skim.take(slot, at, one.slots)
        if slot == b"content":
            one.known = True
            kind = _type(one.slots)
            telling = kind in _TEXT_TYPES if part else kind not in _SILENT_TYPES and kind not in _ANSWER_TYPES
            if telling and one.slots[slot].is_string:
                one.told = True
                self._text(one.slots[slot].raw)
        return end

    def _inner(self, at: int) -> tuple[Slots, int]:
        skim = self._skim
        slots: Slots = {}

        def take(key: bytes, at: int) -> int:
            slot = _SLOTS.get(key)
            return skim.skip(at) if slot is None else skim.take(slot, at, slots)

        def member(key: bytes, at: int) -> int:
            return skim.members(at, take) if key == b"origin" and skim.byte(at) == b"{" else take(key, at)

        return slots, skim.members(at, member)

    def _close(self, one: _Object, *, part: bool, call: bool) -> None:
        """Decides what a complete object was."""
        slots = one.slots
        kind = _type(slots)
        has_result = any(key in slots for key in _RESPONSES)
        apart = kind is None and b"call_id" in slots
        if one.builtin:
            return
        if one.call is not None or call or kind in _CALL_TYPES or (kind is None and not has_result and _is_call(slots)):
            self._request({**slots, **(one.call or {})})
        elif one.answer is not None:
            self._answer(one.answer)
        elif kind in _ANSWER_TYPES or (apart and has_result):
            self._answer(slots, always=kind == b"tool_call_response")
        elif present(slots.get(b"tool_call_id")) is not None:
            content = slots.get(b"content")
            self._answered(slots[b"tool_call_id"], content.raw if content else b"")
        else:
            self._tell(one, kind, part=part)

    def _tell(self, one: _Object, kind: bytes | None, *, part: bool) -> None:
        slots = one.slots
        if any(present(slots.get(key)) is not None for key in (b"refusal", b"audio")):
            self._strange = True
        if one.told or kind in _SILENT_TYPES:
            return
        text = string(slots.get(b"text"))
        if kind in _TEXT_TYPES:
            text = string(slots.get(b"content")) or text
        if text is not None and (kind is None or kind in _TEXT_TYPES):
            self._text(text.raw)
        elif part or not one.known:
            self._strange = True

    def _request(self, slots: Slots) -> None:
        if not self.outputs:
            return
        id_ = present(slots.get(b"call_id")) or present(slots.get(b"id"))
        if id_ is None or not id_.raw or id_ not in [request.id for request in self.requests[-_RECENT:]]:
            arguments = slots.get(b"arguments") or slots.get(b"input")
            self.requests.append(Request(string(slots.get(b"name")), id_, present(arguments)))

    def _answer(self, slots: Slots, *, always: bool = False) -> None:
        id_ = present(slots.get(b"call_id")) or present(slots.get(b"id"))
        response = next((slots[key].raw for key in _RESPONSES if key in slots), b"")
        if id_ is not None or always:
            self._answered(id_, response)

    def _answered(self, id_: Json | None, response: bytes) -> None:
        if not self.outputs:
            self.answers.append(Answer(id_, response))


def _type(slots: Slots) -> bytes | None:
    kind = string(slots.get(b"type"))
    return kind.raw if kind else None


def _is_call(slots: Slots) -> bool:
    """Whether an object without a type and without a result is a call: it has a name, and arguments or the id of a call."""
    return string(slots.get(b"name")) is not None and (b"arguments" in slots or b"call_id" in slots)
