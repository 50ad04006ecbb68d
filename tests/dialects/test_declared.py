"""Names of declared tools, out of every form."""

from __future__ import annotations

import json

import pytest

from otel_ext.dialects.declared import NAMES_MAX, tool_names
from otel_ext.wire import encode
from otel_ext.wire.table import DECLARED_ESCAPED, DECLARED_JSON, DECLARED_ONE, DECLARED_VALUE

SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}, "type": {"type": "string", "description": "a name"}}}


@pytest.mark.parametrize(
    "value",
    [
        [{"type": "function", "name": "search", "parameters": SCHEMA}, {"name": "book"}],
        [{"type": "function", "function": {"name": "search", "parameters": SCHEMA}}, {"type": "function", "function": {"name": "book"}}],
        [{"name": "search", "input_schema": SCHEMA}, {"name": "book", "input_schema": {}}],
        [{"name": "search", "parameters_json_schema": SCHEMA}, {"name": "book"}],
        [{"function_declarations": [{"name": "search", "parameters": SCHEMA}, {"name": "book"}]}],
        [{"functionDeclarations": [{"name": "search"}]}, {"functionDeclarations": [{"name": "book"}]}],
        [{"toolSpec": {"name": "search", "inputSchema": {"json": SCHEMA}}}, {"toolSpec": {"name": "book"}}],
        {"tools": [{"name": "search", "inputSchema": SCHEMA}, {"name": "book", "inputSchema": {}}]},
        [{"type": "haystack.tools.tool.Tool", "data": {"name": "search", "parameters": SCHEMA}}, {"type": "x", "data": {"name": "book"}}],
        {"search": {"description": "d", "parameters": SCHEMA}, "book": {}},
        ["search", "book"],
        [json.dumps({"type": "function", "name": "search"}), json.dumps({"type": "function", "name": "book"})],
        [{"name": "search"}, {"name": "search"}, {"name": "book"}],
    ],
)
def test_every_shape(value: object) -> None:
    """The names, each once, in order; a parameter called `name` is none."""
    assert tool_names(json.dumps(value).encode(), DECLARED_JSON) == ["search", "book"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('{"type": "function", "function": {"name": "search"}}', ["search"]),
        ("search", ["search"]),
        ("travel-search, travel-book", ["travel-search", "travel-book"]),
        ("a description in words", []),
        ("", []),
        ("{", []),
        ('[{"type": "web_search_preview"}]', []),
        ("[1, null, true]", []),
    ],
)
def test_one_definition_or_name(text: str, names: list[str]) -> None:
    """What is no name yields nothing."""
    assert tool_names(text.encode(), DECLARED_ONE) == names


def test_what_was_cut_off_keeps_what_is_complete() -> None:
    """SDKs cut long attributes."""
    text = json.dumps([{"name": "search", "parameters": SCHEMA}, {"name": "book", "parameters": SCHEMA}])
    assert tool_names(text[:-20].encode(), DECLARED_JSON) == ["search"]


def test_inside_of_a_json_string() -> None:
    """With its escapes."""
    inside = json.dumps(json.dumps([{"name": "search"}]))[1:-1]
    assert tool_names(inside.encode(), DECLARED_JSON | DECLARED_ESCAPED) == ["search"]


@pytest.mark.parametrize("value", [["search", "book"], ['{"name": "search"}', '{"function": {"name": "book"}}']])
def test_arrays_of_strings(value: list[str]) -> None:
    """An attribute that is an array."""
    assert tool_names(encode.any_value(value), DECLARED_VALUE) == ["search", "book"]


@pytest.mark.parametrize("value", [b"\x2a\x7f", b"\xff" * 9, b"", encode.any_value("x" * 3)[:-1]])
def test_bytes_that_are_no_value(value: bytes) -> None:
    """Nothing, and no error."""
    assert tool_names(value, DECLARED_VALUE) == []


def test_bounds() -> None:
    """However much is declared, and however deep."""
    assert len(tool_names(json.dumps([f"tool{n}" for n in range(5_000)]).encode(), DECLARED_JSON)) == NAMES_MAX
    assert tool_names(b"[" * 100_000, DECLARED_JSON) == []
    assert tool_names(json.dumps(["x" * 300, "book"]).encode(), DECLARED_JSON) == ["book"]
