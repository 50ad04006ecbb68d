"""Names of the tools that a model was given, out of whatever form an instrumentation wrote them in. For values not seen before only.

Definitions of OpenAI (nested or flat), Anthropic, Gemini (`function_declarations`), Bedrock (`toolSpec`), MCP (`inputSchema`), Haystack
(`data`) and the GenAI conventions; a list of such, of JSON texts or of bare names; an object of definitions by name; names between commas.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from otel_ext.errors import MalformedPayload
from otel_ext.wire import reader
from otel_ext.wire.skim import unescape
from otel_ext.wire.table import DECLARED_ESCAPED, DECLARED_VALUE

_DEPTH_MAX: Final = 6  # definitions within definitions; also JSON texts within JSON
_VALUE_DEPTH_MAX: Final = 32
NAMES_MAX: Final = 1_024
NAME_LENGTH_MAX: Final = 256
_LISTS: Final = ("function_declarations", "functionDeclarations", "tools", "functions")
_WRAPPINGS: Final = ("function", "toolSpec", "tool", "data")
_SPACE: Final = " \t\r\n,"


def tool_names(value: bytes, how: int) -> list[str]:
    """The names in *value*, each once, in order; *how* is one of the DECLARED_* forms. What cannot be read yields nothing, and no error.

    At most NAMES_MAX names of NAME_LENGTH_MAX characters. A text that was cut off yields what is complete in it.
    """
    if how & DECLARED_ESCAPED:
        value = unescape(value)
    found = _of_value(value) if how & ~DECLARED_ESCAPED == DECLARED_VALUE else _of_text(value.decode("utf-8", "replace"), 0)
    return _distinct(found)


def _distinct(names: Iterable[str]) -> list[str]:
    found: dict[str, None] = {}
    for name in names:
        if 0 < len(name) <= NAME_LENGTH_MAX:
            found[name] = None
        if len(found) == NAMES_MAX:
            break
    return list(found)


def _of_text(text: str, depth: int) -> Iterator[str]:
    text = text.strip()
    if depth > _DEPTH_MAX or not text:
        return
    if text[0] == "[":
        for item in _items(text):
            yield from _of(item, depth + 1)
    elif text[0] in '{"':
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            return
        yield from _of(document, depth + 1)
    else:
        yield from (name for part in text.split(",") if (name := part.strip()) and name.isprintable() and " " not in name)


def _items(text: str) -> Iterator[object]:
    """The items of an array, as far as they are complete."""
    decoder = json.JSONDecoder()
    at = 1
    while True:
        while at < len(text) and text[at] in _SPACE:
            at += 1
        try:
            item, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            return
        yield item


def _of(item: object, depth: int) -> Iterator[str]:
    if depth > _DEPTH_MAX:
        return
    if isinstance(item, str):
        yield from _of_text(item, depth) if item.lstrip().startswith(("{", "[")) else iter((item.strip(),))
    elif isinstance(item, list):
        for each in item:
            yield from _of(each, depth + 1)
    elif isinstance(item, Mapping):
        yield from _of_object(item, depth)


def _of_object(item: Mapping[str, object], depth: int) -> Iterator[str]:
    """One definition, a list of them under a name, or definitions by name."""
    if isinstance(name := item.get("name"), str):
        yield name
        return
    inner = [item[key] for key in (*_WRAPPINGS, *_LISTS) if isinstance(item.get(key), Mapping | list)]
    if inner:
        for each in inner:
            yield from _of(each, depth + 1)
    elif "type" not in item and item and all(isinstance(each, Mapping) for each in item.values()):
        yield from item


def _of_value(value: bytes) -> Iterator[str]:
    """Of the members of an AnyValue."""
    values = reader.Values(value, _VALUE_DEPTH_MAX)
    try:
        whole = values.any_value(0, len(value), 1, reader.Value())
        plain = _plain(values, whole)
    except MalformedPayload:
        return
    yield from _of(plain, 0)


def _plain(values: reader.Values, value: reader.Value) -> object:
    """Strings, lists and dictionaries; other values are of no interest."""
    if value.member == reader.STRING:
        return values.decode(value)
    if value.member not in (reader.ARRAY, reader.KVLIST):
        return None
    last = [piece for piece in reader.pieces(values.payload, value.start, value.end) if piece.tag == value.member][-1]
    items = [piece for piece in reader.pieces(values.payload, last.start, last.end) if piece.tag == reader.ITEM]
    if value.member == reader.ARRAY:
        return [_plain(values, values.any_value(piece.start, piece.end, 1, reader.Value())) for piece in items]
    pairs = [values.pair(piece.start, piece.end) for piece in items]
    return {key.decode("utf-8", "replace"): _plain(values, each) for key, each in pairs}
