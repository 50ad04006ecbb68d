"""YAML and environment -> Settings. Every fault is collected, with its path and what would be right; nothing is guessed.

`${env:NAME}` and `${env:NAME:-default}` are replaced inside strings as the OpenTelemetry Collector does;
`OTEL_EXT_SECTION__KEY=value` overrides one scalar of the file.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlsplit

from otel_ext.configlines import Origins, join, parse, scalar
from otel_ext.errors import ConfigError
from otel_ext.settings import NS_PER_S, Address, Choice, Duration, Pattern, Range, Settings, Url

ENV_PREFIX = "OTEL_EXT_"
# Variables of ours that are no settings.
ENV_RESERVED = frozenset({"OTEL_EXT_CODEC"})

_ENV = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_DURATION = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)(ns|us|ms|s|m|h|d)")
_UNIT_NS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": NS_PER_S, "m": 60 * NS_PER_S, "h": 3_600 * NS_PER_S, "d": 86_400 * NS_PER_S}


class Fault(NamedTuple):
    """What is wrong with the value at `path`, and what would be right."""

    path: str
    what: str


Faults = list[Fault]


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and what they were made of: `written` is the file before the environment came in."""

    settings: Settings
    written: Mapping[str, Any]
    origins: Origins


def load(text: str, environ: Mapping[str, str]) -> Settings:
    """Settings from YAML *text* and *environ*; raises ConfigError with one entry a fault."""
    return read(text, environ).settings


def read(text: str, environ: Mapping[str, str]) -> Loaded:
    """The same, with where each value came from."""
    origins = Origins()
    written = parse(text, origins)
    return Loaded(_settings(written, environ, origins), written, origins)


def build(sections: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """Settings from *sections*, nested as in the file, and *environ*; raises ConfigError with one entry a fault."""
    return _settings(sections, environ, Origins())


def _settings(sections: Mapping[str, Any], environ: Mapping[str, str], origins: Origins) -> Settings:
    faults: Faults = []
    tree = _expand(dict(sections), environ, faults, "")
    settings = _build(Settings, _override(tree, environ, faults, origins), "", faults)
    told = [*origins.twice, *(f"{path}: {what}{origins.told(path)}" for path, what in faults)]
    if told or settings is None:
        raise ConfigError(told)
    return typing.cast(Settings, settings)


def _expand(value: Any, environ: Mapping[str, str], faults: Faults, path: str) -> Any:
    if isinstance(value, dict):
        return {key: _expand(inner, environ, faults, join(path, key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [_expand(inner, environ, faults, f"{path}[{index}]") for index, inner in enumerate(value)]
    if isinstance(value, str) and "${" in value:
        return _expand_text(value, environ, faults, path)
    return value


def _expand_text(value: str, environ: Mapping[str, str], faults: Faults, path: str) -> Any:
    def replace(match: re.Match[str]) -> str:
        name, default = match.groups()
        found = environ.get(name, default)
        if found is None:
            faults.append(Fault(path, f"the environment variable {name} is not set; set it, or write ${{env:{name}:-default}}"))
        return found or ""

    expanded = _ENV.sub(replace, value)
    # A value that is one reference keeps the type it would have in YAML (a number stays a number), as in the Collector.
    return scalar(expanded) if _ENV.fullmatch(value) else expanded


def _override(tree: dict[str, Any], environ: Mapping[str, str], faults: Faults, origins: Origins) -> dict[str, Any]:
    for name in sorted(environ):
        if name.startswith(ENV_PREFIX) and name not in ENV_RESERVED:
            _set(tree, name, environ[name], faults)
            origins.from_variable(".".join(_keys(name)), name)
    return tree


def _keys(name: str) -> list[str]:
    return name.removeprefix(ENV_PREFIX).lower().split("__")


def _set(tree: dict[str, Any], name: str, value: str, faults: Faults) -> None:
    keys = _keys(name)
    node = tree
    for key in keys[:-1]:
        inner = node.setdefault(key, {})
        node[key] = inner = {} if inner is None else inner
        if not isinstance(inner, dict):
            faults.append(Fault(name, f"{key} holds a {_named(inner)}, so {keys[-1]} cannot be set in it"))
            return
        node = inner
    node[keys[-1]] = scalar(value)


def _build(kind: Any, raw: Any, path: str, faults: Faults) -> object | None:
    """An instance of the dataclass *kind*, or None where a fault was added."""
    if not isinstance(raw, dict):
        faults.append(Fault(path, f"holds a {_named(raw)}, a mapping is needed"))
        return None
    hints = typing.get_type_hints(kind, include_extras=True)
    _unknown(raw, list(hints), path, faults)
    values: dict[str, Any] = {}
    before = len(faults)
    for item in dataclasses.fields(kind):
        where = join(path, item.name)
        if item.name in raw:
            values[item.name] = _value(hints[item.name], raw[item.name], where, faults)
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            faults.append(Fault(where, "is missing"))
    return kind(**values) if len(faults) == before else None


def _unknown(raw: dict[Any, Any], allowed: list[str], path: str, faults: Faults) -> None:
    for key in raw:
        if key not in allowed:
            faults.append(Fault(join(path, key), f"is not a setting, {_hint(str(key), allowed)}"))


def _hint(key: str, allowed: list[str]) -> str:
    """What was meant: a name like it in the same section, or the same name where alone it stands; else all that is allowed."""
    if close := difflib.get_close_matches(key, allowed, n=1):
        return f"did you mean {close[0]}?"
    elsewhere = [path for path in _paths(Settings, "") if path.rpartition(".")[2] == key]
    return f"did you mean {elsewhere[0]}?" if len(elsewhere) == 1 else f"allowed are {', '.join(allowed)}"


def _paths(kind: Any, path: str) -> Iterator[str]:
    """Of every setting in the dataclass *kind*; what lists hold is left out."""
    for name, hint in typing.get_type_hints(kind).items():
        yield join(path, name)
        for inner in (hint, *typing.get_args(hint)):
            if dataclasses.is_dataclass(inner):
                yield from _paths(inner, join(path, name))


def _value(hint: Any, raw: Any, path: str, faults: Faults) -> Any:
    if typing.get_origin(hint) is Annotated:
        base, *rules = typing.get_args(hint)
        for rule in rules:
            if type(rule) in _RULES:
                return _RULES[type(rule)](base, rule, raw, path, faults)
    if isinstance(hint, types.UnionType):
        return _optional(hint, raw, path, faults)
    if dataclasses.is_dataclass(hint):
        return _build(hint, raw, path, faults)
    if typing.get_origin(hint) is tuple:
        return _tuple(typing.get_args(hint)[0], raw, path, faults)
    if typing.get_origin(hint) is dict:
        return _mapping(raw, path, faults)
    return _plain(hint, raw, path, faults)


def _optional(hint: Any, raw: Any, path: str, faults: Faults) -> Any:
    inner = next(kind for kind in typing.get_args(hint) if kind is not type(None))
    if raw is None:
        # `prometheus:` with nothing under it means on, with defaults, where that is possible; a receiver set to null is off.
        required = [f for f in dataclasses.fields(inner) if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING]
        return None if required or path.startswith("receivers.") else inner()
    return _value(inner, raw, path, faults)


def _tuple(inner: Any, raw: Any, path: str, faults: Faults) -> tuple[Any, ...]:
    if not isinstance(raw, list):
        faults.append(Fault(path, f"holds a {_named(raw)}, a list is needed"))
        return ()
    return tuple(_value(inner, item, f"{path}[{index}]", faults) for index, item in enumerate(raw))


def _mapping(raw: Any, path: str, faults: Faults) -> dict[str, str]:
    if isinstance(raw, dict) and all(isinstance(key, str) and isinstance(value, str) for key, value in raw.items()):
        return dict(raw)
    faults.append(Fault(path, "a mapping of strings to strings is needed"))
    return {}


def _plain(kind: type, raw: Any, path: str, faults: Faults) -> Any:
    if kind is float and isinstance(raw, int) and not isinstance(raw, bool):
        return float(raw)
    if kind is str and isinstance(raw, int | float) and not isinstance(raw, bool):
        return str(raw)  # an unquoted key that looks like a number
    if isinstance(raw, kind) and not (kind is int and isinstance(raw, bool)):
        return raw
    faults.append(Fault(path, f"holds a {_named(raw)}, a {_NAMES.get(kind, kind.__name__)} is needed"))
    return None


def _range(base: type, rule: Range, raw: Any, path: str, faults: Faults) -> Any:
    value = _plain(base, raw, path, faults)
    if value is not None and not rule.low <= value <= rule.high:
        faults.append(Fault(path, f"is {value}, allowed are {rule.low:g} to {rule.high:g}"))
    return value


def _choice(base: type, rule: Choice, raw: Any, path: str, faults: Faults) -> Any:
    value = _plain(base, raw, path, faults)
    if value is not None and value not in rule.values:
        faults.append(Fault(path, f"is {value!r}, allowed are {', '.join(rule.values)}"))
    return value


def _duration(_base: type, rule: Duration, raw: Any, path: str, faults: Faults) -> int:
    parts = _DURATION.findall(raw) if isinstance(raw, str) else []
    if not parts or "".join(map("".join, parts)) != raw:
        faults.append(Fault(path, f"is {raw!r}, a time with a unit is needed, such as 250ms, 5s, 1m30s"))
        return 0
    total = sum(int(float(number) * _UNIT_NS[unit]) for number, unit in parts)
    if not rule.low_s * NS_PER_S <= total <= rule.high_s * NS_PER_S:
        faults.append(Fault(path, f"is {raw}, allowed are {rule.low_s:g}s to {rule.high_s:g}s"))
    return total


def _address(base: type, _rule: Address, raw: Any, path: str, faults: Faults) -> Any:
    value = _plain(base, raw, path, faults)
    host, _, port = (value or "").rpartition(":")
    if value is not None and not (host and port.isascii() and port.isdigit() and len(port) <= 5 and int(port) < 65_536):
        faults.append(Fault(path, f"is {value!r}, host:port is needed, such as 127.0.0.1:4317"))
    return value


def _url(base: type, rule: Url, raw: Any, path: str, faults: Faults) -> Any:
    value = _plain(base, raw, path, faults)
    if value is None or (rule.optional and not value):
        return value
    if not _is_absolute(value):
        faults.append(Fault(path, "an absolute URL is needed, such as http://localhost:4317"))
    return value.rstrip("/")


def _pattern(base: type, _rule: Pattern, raw: Any, path: str, faults: Faults) -> Any:
    value = _plain(base, raw, path, faults)
    try:
        re.compile((value or "").encode())
    except re.error as error:
        faults.append(Fault(path, f"is no regular expression: {error}"))
    return value


def _is_absolute(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none, a bracket that does not close
        return False


_RULES: dict[type, Callable[[Any, Any, Any, str, Faults], Any]] = {
    Range: _range,
    Choice: _choice,
    Duration: _duration,
    Address: _address,
    Url: _url,
    Pattern: _pattern,
}
_NAMES: dict[Any, str] = {str: "string", int: "whole number", float: "number", bool: "true or false", dict: "mapping", list: "list"}


def _named(value: Any) -> str:
    return "nothing" if value is None else _NAMES.get(type(value), type(value).__name__)
