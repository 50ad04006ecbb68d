"""The prices that come with the package: `builtin.json`, with the page each comes from and the day it was last seen there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

from otel_ext.prices.models import Model, Rates, Tier, rates_of, tiers_of

# A letter that something optional follows is none that every name has.
_LETTERS: Final = re.compile(r"(?:(?:[\w/-]|\\\.)(?![?*{]))*")


@cache
def builtin() -> tuple[Model, ...]:
    """All of them."""
    tree = json.loads(files("otel_ext.prices").joinpath("builtin.json").read_text(encoding="utf-8"))
    return tuple(model for provider in tree["providers"] for model in _models(provider))


def _models(provider: Mapping[str, Any]) -> Iterator[Model]:
    for raw in provider["models"]:
        yield Model(
            name=raw["name"],
            pattern=f"(?i)^{provider['prefix']}({raw['match']})$",
            tiers=tiers_of(_rates(raw), [Tier(tier["input_tokens"], _rates(tier)) for tier in raw.get("above", ())]),
            start=raw.get("start", ""),
            hours=tuple((first, end) for first, end in raw.get("hours", ())),
            provider=provider["name"],
            source=provider["source"],
            checked=raw["checked"],
            note=raw.get("note", ""),
            stem=_stem(raw["match"]),
            example=raw.get("example", raw["name"]),
        )


def _stem(match: str) -> str:
    """The letters that *match* starts with."""
    letters = _LETTERS.match(match)
    return letters[0].replace("\\", "").lower() if letters else ""


def _rates(raw: Mapping[str, Any]) -> Rates:
    return rates_of(raw["input"], raw["output"], raw.get("cached_input"), raw.get("cache_write"), raw.get("reasoning"))
