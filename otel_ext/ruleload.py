"""Finds the rules that the configuration names, and those that installed packages offer."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Sequence
from typing import Final

from otel_ext.errors import ConfigError
from otel_ext.rules import Rule, check

GROUP: Final = "otel_ext.rules"


def load_rules(named: Sequence[str]) -> tuple[Rule, ...]:
    """An instance of each rule in *named* (`package.module:Class`) and of each entry point of the group, no class twice.

    Raises ConfigError where one cannot be imported, made, or is no rule.
    """
    classes = [_named(name, f"detect.rules: {name}") for name in named]
    classes += [_named(each.value, f"entry point {GROUP}, {each.name}") for each in importlib.metadata.entry_points(group=GROUP)]
    return tuple(_made(made) for made in dict.fromkeys(classes))


def _named(name: str, where: str) -> type[Rule]:
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise ConfigError([f"{where}: needed is package.module:Class"])
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # somebody else's module: whatever it raises is a fault of the configuration, and must not end the process
        raise ConfigError([f"{where}: cannot be imported ({type(error).__name__}: {error})"]) from None
    if not isinstance(found, type):
        raise ConfigError([f"{where}: is no class"])
    return found


def _made(kind: type[Rule]) -> Rule:
    try:
        rule = kind()
    except Exception as error:  # as above
        where = f"{kind.__module__}:{kind.__qualname__}"
        raise ConfigError([f"{where}: a rule is made without arguments ({type(error).__name__}: {error})"]) from None
    check(rule)
    return rule
