"""The text an assistant showed, from a recorded output: a plain string, or the JSON of messages in the shapes that SDKs record.

Known shapes: OTel GenAI messages with parts, OpenAI choices and responses, Anthropic content blocks, Gemini candidates, LangChain
generations and message lists, or a string in JSON. Reasoning, tool calls and their results, and whatever stands before the user's last
word, are left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Final, TypeAlias

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"

LIMIT: Final = 256 * 1024  # bytes that are read as JSON; of a longer value only the end is looked at
DEPTH: Final = 16

_SPOKEN: Final = frozenset({"assistant", "ai", "model", "agent", "bot", "AIMessage", "AIMessageChunk"})
_OTHERS: Final = frozenset({"user", "human", "system", "developer", "tool", "function", "HumanMessage", "SystemMessage", "ToolMessage"})
_USERS: Final = frozenset({"user", "human", "HumanMessage"})
_HIDDEN: Final = re.compile(r"tool|function|reasoning|thinking|thought|image|audio|file|blob|uri", re.IGNORECASE)
# The first that is there holds the text; of those that only lead to it, all are followed.
_TEXTS: Final = ("parts", "content", "text", "output_text")
_LEADS: Final = ("message", "messages", "choices", "candidates", "generations", "output", "outputs", "kwargs", "response", "final_output")
_CUT: Final = re.compile(r'"(?:content|text)"\s{0,8}:\s{0,8}"((?:[^"\\]|\\.)*)')
_ESCAPE: Final = re.compile(r'\\(?:u[0-9a-fA-F]{4}|["\\/bfnrt])')


def texts_of(value: bytes) -> str:
    """The visible text of the assistant in *value*, the bytes of an output attribute; parts are joined by newlines."""
    text = value[-LIMIT:].decode("utf-8", "replace")
    if text.lstrip()[:1] not in ("{", "[", '"'):
        return text
    try:
        shown = _shown(json.loads(text), 0)
    except (ValueError, RecursionError):
        return _of_cut_json(text)
    return text if shown is None else shown


def _shown(value: Json, depth: int) -> str | None:
    """The text in *value*; None where no known shape is in it."""
    if isinstance(value, str):
        return value
    if depth > DEPTH or not isinstance(value, (dict, list)):
        return None
    return _joined(_latest(value), depth) if isinstance(value, list) else _of_object(value, depth)


def _joined(values: Sequence[Json], depth: int) -> str | None:
    found = [text for value in values if (text := _shown(value, depth + 1)) is not None]
    return "\n".join(filter(None, found)) if found or not values else None


def _latest(values: list[Json]) -> list[Json]:
    """What comes after the user's last message: an output may hold the whole conversation."""
    last = max((at for at, value in enumerate(values) if isinstance(value, dict) and _role(value) in _USERS), default=-1)
    return values[last + 1 :]


def _role(message: dict[str, Json]) -> str:
    role = message.get("role") or message.get("type")
    return role if isinstance(role, str) else ""


def _of_object(value: dict[str, Json], depth: int) -> str | None:
    kind = value.get("type")
    if _role(value) in _OTHERS or value.get("thought") is True:
        return ""
    if isinstance(kind, str) and kind not in _SPOKEN and _HIDDEN.search(kind):
        return ""
    for key in _TEXTS:
        if isinstance(value.get(key), (str, list)):
            return _shown(value[key], depth + 1)
    if isinstance(value.get("content"), dict):
        return _shown(value["content"], depth + 1)
    leads = [value[key] for key in _LEADS if value.get(key) is not None]
    if leads:
        return _joined(leads, depth)
    return "" if _HIDDEN.search(" ".join(value)) or _role(value) in _SPOKEN else None


def _of_cut_json(text: str) -> str:
    """Of JSON that was cut, the texts that can be made out; of what is no JSON, all of it."""
    parts = [part for part in _CUT.finditer(text) if not _hidden_before(text, part.start())]
    if not parts and not re.match(r'\s*[\[{]\s*[{"]', text):
        return text
    return "\n".join(_unescaped(part[1]) for part in parts)


def _hidden_before(text: str, at: int) -> bool:
    """The object that a text stands in says before it that it is no visible text."""
    start = max(text.rfind("{", max(0, at - 300), at), at - 300, 0)
    kind = re.search(r'"(?:type|role)"\s{0,8}:\s{0,8}"(\w{1,40})"', text[start:at])
    return kind is not None and (kind[1] in _OTHERS or (kind[1] not in _SPOKEN and _HIDDEN.search(kind[1]) is not None))


def _unescaped(raw: str) -> str:
    return _ESCAPE.sub(lambda escape: str(json.loads(f'"{escape[0]}"')), raw)
