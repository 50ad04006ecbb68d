"""A Redactor as a section of the configuration describes it."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from otel_ext.errors import ConfigError
from otel_ext.redact.redactor import Change, Redactor
from otel_ext.settings import Redact


def make_redactor(section: Redact, path: str) -> Redactor | None:
    """None where *section* masks nothing; raises ConfigError, with *path* as the section's place, for a function that is not there."""
    if not (section.common or section.names or section.patterns or section.function):
        return None
    change = _function(section.function, f"{path}.function") if section.function else None
    return Redactor(common=section.common, names=section.names, patterns=section.patterns, change=change)


def _function(name: str, path: str) -> Change:
    module, colon, attribute = name.partition(":")
    try:
        found = getattr(import_module(module), attribute) if colon else None
    except (ImportError, AttributeError, ValueError):
        found = None
    if not callable(found):
        raise ConfigError([f"{path}: is {name!r}, module:function of a function that can be imported is needed"])
    return cast(Change, found)
