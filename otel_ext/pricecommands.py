"""`otel-ext prices show` and `otel-ext prices push`: the price list for people, and for a Langfuse project."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TextIO

from otel_ext.errors import ConfigError, Refused
from otel_ext.langfuse import Api, ModelDefinition, Options, PricingTier
from otel_ext.pricelist import price_list
from otel_ext.prices import Model, PriceList, Rates
from otel_ext.prices.models import PER, first_that_holds
from otel_ext.report import table
from otel_ext.settings import NS_PER_S, ClientTls, Langfuse, Settings

# Usage types that servers and SDKs count tokens under. Buckets add up there: each needs its price.
INPUT: Final = ("input",)
CACHED_INPUT: Final = ("input_cached_tokens", "input_cache_read", "cache_read_input_tokens")
CACHE_WRITE: Final = ("input_cache_creation", "cache_creation_input_tokens")
OUTPUT: Final = ("output",)
REASONING: Final = ("output_reasoning_tokens", "output_reasoning")
HEAD: Final = ("model", "input", "cached", "cache write", "output", "reasoning", "")


def show(prices: PriceList, name: str, now_ns: int) -> list[str]:
    """What is known about the price of model *name*, a line each; empty where nothing is."""
    model = prices.find(name, now_ns)
    if model is None:
        return []
    lines = [
        f"{name}: price of {model.name} ({model.provider}{_when(model)})",
        f"source: {model.source}" + (f", seen {model.checked}" if model.checked else ""),
        f"match: {model.pattern}",
        "US dollars per million tokens:",
    ]
    for tier in model.tiers:
        above = f"  above {tier.above} input tokens, for all tokens" if tier.above >= 0 else ""
        lines.append("  " + ", ".join(f"{key.replace('_', ' ')} {rate:g}" for key, rate in tier.rates._asdict().items()) + above)
    lines += [f"note: {model.note}"] if model.note else []
    others = [other for other in prices.matches(name) if other is not model and other.pattern == model.pattern]
    lines += [f"otherwise: input {other.tiers[0].rates.input:g}, output {other.tiers[0].rates.output:g}{_when(other)}" for other in others]
    return lines


def _when(model: Model) -> str:
    hours = " and ".join(f"{first:02}:00 to {end:02}:00 UTC" for first, end in model.hours)
    return (f", from {model.start} on" if model.start else "") + (f", Monday to Friday {hours}" if hours else "")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a project lacks, and what is left alone: there already, or not to be said in a definition of Langfuse."""

    missing: list[Model]
    there: int
    hourly: list[Model]


async def plan(api: Api, prices: PriceList, now_ns: int, match: str = "") -> Plan:
    """Compare the prices that hold at *now_ns* with the definitions of a project. *match*: only models in whose name it finds something."""
    definitions = [definition async for definition in api.models()]
    held = [model for model in _holding(prices, now_ns) if re.search(match, model.name)]
    hourly = [model for model in held if _is_hourly(prices, model)]
    priced = [model for model in held if model not in hourly]
    missing = [model for model in priced if not _is_there(model, definitions)]
    return Plan(missing, len(priced) - len(missing), hourly)


def _holding(prices: PriceList, now_ns: int) -> Iterable[Model]:
    """One price a pattern: the one that holds."""
    by_pattern: dict[str, list[Model]] = {}
    for model in prices.models:
        by_pattern.setdefault(model.pattern, []).append(model)
    return (held for models in by_pattern.values() if (held := first_that_holds(models, now_ns)))


def _is_hourly(prices: PriceList, model: Model) -> bool:
    return any(other.hours for other in prices.models if other.pattern == model.pattern)


def _is_there(model: Model, definitions: Sequence[ModelDefinition]) -> bool:
    """An own price is there where the project has one of that name; a list price also where any definition prices its models."""
    if any(definition.name == model.name and not definition.managed for definition in definitions):
        return True
    return not model.own and any(_fits(definition.pattern, model.example) for definition in definitions)


def _fits(pattern: str, name: str) -> bool:
    try:
        return re.search(pattern, name) is not None
    except re.error:  # PostgreSQL knows expressions that Python does not
        return False


def definition(model: Model) -> ModelDefinition:
    """*model* as Langfuse says it."""
    tiers = [
        PricingTier("Standard" if tier.above < 0 else f"More than {tier.above} input tokens", _prices(tier.rates), _above(tier.above))
        for tier in model.tiers
    ]
    return ModelDefinition(name=model.name, pattern=model.pattern, tiers=tiers, start=model.start)


def _above(tokens: int) -> int | None:
    return tokens if tokens >= 0 else None


def _prices(rates: Rates) -> dict[str, float]:
    keys = (INPUT, CACHED_INPUT, CACHE_WRITE, OUTPUT, REASONING)
    return {key: rate / PER for names, rate in zip(keys, rates, strict=True) for key in names}


async def create(api: Api, models: Sequence[Model]) -> AsyncIterator[tuple[Model, str]]:
    """Create definitions one after the other; each with "created", or why not. Raises RetryableError where the server is gone."""
    for model in models:
        try:
            await api.create_model(definition(model))
        except Refused as refusal:
            yield model, f"refused: {refusal.reason}"
        else:
            yield model, "created"


def row(model: Model, what: str) -> list[str]:
    """One line of the table under HEAD."""
    more = f" (more above {model.tiers[1].above} input tokens)" if len(model.tiers) > 1 else ""
    return [model.name, *(f"{rate:g}" for rate in model.tiers[0].rates), what + more]


@dataclass(frozen=True, slots=True)
class Target:
    """A Langfuse project."""

    host: str
    public_key: str
    secret_key: str = field(repr=False)
    timeout_s: float = 10.0
    tls: ClientTls | None = None

    @classmethod
    def of(cls, section: Langfuse | None, host: str, public_key: str, secret_key: str, environ: Mapping[str, str]) -> Target:
        """What was given, else what the configuration says, else the variables of the Langfuse SDKs; raises ConfigError."""
        given = (
            host or (section.host if section else "") or environ.get("LANGFUSE_BASE_URL", "") or environ.get("LANGFUSE_HOST", ""),
            public_key or (section.public_key if section else "") or environ.get("LANGFUSE_PUBLIC_KEY", ""),
            secret_key or (section.secret_key if section else "") or environ.get("LANGFUSE_SECRET_KEY", ""),
        )
        options = ("--host", "--public-key", "--secret-key")
        if faults := [
            f"{option}: is missing, and neither a configuration nor the environment says it"
            for option, value in zip(options, given, strict=True)
            if not value
        ]:
            raise ConfigError(faults)
        return cls(*given, section.timeout / NS_PER_S, section.tls) if section else cls(*given)


async def push(settings: Settings, target: Target, match: str, out: TextIO, now_ns: int, *, really: bool) -> int:
    """Say what *target* lacks, and create it where *really*; the exit code. Raises OtelExtError where the server cannot be asked."""
    try:
        re.compile(match)
    except re.error as error:
        raise ConfigError([f"--match: is not a regular expression ({error})"]) from None
    options = Options(
        timeout_s=target.timeout_s, tls=target.tls, proxy=settings.exporters.proxy_from_environment, wait_max_s=90, attempts=6
    )
    async with Api(target.host, target.public_key, target.secret_key, options) as api:
        found = await plan(api, price_list(settings.prices), now_ns, match)
        if really:
            rows = [row(model, what) async for model, what in create(api, found.missing)]
        else:
            rows = [row(model, "missing") for model in found.missing]
    print(table(rows, HEAD) + "\n" if rows else "", end="", file=out)
    print(_told(found, rows, really=really), file=out)
    return 1 if any(cells[-1].startswith("refused") for cells in rows) else 0


def _told(found: Plan, rows: Sequence[Sequence[str]], *, really: bool) -> str:
    refused = sum(cells[-1].startswith("refused") for cells in rows)
    done = f"{len(rows) - refused} created, {refused} refused" if really else f"{len(rows)} missing"
    hourly = f", {len(found.hourly)} left out: their price depends on the hour" if found.hourly else ""
    advice = "" if really or not rows else "; nothing was changed: --yes creates them"
    return f"US dollars per million tokens; {done}, {found.there} there already{hourly}{advice}"
