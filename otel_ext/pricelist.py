"""The prices that a configuration asks for: its own, those of its file, and those that come with the package."""

from __future__ import annotations

from pathlib import Path

from otel_ext.configfile import load
from otel_ext.errors import ConfigError
from otel_ext.prices import Model, PriceList, builtin, own
from otel_ext.settings import Prices, Settings


def price_list(prices: Prices) -> PriceList:
    """All of them; raises ConfigError, with the file's name where it is at fault."""
    return PriceList([*own(prices.models), *(_from_file(prices.file) if prices.file else ()), *(builtin() if prices.builtin else ())])


def _from_file(path: str) -> tuple[Model, ...]:
    try:
        settings = load(Path(path).read_text(encoding="utf-8"), {})
        if settings != Settings(prices=Prices(models=settings.prices.models)):
            raise ConfigError(["holds other settings, prices.models alone is allowed"])
        return own(settings.prices.models, path)
    except ConfigError as error:
        raise ConfigError([f"prices.file: {path}: {fault}" for fault in error.faults]) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise ConfigError([f"prices.file: {path} cannot be read ({reason})"]) from None
