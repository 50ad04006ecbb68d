"""Flattened messages and tool definitions: the twin of native/src/flat.rs.

OpenInference's `{prefix}{i}.message.tool_calls.{j}.tool_call.function.name`, OpenLLMetry's `{prefix}{i}.tool_calls.{j}.name`, and the like.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from otel_ext.wire.reader import Value

# Message, group (0 content, 1 contents, 2 calls, 3 answers), place in the group, part.
Slot = tuple[int, int, int, str]
Items = Mapping[Slot, Value]

# More than nine digits are no index: no framework has a thousand million messages in a span.
_KEY: Final = re.compile(
    rb"([0-9]{1,9})\.(?:message\.)?(?:"
    rb"(content|function_call_name|function_call_arguments_json|function_call\.name|function_call\.arguments|tool_call_id)"
    rb"|contents\.([0-9]{1,9})\.message_content\.text"
    rb"|tool_calls\.([0-9]{1,9})\.(?:tool_call\.)?(?:(id)|(?:function\.)?(name|arguments)))"
)
_DECLARED: Final = re.compile(rb"[0-9]{1,9}\.(?:(?:tool\.)?(?:json_schema|name)|function\.name)")
CALL_ID: Final = "id"
CALL_NAME: Final = "name"
CALL_ARGUMENTS: Final = "arguments"
ANSWER_ID: Final = "tool_call_id"
_SINGLE: Final = {
    b"content": (0, "content"),
    b"function_call_name": (2, CALL_NAME),
    b"function_call_arguments_json": (2, CALL_ARGUMENTS),
    b"function_call.name": (2, CALL_NAME),
    b"function_call.arguments": (2, CALL_ARGUMENTS),
    b"tool_call_id": (3, ANSWER_ID),
}


def slot(rest: bytes) -> Slot | None:
    """The slot of a key, given what follows the prefix."""
    found = _KEY.fullmatch(rest)
    if found is None:
        return None
    message, single, content, call, call_id, part = found.groups()
    if single:
        group, name = _SINGLE[single]
        return int(message), group, 0, name
    if content:
        return int(message), 1, int(content), "text"
    return int(message), 2, int(call) + 1, (call_id or part).decode()


def declares(rest: bytes) -> bool:
    """Whether a key, given what follows the prefix, has a definition of a tool or its name."""
    return _DECLARED.fullmatch(rest) is not None


def texts(items: Items) -> list[Value]:
    """The texts in order: of a message with `content` only that."""
    with_content = {message for message, group, _, _ in items if group == 0}
    wanted = sorted(key for key in items if key[1] == 0 or (key[1] == 1 and key[0] not in with_content))
    return [items[key] for key in wanted]


def calls(items: Items) -> list[dict[str, Value]]:
    """The calls in order, each by part."""
    found: dict[tuple[int, int], dict[str, Value]] = {}
    for message, group, place, part in sorted(items):
        if group == 2:
            found.setdefault((message, place), {})[part] = items[message, group, place, part]
    return list(found.values())


def answers(items: Items) -> list[tuple[Value, Value]]:
    """Call ids and contents of the messages that answer, in order."""
    ids = sorted(key for key in items if key[1] == 3)
    return [(items[key], items.get((key[0], 0, 0, "content"), Value())) for key in ids]
