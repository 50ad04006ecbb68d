"""The user's own prices go first, and a fault in them is named with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_ext.configfile import load
from otel_ext.errors import ConfigError
from otel_ext.pricelist import price_list
from otel_ext.prices import PriceList

NOW = 1_795_000_000_000_000_000  # 2026-11-18


def listed(yaml: str) -> PriceList:
    return price_list(load(yaml, {}).prices)


def test_own_prices_go_before_the_package_s() -> None:
    """In dollars per million tokens; the rest of the list stays."""
    prices = listed("prices: {models: [{match: ^gpt-4o$, input: 1, output: 2}]}")
    assert prices.cost("gpt-4o", 1_000_000, 1_000_000, now_ns=NOW) == 3
    assert prices.cost("gpt-4o-mini", 1_000_000, 0, now_ns=NOW) == 0.15


def test_every_kind_of_token_has_its_price() -> None:
    """Cached, written, reasoning, and a long context."""
    prices = listed(
        "prices: {models: [{match: mine, input: 10, cached_input: 1, cache_write: 12, output: 20, reasoning: 30,"
        " above: [{input_tokens: 100, input: 100, output: 200}]}]}"
    )
    assert prices.cost("mine", 100, 10, 40, 5, 20, now_ns=NOW) == pytest.approx((40 * 10 + 40 * 1 + 20 * 12 + 5 * 20 + 5 * 30) / 1e6)
    assert prices.cost("mine", 101, 10, 40, 5, now_ns=NOW) == pytest.approx((101 * 100 + 10 * 200) / 1e6)


def test_the_most_specific_pattern_wins_then_the_newest_start() -> None:
    """A fallback does not hide what is said of one model."""
    prices = listed(
        "prices: {models: [{match: .*, input: 1}, {match: ^my-model$, input: 2}, {match: ^my-model$, input: 3, start: '2026-11-01'},"
        " {match: ^my-model$, input: 4, start: '2027-01-01'}]}"
    )
    assert [prices.cost(name, 1_000_000, -1, now_ns=NOW) for name in ("my-model", "other")] == [3, 1]


def test_the_package_s_prices_can_be_left_out() -> None:
    """For who trusts their own alone."""
    assert listed("prices: {builtin: false}").find("gpt-4o", NOW) is None


def test_a_file_of_prices_is_read_after_those_of_the_configuration(tmp_path: Path) -> None:
    """For prices that several sidecars share."""
    file = tmp_path / "prices.yaml"
    file.write_text("prices: {models: [{match: ^a$, input: 1}, {match: ^b$, input: 1}]}")
    prices = listed(f"prices: {{file: {file}, models: [{{match: ^a$, input: 2}}]}}")
    assert [prices.cost(name, 1_000_000, -1, now_ns=NOW) for name in "ab"] == [2, 1]
    found = prices.find("b", NOW)
    assert found is not None
    assert found.source == str(file)


@pytest.mark.parametrize(
    ("yaml", "fault"),
    [
        ("{match: '(', input: 1}", "prices.models[0].match: is not a regular expression"),
        ("{match: a, input: 1, start: soon}", "prices.models[0].start: is 'soon', a day is needed"),
        ("{match: a, input: -1}", "prices.models[0].input: is -1"),
        ("{match: a}", "prices.models[0].input: is missing"),
        ("{match: a, input: 1, above: [{input: 1}]}", "prices.models[0].above[0].input_tokens: is missing"),
    ],
)
def test_a_fault_is_named_with_its_place(yaml: str, fault: str) -> None:
    """And with what would be right."""
    with pytest.raises(ConfigError) as raised:
        listed(f"prices: {{models: [{yaml}]}}")
    assert any(each.startswith(fault) for each in raised.value.faults)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (None, "cannot be read"),
        ("prices: {models: [{match: a}]}", "input: is missing"),
        ("admin: {endpoint: '127.0.0.1:1'}", "holds other settings"),
    ],
)
def test_a_faulty_file_is_named(tmp_path: Path, text: str | None, fault: str) -> None:
    """With its path and the place in it."""
    file = tmp_path / "prices.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError) as raised:
        listed(f"prices: {{file: {file}}}")
    assert raised.value.faults[0].startswith(f"prices.file: {file}")
    assert fault in raised.value.faults[0]
