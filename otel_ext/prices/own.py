"""The user's own prices, from the settings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date

from otel_ext.errors import ConfigError
from otel_ext.prices.models import Model, Rates, Tier, rates_of, tiers_of
from otel_ext.settings import NOT_GIVEN, ContextPrice, ModelPrice


def own(prices: Sequence[ModelPrice], source: str = "the configuration") -> tuple[Model, ...]:
    """*prices* as models; raises ConfigError with one entry a fault. *source* is said where a price is shown."""
    faults = [fault for index, price in enumerate(prices) for fault in _faults(f"prices.models[{index}]", price)]
    if faults:
        raise ConfigError(faults)
    return tuple(_model(price, source) for price in prices)


def _faults(path: str, price: ModelPrice) -> list[str]:
    faults = []
    try:
        re.compile(price.match)
    except re.error as error:
        faults.append(f"{path}.match: is not a regular expression ({error}), such as ^my-model$")
    if price.start:
        try:
            date.fromisoformat(price.start)
        except ValueError:
            faults.append(f"{path}.start: is {price.start!r}, a day is needed, such as 2026-10-01")
    return faults


def _model(price: ModelPrice, source: str) -> Model:
    return Model(
        name=price.name or price.match,
        pattern=price.match,
        tiers=tiers_of(_rates(price), [Tier(tier.input_tokens, _rates(tier)) for tier in price.above]),
        start=price.start,
        provider="own",
        source=source,
        own=True,
    )


def _rates(price: ModelPrice | ContextPrice) -> Rates:
    return rates_of(price.input, price.output, _given(price.cached_input), _given(price.cache_write), _given(price.reasoning))


def _given(value: float) -> float | None:
    return None if value == NOT_GIVEN else value
