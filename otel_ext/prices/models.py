"""Prices of models, and which of them holds for a name at a time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Final, NamedTuple

PER: Final = 1_000_000  # prices are for so many tokens
FRIDAY: Final = 4
_NS_PER_S: Final = 1_000_000_000


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


class Tokens(NamedTuple):
    """What a call used. `input` includes `cached` and `cache_write`, `output` includes `reasoning`; -1 is unknown."""

    input: int
    output: int
    cached: int = 0
    reasoning: int = 0
    cache_write: int = 0


class Rates(NamedTuple):
    """US dollars per million tokens."""

    input: float
    cached_input: float
    cache_write: float
    output: float
    reasoning: float


class Tier(NamedTuple):
    """Rates of every token of a call that has more than `above` input tokens."""

    above: int
    rates: Rates


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One price: for names that `pattern` finds something in, from the day `start` on, in `hours` where there are any.

    `tiers` ascend, the first is for all calls (above -1). `hours` are (from, to) in UTC, Monday to Friday. `checked` is the day on which
    the price was last seen at `source`. `own`: a user's, it goes before those that came with the package. `stem` is in every name that
    fits, in lower case: most patterns are never compiled, which takes a millisecond each. `example` is a name that fits.
    """

    name: str
    pattern: str
    tiers: tuple[Tier, ...]
    start: str = ""  # YYYY-MM-DD; "": always
    hours: tuple[tuple[int, int], ...] = ()
    provider: str = ""
    source: str = ""
    checked: str = ""
    note: str = ""
    own: bool = False
    stem: str = ""
    example: str = ""

    def fits(self, name: str) -> bool:
        """The price is for models of that name."""
        return self.stem in name.lower() and _compiled(self.pattern).search(name) is not None

    def holds(self, when: datetime) -> bool:
        """At that time (UTC)."""
        if self.start > when.strftime("%Y-%m-%d"):
            return False
        return not self.hours or (when.weekday() <= FRIDAY and any(first <= when.hour < end for first, end in self.hours))

    def cost(self, tokens: Tokens) -> float | None:
        """US dollars; None where what is charged was not counted."""
        rates = self.rates(tokens.input)
        if tokens.input < 0 or (tokens.output < 0 and rates.output):
            return None
        cached = min(max(tokens.cached, 0), tokens.input)
        written = min(max(tokens.cache_write, 0), tokens.input - cached)
        output = max(tokens.output, 0)
        reasoning = min(max(tokens.reasoning, 0), output)
        amounts = (tokens.input - cached - written, cached, written, output - reasoning, reasoning)
        return sum(amount * rate for amount, rate in zip(amounts, rates, strict=True)) / PER

    def rates(self, input_tokens: int) -> Rates:
        """Those of a call with so many input tokens."""
        return next((tier.rates for tier in reversed(self.tiers) if input_tokens > tier.above), self.tiers[0].rates)


class PriceList:
    """Prices, in the order in which they are tried: own ones first, then the longest pattern, then hours, then the newest start."""

    def __init__(self, models: Iterable[Model]) -> None:
        newest = sorted(models, key=lambda model: model.start, reverse=True)
        self.models: Final = sorted(newest, key=lambda model: (not model.own, -len(model.pattern), not model.hours))

    def matches(self, name: str) -> Iterator[Model]:
        """All prices for a name, whatever the time; the first that holds is the one."""
        return (model for model in self.models if model.fits(name))

    def find(self, name: str, now_ns: int) -> Model | None:
        """The price for a name at *now_ns* (since the epoch)."""
        return first_that_holds(self.matches(name), now_ns)

    def cost(  # what a call is charged by, each by its name
        self,
        name: str,
        input_tokens: int,
        output_tokens: int,
        cached_tokens: int = 0,
        reasoning_tokens: int = 0,
        cache_write_tokens: int = 0,
        *,
        now_ns: int,
    ) -> float | None:
        """US dollars of one call; None where no price is known, or what is charged was not counted.

        *input_tokens* includes cached and cache-written ones, *output_tokens* includes reasoning; -1 is unknown. Unknown cached, written
        and reasoning tokens count as none. A rate that a provider does not list is that of input or output.
        """
        model = self.find(name, now_ns)
        return model.cost(Tokens(input_tokens, output_tokens, cached_tokens, reasoning_tokens, cache_write_tokens)) if model else None


def first_that_holds(models: Iterable[Model], now_ns: int) -> Model | None:
    """Of prices in order, the first that holds at *now_ns*."""
    when = datetime.fromtimestamp(now_ns // _NS_PER_S, UTC)
    return next((model for model in models if model.holds(when)), None)


def tiers_of(rates: Rates, above: Sequence[Tier]) -> tuple[Tier, ...]:
    """*rates* for all calls, and then *above*, ascending."""
    return (Tier(-1, rates), *sorted(above))


def rates_of(input_: float, output: float, cached_input: float | None, cache_write: float | None, reasoning: float | None) -> Rates:
    """What a provider does not list costs as much as other input, or other output."""
    return Rates(
        input_,
        input_ if cached_input is None else cached_input,
        input_ if cache_write is None else cache_write,
        output,
        output if reasoning is None else reasoning,
    )
