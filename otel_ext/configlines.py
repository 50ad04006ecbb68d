"""A YAML text -> its values, and the line of each of its keys. The only room that knows the YAML library."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import yaml

from otel_ext.errors import ConfigError

_BADLY_TAGGED: Final = (AttributeError, KeyError, IndexError, TypeError, ValueError)  # what the library's constructors let through
_MERGE: Final = "tag:yaml.org,2002:merge"


class Origins:
    """Where the value at a path was said: a line of the file, or a variable of the environment. `twice` holds a fault a repeated key."""

    def __init__(self) -> None:
        self.twice: list[str] = []
        self._lines: dict[str, int] = {}
        self._names: dict[str, str] = {}

    def at_line(self, path: str, line: int) -> None:
        """The key at *path* stands in *line*, counted from 1. What a merged mapping says does not hide what is said beside it."""
        self._lines.setdefault(path, line)

    def from_variable(self, path: str, name: str) -> None:
        """The environment variable *name* says what is at *path*."""
        self._names[path] = name

    def line(self, path: str) -> int:
        """The line of the key, or of the section that it is missing in; 0 where the file names neither."""
        while path and path not in self._lines:
            path = parent(path)
        return self._lines.get(path, 0)

    def told(self, path: str) -> str:
        """` (line 4)`, ` (from OTEL_EXT_...)`, or nothing."""
        if path in self._names:
            return f" (from {self._names[path]})"
        line = self.line(path)
        return f" (line {line})" if line else ""


def parse(text: str, origins: Origins) -> dict[str, Any]:
    """The mapping that *text* holds; fills *origins*. Raises ConfigError where it is not YAML, or no mapping."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        tree = {} if node is None else _checked(node, origins)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        raise ConfigError([f"{where}not valid YAML: {getattr(error, 'problem', None) or 'unreadable'}"]) from None
    except _BADLY_TAGGED:
        raise ConfigError(["not valid YAML: a value does not fit its tag (such as !!int)"]) from None
    if tree is not None and not isinstance(tree, dict):
        kind = "list" if isinstance(tree, list) else "single value"
        raise ConfigError([f"the file holds a {kind}, a mapping of sections is needed"])
    return tree or {}


def scalar(text: str) -> Any:
    """*text* with the type it would have as a YAML value: number, true or false, else the text itself."""
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, *_BADLY_TAGGED):
        return text
    return value if isinstance(value, bool | int | float) else text


def join(path: str, key: object) -> str:
    """The path of *key* in the section at *path*."""
    return f"{path}.{key}" if path else str(key)


def parent(path: str) -> str:
    """The path of what holds *path*: `a.b[1]` is in `a.b`, that in `a`, that in the whole ("")."""
    return path[: max(path.rfind("."), path.rfind("["), 0)]


def _checked(node: yaml.Node, origins: Origins) -> Any:
    origins.twice += _walk(node, "", origins, ())
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _walk(node: yaml.Node, path: str, origins: Origins, above: tuple[yaml.Node, ...]) -> Iterator[str]:
    """Fills *origins* from *node*; yields what is wrong with its keys."""
    if node in above:
        raise ConfigError([f"{path}: is an alias of what it stands in (line {_line(node)})"])
    if isinstance(node, yaml.MappingNode):
        yield from _mapping(node, path, origins, (*above, node))
    elif isinstance(node, yaml.SequenceNode):
        for index, inner in enumerate(node.value):
            origins.at_line(f"{path}[{index}]", _line(inner))
            yield from _walk(inner, f"{path}[{index}]", origins, (*above, node))


def _mapping(node: yaml.MappingNode, path: str, origins: Origins, above: tuple[yaml.Node, ...]) -> Iterator[str]:
    lines: dict[str, int] = {}
    for key, inner in node.value:
        if key.tag == _MERGE:
            continue
        where = join(path, key.value)
        line = _line(key)
        if where in lines:
            yield f"{where}: is there twice, in lines {lines[where]} and {line}; the first would be ignored"
        lines[where] = line
        origins.at_line(where, line)
        yield from _walk(inner, where, origins, above)
    for key, inner in node.value:
        if key.tag == _MERGE:
            for each in inner.value if isinstance(inner, yaml.SequenceNode) else [inner]:
                yield from _walk(each, path, origins, above)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
