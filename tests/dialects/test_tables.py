"""Each dialect's spans, and what is read from them; and that the tables hold together."""

from __future__ import annotations

import pytest

from otel_ext.dialects import DIALECTS, KEYS, RULES, known_scope
from otel_ext.dialects.base import CALLS, MODELS
from otel_ext.model import StepKind
from otel_ext.wire.table import Field
from tests.dialects import conventions, frameworks, platforms
from tests.dialects.kit import CODECS, Case, codec_of, expected, see

CASES = [*conventions.CASES, *frameworks.CASES, *platforms.CASES]
TOKENS = (
    Field.INPUT_TOKENS,
    Field.INPUT_TOKENS_NET,
    Field.OUTPUT_TOKENS,
    Field.CACHED_TOKENS,
    Field.CACHE_WRITE_TOKENS,
    Field.REASONING_TOKENS,
    Field.COST,
)


@pytest.mark.parametrize("kind", CODECS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.dialect}: {case.name}")
def test_a_span_is_read_as_its_dialect_means_it(case: Case, kind: str) -> None:
    """What the case names, no more."""
    seen = see(codec_of(kind), case.payload())
    assert {name: seen[name] for name in case.seen} == expected(case.seen)


def test_every_dialect_has_a_case() -> None:
    """A dialect without an example could say anything."""
    without = {dialect.name for dialect in DIALECTS} - {case.dialect for case in CASES} - {"otel_ext"}
    assert without == set()


def test_names_are_unique_and_titled() -> None:
    """A dialect is one table."""
    assert len({dialect.name for dialect in DIALECTS}) == len(DIALECTS)
    assert all(dialect.title for dialect in DIALECTS)


def test_tokens_count_on_model_calls_only() -> None:
    """An agent's span repeats its calls' tokens; where it is the only one to have them, its scope is named. A tool may have a cost."""
    for key in KEYS:
        if key.field in TOKENS:
            allowed = {*MODELS, *CALLS} if key.field == Field.COST else {*MODELS}
            assert key.kinds, key
            assert set(key.kinds) <= allowed or key.scope, key


def test_bare_words_need_a_scope() -> None:
    """`name` or `input` may be anybody's attribute: read under the scope of the dialect only, or on its own event."""
    for key in KEYS:
        is_prefix = key.field in (Field.FLAT_OUTPUT, Field.FLAT_INPUT, Field.FLAT_DECLARED)
        if not is_prefix and "." not in key.name and ":" not in key.name and "_" not in key.name and key.name != "metadata":
            assert key.scope, key


def test_two_keys_of_one_field_and_rank_are_the_same_for_the_dialect() -> None:
    """On equal rank the order on the wire would decide which of two attributes is read."""
    accumulate = (Field.MARK, Field.TEXT, Field.ERROR, Field.DECLARED, Field.FLAT_DECLARED, Field.FINISH, Field.INPUT_MESSAGES)
    seen: dict[tuple[object, ...], str] = {}
    for key in KEYS:
        if key.field in accumulate:
            continue
        for kind in key.kinds or (None,):
            place = (key.field, key.rank, key.scope, kind)
            assert seen.setdefault(place, key.name) == key.name or _apart(key.name, seen[place]), (key, seen[place])


def _apart(one: str, other: str) -> bool:
    """Keys of different vendors: never on one span."""
    return one.split(".")[0] != other.split(".")[0]


def test_name_rules_that_fit_any_span_are_few() -> None:
    """Each costs a comparison a span; those with a scope cost one a batch of spans."""
    assert sum(not rule.scope for rule in RULES) <= 20
    assert all(rule.scope or rule.prefix for rule in RULES)


def test_only_tool_calls_of_mcp_have_a_tool() -> None:
    """An MCP span with a tool name counts as a call."""
    kinds = [key.values for key in KEYS if key.field is Field.KIND and StepKind.MCP in key.values.values()]
    assert all(set(values) == {"tools/call"} for values in kinds)


@pytest.mark.parametrize(
    ("scope", "dialect"),
    [
        ("openinference.instrumentation.crewai", "openinference"),
        ("opentelemetry.instrumentation.openai.v1", "openllmetry"),
        ("opentelemetry.util.genai.handler", "otel_genai"),
        ("opentelemetry.instrumentation.genai.openai", "otel_genai"),
        ("pydantic-ai", "pydantic_ai"),
        ("logfire.openai", "logfire"),
        ("strands.telemetry.tracer", "strands"),
        ("gen_ai", "vercel_ai"),
        ("ai", "vercel_ai"),
        ("airflow", None),
        ("travel.app", None),
        ("", None),
    ],
)
def test_known_scopes(scope: str, dialect: str | None) -> None:
    """A scope's name tells whose spans they are, or that nobody knows."""
    assert known_scope(scope) == dialect
