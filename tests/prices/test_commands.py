"""`otel-ext prices` as a user runs it: what is shown, what a project lacks, what is created and what never is."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.doubles.langfuse import LangfuseDouble
from tests.doubles.langfuse_read import managed
from tests.e2e.kit import command

SECRET = "sk-lf-test"


@pytest.fixture
async def server() -> AsyncIterator[LangfuseDouble]:
    langfuse = LangfuseDouble()
    await langfuse.start()
    yield langfuse
    await langfuse.stop()


async def push(server: LangfuseDouble, *arguments: str, **environ: str) -> subprocess.CompletedProcess[bytes]:
    keys = {"LANGFUSE_PUBLIC_KEY": server.public_key, "LANGFUSE_SECRET_KEY": SECRET, **environ}
    return await asyncio.to_thread(lambda: command("prices", "push", "--host", server.host, *arguments, **keys))


def test_show_says_price_and_source() -> None:
    """With the day on which it was last seen, and what else holds at other times."""
    done = command("prices", "show", "deepseek-flash")
    text = done.stdout.decode()
    assert done.returncode == 0
    assert "source: https://api-docs.deepseek.com/quick_start/pricing, seen 2026-" in text
    assert "US dollars per million tokens" in text
    assert "Monday to Friday 01:00 to 04:00 UTC and 06:00 to 10:00 UTC" in text


def test_show_says_the_price_of_long_contexts() -> None:
    """A line a tier."""
    assert "input 2.5, cached input 0.25, cache write 2.5, output 15" in command("prices", "show", "gemini-2.5-pro").stdout.decode()


def test_show_knows_own_prices(tmp_path: Path) -> None:
    """Those of the configuration go first."""
    file = tmp_path / "c.yaml"
    file.write_text("prices: {models: [{match: ^gpt-4o$, name: ours, input: 7}]}")
    text = command("prices", "show", "gpt-4o", "--config", str(file)).stdout.decode()
    assert "price of ours (own)" in text
    assert "input 7" in text


def test_show_says_that_nothing_is_known() -> None:
    """Exit 1, and where a price can be said."""
    done = command("prices", "show", "unheard-of")
    assert done.returncode == 1
    assert "prices.models" in done.stdout.decode()


async def test_push_changes_nothing_by_default(server: LangfuseDouble) -> None:
    """A table of what is missing, and how to create it."""
    server.read.models = [managed("gpt-4o", r"(?i)^(openai\/)?(gpt-4o)$")]
    done = await push(server, "--match", "^gpt-4o(-mini)?$")
    text = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b"")
    assert "gpt-4o-mini" in text
    assert "1 missing, 1 there already; nothing was changed: --yes creates them" in text
    assert len(server.read.models) == 1


async def test_push_creates_what_is_missing_once(server: LangfuseDouble) -> None:
    """What the server takes: a pattern, a price for every bucket of tokens, a tier for long contexts; the next run finds them."""
    done = await push(server, "--yes")
    text = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b"")
    assert " created, 0 refused, 0 there already, 2 left out: their price depends on the hour" in text
    made = {model["modelName"]: model for model in server.read.models}
    assert len(made) > 100
    assert "deepseek-flash" not in made
    haiku = made["claude-haiku-5-5"]
    assert (haiku["unit"], haiku["matchPattern"][:5]) == ("TOKENS", "(?i)^")
    standard, long = haiku["pricingTiers"]
    assert standard["prices"]["input_cached_tokens"] == pytest.approx(0.01e-6)
    assert standard["prices"]["input_cache_creation"] == pytest.approx(0.125e-6)
    assert (long["conditions"][0]["operator"], long["conditions"][0]["value"]) == ("gt", 100_000)
    again = await push(server, "--yes")
    assert f"0 created, 0 refused, {len(made)} there already" in again.stdout.decode()


async def test_an_own_price_is_pushed_over_one_that_came_with_the_server(server: LangfuseDouble, tmp_path: Path) -> None:
    """A project's definition goes before the server's; one that the project has is left alone."""
    server.read.models = [managed("gpt-4o", r"(?i)^(openai\/)?(gpt-4o)$")]
    file = tmp_path / "c.yaml"
    file.write_text("prices: {builtin: false, models: [{match: ^gpt-4o$, name: gpt-4o, input: 1, output: 2, start: '2026-01-01'}]}")
    assert b"1 created" in (await push(server, "--yes", "--config", str(file))).stdout
    assert (server.read.models[-1]["modelName"], server.read.models[-1]["startDate"]) == ("gpt-4o", "2026-01-01T00:00:00.000Z")
    assert b"0 created, 0 refused, 1 there already" in (await push(server, "--yes", "--config", str(file))).stdout


async def test_where_to_push_can_come_from_a_configuration(server: LangfuseDouble, tmp_path: Path) -> None:
    """Its Langfuse exporter's."""
    file = tmp_path / "c.yaml"
    file.write_text(f"exporters: {{langfuse: {{host: {server.host}, public_key: {server.public_key}, secret_key: {SECRET}}}}}")
    done = await asyncio.to_thread(lambda: command("prices", "push", "--config", str(file), "--match", "^gpt-5$"))
    assert b"1 missing" in done.stdout


async def test_a_definition_that_is_refused_does_not_stop_the_others(server: LangfuseDouble, tmp_path: Path) -> None:
    """It is named, and the exit code is 1."""
    file = tmp_path / "c.yaml"
    file.write_text("prices: {builtin: false, models: [{match: ^a$, name: odd, input: 1}, {match: ^b$, name: good, input: 1}]}")
    server.read.refuse = {"odd"}
    done = await push(server, "--yes", "--config", str(file))
    text = done.stdout.decode()
    assert done.returncode == 1
    assert "refused: bad_data" in text
    assert "1 created, 1 refused" in text


async def test_wrong_keys_are_said(server: LangfuseDouble) -> None:
    """Exit 1, a line, and no key in it."""
    done = await push(server, LANGFUSE_SECRET_KEY="sk-lf-wrong-canary")
    assert done.returncode == 1
    assert b"unauthenticated" in done.stderr
    assert b"canary" not in done.stderr + done.stdout


@pytest.mark.parametrize("arguments", [(), ("--host", "http://127.0.0.1:9")])
def test_what_is_missing_is_said(arguments: tuple[str, ...]) -> None:
    """Exit 2, before anything is asked."""
    done = command("prices", "push", *arguments, LANGFUSE_BASE_URL="", LANGFUSE_HOST="", LANGFUSE_PUBLIC_KEY="", LANGFUSE_SECRET_KEY="")
    assert done.returncode == 2
    assert b"--secret-key: is missing" in done.stderr


def test_check_config_reads_prices(tmp_path: Path) -> None:
    """A pattern that is none is a fault of the configuration."""
    file = tmp_path / "c.yaml"
    file.write_text("prices: {models: [{match: '(', input: 1}]}")
    done = command("check-config", str(file))
    assert done.returncode == 2
    assert b"prices.models[0].match: is not a regular expression" in done.stderr
