"""Spans for tests, from plain values of any depth."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from otel_ext.wire import encode
from otel_ext.wire.encode import delimited, varint


def anything(value: Any) -> bytes:
    """The members of an AnyValue, with arrays and maps as deep as they go; None is an empty one."""
    if isinstance(value, dict):
        return delimited(
            6, b"".join(delimited(1, delimited(1, key.encode()) + delimited(2, anything(item))) for key, item in value.items())
        )
    if isinstance(value, list):
        return delimited(5, b"".join(delimited(1, anything(item)) for item in value))
    if isinstance(value, bytes):
        return delimited(7, value)
    return b"" if value is None else encode.any_value(value)


def attribute(key: str, value: Any, number: int = 9) -> bytes:
    """A tagged attribute of a span (9), or of an event or a scope (3)."""
    return delimited(number, delimited(1, key.encode()) + delimited(2, anything(value)))


def event(name: str, attributes: dict[str, Any], *, name_last: bool = False) -> bytes:
    """A Span.events field."""
    parts = [delimited(2, name.encode()), b"".join(attribute(key, value, 3) for key, value in attributes.items())]
    return delimited(11, b"".join(reversed(parts) if name_last else parts))


def span(
    own: int,
    attributes: dict[str, Any],
    *events: bytes,
    parent: int = 0,
    name: str = "n",
    end: int = 2,
    trace: int = 1,
    kind: int = 1,
    dropped: tuple[int, int] = (0, 0),
) -> bytes:
    """A span whose ids are one byte, repeated; *dropped* are attributes and events."""
    parts = [attribute(key, value) for key, value in attributes.items()]
    parts += [*events, b"\x50" + varint(dropped[0]), b"\x60" + varint(dropped[1])]
    parent_id = bytes([parent]) * 8 if parent else b""
    return encode.span(bytes([trace]) * 16, bytes([own]) * 8, parent_id, name, 1, end, {}, kind, extra=parts)


def request(*spans: bytes, scope: str = "", service: str = "") -> bytes:
    """One resource, one scope."""
    return encode.request({"service.name": service} if service else {}, scope, "", spans)


def scopes(*contents: tuple[str, Sequence[bytes]]) -> bytes:
    """One resource, several scopes."""
    parts = [
        delimited(2, delimited(1, delimited(1, name.encode())) + b"".join(delimited(2, one) for one in spans)) for name, spans in contents
    ]
    return delimited(1, b"".join(parts))


CHAT = {"gen_ai.operation.name": "chat"}
TOOL = {"gen_ai.operation.name": "execute_tool"}
AGENT = {"gen_ai.operation.name": "invoke_agent"}
CALL = {"mcp.method.name": "tools/call", "gen_ai.tool.name": "search"}


def double(number: float) -> bytes:
    """A double as it stands in an AnyValue."""
    return b"\x21" + struct.pack("<d", number)
