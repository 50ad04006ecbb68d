"""The prices that come with the package: every one dated and sourced, none for another's name, the sums those of the providers' pages."""

from __future__ import annotations

import itertools
from collections import defaultdict
from datetime import UTC, date, datetime

import pytest

from otel_ext.prices import Model, PriceList, builtin
from otel_ext.prices.models import Rates

NS = 1_000_000_000
NOV = int(datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()) * NS  # a Saturday


@pytest.fixture(scope="module")
def prices() -> PriceList:
    return PriceList(builtin())


@pytest.mark.parametrize("model", builtin(), ids=lambda model: f"{model.name}{model.start}{model.hours}")
def test_every_price_has_a_source_and_a_day(model: Model) -> None:
    """Who wants to check it knows where, and how old it is."""
    assert model.source.startswith("https://")
    assert date(2025, 1, 1) <= date.fromisoformat(model.checked) <= date(2026, 12, 31)
    assert not model.start or date.fromisoformat(model.start)


@pytest.mark.parametrize("model", builtin(), ids=lambda model: f"{model.name}{model.start}{model.hours}")
def test_rates_are_plausible(model: Model) -> None:
    """Reading a cache is never dearer than reading anew, a long context never cheaper, and nothing costs a million."""
    for tier in model.tiers:
        rates = tier.rates
        assert 0 < rates.input <= 200
        assert 0 <= rates.output <= 700
        assert rates.cached_input <= rates.input <= rates.cache_write
    for low, high in itertools.pairwise(model.tiers):
        assert low.above < high.above
        assert all(more >= less for less, more in zip(low.rates, high.rates, strict=True))


def test_no_two_patterns_fit_one_name(prices: PriceList) -> None:
    """Which price holds does not depend on the order of the file: names that a pattern is made for fit no other."""
    for name in NAMES:
        patterns = {model.pattern for model in prices.matches(name)}
        assert len(patterns) == 1, name


@pytest.mark.parametrize("model", builtin(), ids=lambda model: f"{model.name}{model.start}{model.hours}")
def test_an_example_fits_its_own_pattern_alone(prices: PriceList, model: Model) -> None:
    """What is asked of other price lists on behalf of a price."""
    assert {each.pattern for each in prices.matches(model.example)} == {model.pattern}


def test_prices_of_one_pattern_differ_in_time(prices: PriceList) -> None:
    """Two prices of one pattern have different starts or hours: one of them always is the one."""
    seen = defaultdict(list)
    for model in prices.models:
        seen[model.pattern].append((model.start, model.hours))
    assert all(len(set(times)) == len(times) for times in seen.values())


NAMES = {
    "gpt-6-sol": "gpt-6-sol",
    "gpt-5.6": "gpt-5.6-sol",
    "gpt-5-6-terra-2026-07-09": "gpt-5.6-terra",
    "openai/gpt-5-mini-2025-08-07": "gpt-5-mini",
    "gpt-5": "gpt-5",
    "GPT-4o-2024-11-20": "gpt-4o",
    "gpt-4o-2024-05-13": "gpt-4o-2024-05-13",
    "gpt-4.1-nano": "gpt-4.1-nano",
    "o3-deep-research": "o3-deep-research",
    "text-embedding-3-small": "text-embedding-3-small",
    "claude-opus-5-5": "claude-opus-5-5",
    "claude-opus-4-20250514": "claude-opus-4",
    "claude-opus-4-1-20250805": "claude-opus-4-1",
    "claude-sonnet-4-5@20250929": "claude-sonnet-4-5",
    "anthropic/claude-sonnet-4.6": "claude-sonnet-4-6",
    "claude-3-5-haiku-latest": "claude-3-5-haiku",
    "claude-haiku-5-5": "claude-haiku-5-5",
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0": "bedrock claude-sonnet-4-5",
    "global.anthropic.claude-sonnet-4-5-20250929-v1:0": "bedrock global claude-sonnet-4-5",
    "anthropic.claude-3-5-sonnet-20241022-v2:0": "bedrock claude-3-5-sonnet",
    "models/gemini-2.5-pro": "gemini-2.5-pro",
    "gemini-2.5-flash-lite": "gemini-2.5-flash-lite",
    "gemini-3.8-flash": "gemini-3.8-flash",
    "mistral-medium-latest": "mistral-medium-3.5",
    "deepseek-v4-flash": "deepseek-flash",
    "xai/grok-4.7": "grok-4.7",
    "grok-4.20-0309-non-reasoning": "grok-4.20",
    "command-r-plus-08-2024": "command-r-plus",
    "amazon.nova-lite-v1:0": "nova-lite",
    "us.amazon.nova-2-lite-v1:0": "nova-2-lite",
    "global.amazon.nova-2-lite-v1:0": "global nova-2-lite",
    "us.meta.llama3-3-70b-instruct-v1:0": "llama3-3-70b-instruct",
    "llama-3.3-70b-versatile": "llama-3.3-70b-versatile",
    "meta-llama/Llama-3.3-70B-Instruct-Turbo": "Llama-3.3-70B-Instruct-Turbo",
}


@pytest.mark.parametrize(("name", "model"), NAMES.items())
def test_names_as_they_are_seen_on_spans(prices: PriceList, name: str, model: str) -> None:
    """Dated, prefixed, in any case: each finds its own price."""
    found = prices.find(name, NOV)
    assert found is not None
    assert found.name == model


@pytest.mark.parametrize(
    "name", ["", "gpt-6.2-sol", "gpt-5.5-cyber", "gpt-4o-audio-preview", "claude-opus-6", "my-gpt-4o", "gpt-4o-custom", "o1x"]
)
def test_a_name_that_only_looks_alike_has_no_price(prices: PriceList, name: str) -> None:
    """Never a guess: the next version, another kind, a fine-tuned one."""
    assert prices.find(name, NOV) is None


def test_a_price_holds_from_its_day_on(prices: PriceList) -> None:
    """An announced change takes effect by itself."""
    before, after = (
        prices.find("gemini-3.8-flash", int(datetime(*day, tzinfo=UTC).timestamp()) * NS) for day in ((2026, 12, 31, 23), (2027, 1, 1))
    )
    assert before is not None
    assert after is not None
    assert before.tiers[0].rates == Rates(0.75, 0.075, 0.75, 3.75, 3.75)
    assert after.tiers[0].rates == Rates(1.5, 0.15, 1.5, 7.5, 7.5)


@pytest.mark.parametrize(
    ("when", "rate"),
    [
        ((2026, 11, 20, 2), 0.3),
        ((2026, 11, 20, 4), 0.15),
        ((2026, 11, 20, 9, 59), 0.3),
        ((2026, 11, 20, 10), 0.15),
        ((2026, 11, 21, 2), 0.15),
    ],
)
def test_a_price_by_the_hour(prices: PriceList, when: tuple[int, ...], rate: float) -> None:
    """DeepSeek's peak: 01 to 04 and 06 to 10 UTC, Monday to Friday."""
    found = prices.find("deepseek-flash", int(datetime(*when, tzinfo=UTC).timestamp()) * NS)  # type: ignore[arg-type]
    assert found is not None
    assert found.tiers[0].rates.input == rate


@pytest.mark.parametrize(
    ("call", "dollars"),
    [
        (("gpt-4o", 1_000_000, 100_000), 2.5 + 1.0),
        (("gpt-4o", 1_000, 0, 400), (600 * 2.5 + 400 * 1.25) / 1e6),
        (("gpt-5", 1_000, 500, 0, 400), (1_000 * 1.25 + 500 * 10) / 1e6),
        (("claude-sonnet-4-5", 10_000, 100, 6_000, 0, 3_000), (1_000 * 3 + 6_000 * 0.3 + 3_000 * 3.75 + 100 * 15) / 1e6),
        (("claude-haiku-5-5", 100_000, 100), (100_000 * 0.1 + 100 * 0.5) / 1e6),
        (("claude-haiku-5-5", 100_001, 100), (100_001 * 0.5 + 100 * 2.5) / 1e6),
        (("gemini-2.5-pro", 250_000, 1_000, 200_000), (50_000 * 2.5 + 200_000 * 0.25 + 1_000 * 15) / 1e6),
        (("text-embedding-3-small", 1_000, -1), 1_000 * 0.02 / 1e6),
    ],
)
def test_what_a_call_costs(prices: PriceList, call: tuple[str, int, int], dollars: float) -> None:
    """By the arithmetic of the providers' pages: cached input less, written more, reasoning is output, long contexts for all tokens."""
    assert prices.cost(*call, now_ns=NOV) == pytest.approx(dollars)


@pytest.mark.parametrize("call", [("gpt-4o", -1, 100), ("gpt-4o", 100, -1), ("unheard-of", 100, 100)])
def test_no_cost_where_something_is_unknown(prices: PriceList, call: tuple[str, int, int]) -> None:
    """The model, the input, or an output that is charged."""
    assert prices.cost(*call, now_ns=NOV) is None
