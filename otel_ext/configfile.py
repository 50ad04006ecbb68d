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
from collections.abc import Callable, Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

import yaml

from otel_ext.errors import ConfigError
from otel_ext.settings import NS_PER_S, Address, Choice, Duration, Range, Settings, Url

ENV_PREFIX = "OTEL_EXT_"
# Variables of ours that are no settings.
ENV_RESERVED = frozenset({"OTEL_EXT_CODEC"})

_ENV = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h|d)")
_UNIT_NS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": NS_PER_S, "m": 60 * NS_PER_S, "h": 3_600 * NS_PER_S, "d": 86_400 * NS_PER_S}

Faults = list[str]


def load(text: str, environ: Mapping[str, str]) -> Settings:
    """Settings from YAML *text* and *environ*; raises ConfigError with one entry a fault."""
    return build(_parse(text), environ)


def build(sections: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """Settings from *sections*, nested as in the file, and *environ*; raises ConfigError with one entry a fault."""
    faults: Faults = []
    tree = _expand(dict(sections), environ, faults, "")
    settings = _build(Settings, _override(tree, environ, faults), "", faults)
    if faults or settings is None:
        raise ConfigError(faults)
    return typing.cast(Settings, settings)


def _parse(text: str) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        raise ConfigError([f"{where}not valid YAML: {getattr(error, 'problem', None) or 'unreadable'}"]) from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError([f"the file holds a {_named(tree)}, a mapping of sections is needed"])
    return tree


def _expand(value: Any, environ: Mapping[str, str], faults: Faults, path: str) -> Any:
    if isinstance(value, dict):
        return {key: _expand(inner, environ, faults, _join(path, key)) for key, inner in value.items()}
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
            faults.append(f"{path}: the environment variable {name} is not set; set it, or write ${{env:{name}:-default}}")
        return found or ""

    expanded = _ENV.sub(replace, value)
    # A value that is one reference keeps the type it would have in YAML (a number stays a number), as in the Collector.
    return _scalar(expanded) if _ENV.fullmatch(value) else expanded


def _scalar(text: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return value if isinstance(value, bool | int | float) else text


def _override(tree: dict[str, Any], environ: Mapping[str, str], faults: Faults) -> dict[str, Any]:
    for name in sorted(environ):
        if name.startswith(ENV_PREFIX) and name not in ENV_RESERVED:
            _set(tree, name, environ[name], faults)
    return tree


def _set(tree: dict[str, Any], name: str, value: str, faults: Faults) -> None:
    keys = name.removeprefix(ENV_PREFIX).lower().split("__")
    node = tree
    for key in keys[:-1]:
        inner = node.setdefault(key, {})
        node[key] = inner = {} if inner is None else inner
        if not isinstance(inner, dict):
            faults.append(f"{name}: {key} holds a {_named(inner)}, so {keys[-1]} cannot be set in it")
            return
        node = inner
    node[keys[-1]] = _scalar(value)


def _build(kind: Any, raw: Any, path: str, faults: Faults) -> object | None:
    """An instance of the dataclass *kind*, or None where a fault was added."""
    if not isinstance(raw, dict):
        faults.append(f"{path}: holds a {_named(raw)}, a mapping is needed")
        return None
    hints = typing.get_type_hints(kind, include_extras=True)
    _unknown(raw, list(hints), path, faults)
    values: dict[str, Any] = {}
    before = len(faults)
    for item in dataclasses.fields(kind):
        where = _join(path, item.name)
        if item.name in raw:
            values[item.name] = _value(hints[item.name], raw[item.name], where, faults)
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            faults.append(f"{where}: is missing")
    return kind(**values) if len(faults) == before else None


def _unknown(raw: dict[Any, Any], allowed: list[str], path: str, faults: Faults) -> None:
    for key in raw:
        if key not in allowed:
            close = difflib.get_close_matches(str(key), allowed, n=1)
            hint = f"did you mean {close[0]}?" if close else f"allowed are {', '.join(allowed)}"
            faults.append(f"{_join(path, key)}: is not a setting, {hint}")


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
        faults.append(f"{path}: holds a {_named(raw)}, a list is needed")
        return ()
    return tuple(_value(inner, item, f"{path}[{index}]", faults) for index, item in enumerate(raw))


def _mapping(raw: Any, path: str, faults: Faults) -> dict[str, str]:
    if isinstance(raw, dict) and all(isinstance(key, str) and isinstance(value, str) for key, value in raw.items()):
        return dict(raw)
    faults.append(f"{path}: a mapping of strings to strings is needed")
    return {}


def _plain(kind: type, raw: Any, path: str, faults: Faults) -> Any:
    if kind is float and isinstance(raw, int) and not isinstance(raw, bool):
        return float(raw)
    if kind is str and isinstance(raw, int | float) and not isinstance(raw, bool):
        return str(raw)  # an unquoted key that looks like a number
    if isinstance(raw, kind) and not (kind is int and isinstance(raw, bool)):
        return raw
    faults.append(f"{path}: holds a {_named(raw)}, a {_NAMES.get(kind, kind.__name__)} is needed")
    return None


def _range(base: type, rule: Range, raw: Any, path: str, faults: Faults) -> Any:
    value = _plain(base, raw, path, faults)
    if value is not None and not rule.low <= value <= rule.high:
        faults.append(f"{path}: is {value}, allowed are {rule.low:g} to {rule.high:g}")
    return value


def _choice(base: type, rule: Choice, raw: Any, path: str, faults: Faults) -> Any:
    value = _plain(base, raw, path, faults)
    if value is not None and value not in rule.values:
        faults.append(f"{path}: is {value!r}, allowed are {', '.join(rule.values)}")
    return value


def _duration(_base: type, rule: Duration, raw: Any, path: str, faults: Faults) -> int:
    parts = _DURATION.findall(raw) if isinstance(raw, str) else []
    if not parts or "".join(map("".join, parts)) != raw:
        faults.append(f"{path}: is {raw!r}, a time with a unit is needed, such as 250ms, 5s, 1m30s")
        return 0
    total = sum(int(float(number) * _UNIT_NS[unit]) for number, unit in parts)
    if not rule.low_s * NS_PER_S <= total <= rule.high_s * NS_PER_S:
        faults.append(f"{path}: is {raw}, allowed are {rule.low_s:g}s to {rule.high_s:g}s")
    return total


def _address(base: type, _rule: Address, raw: Any, path: str, faults: Faults) -> Any:
    value = _plain(base, raw, path, faults)
    host, _, port = (value or "").rpartition(":")
    if value is not None and not (host and port.isdigit() and int(port) < 65_536):
        faults.append(f"{path}: is {value!r}, host:port is needed, such as 127.0.0.1:4317")
    return value


def _url(base: type, rule: Url, raw: Any, path: str, faults: Faults) -> Any:
    value = _plain(base, raw, path, faults)
    if value is None or (rule.optional and not value):
        return value
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        faults.append(f"{path}: an absolute URL is needed, such as http://localhost:4317")
    return value.rstrip("/")


_RULES: dict[type, Callable[[Any, Any, Any, str, Faults], Any]] = {
    Range: _range,
    Choice: _choice,
    Duration: _duration,
    Address: _address,
    Url: _url,
}
_NAMES: dict[Any, str] = {str: "string", int: "whole number", float: "number", bool: "true or false", dict: "mapping", list: "list"}


def _named(value: Any) -> str:
    return "nothing" if value is None else _NAMES.get(type(value), type(value).__name__)


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)
