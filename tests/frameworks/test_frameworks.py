"""Real agent frameworks under their real instrumentation, against a model server that follows a script and bills for it.

What otel_ext says (model calls, tokens, tool calls, findings) is held against what the server saw and which tools were entered.
"""

from __future__ import annotations

import pytest

from tests.frameworks.bench import TOKENS, differences
from tests.frameworks.conftest import Bench
from tests.frameworks.known import stale, unsent, wrong
from tests.frameworks.pairs import PAIRS, Pair
from tests.frameworks.scenarios import SCENARIOS

HERE = [pair for pair in PAIRS if pair.is_here]
ASPECTS = {"models": ("models",), "tokens": TOKENS, "tools": ("tools",), "findings": ("missing", "uncalled")}


def _cases() -> list[object]:
    return [
        pytest.param(pair, scenario, what, id=f"{pair.name}-{scenario}-{what}", marks=_marks(pair, scenario, what))
        for pair in HERE
        for scenario in pair.scenarios
        for what in ASPECTS
    ]


def _marks(pair: Pair, scenario: str, what: str) -> list[pytest.MarkDecorator]:
    reason = wrong(pair.name, scenario, what)
    return [pytest.mark.xfail(reason=reason, strict=True, raises=AssertionError)] if reason else []


@pytest.mark.parametrize(("pair", "scenario", "what"), _cases())
def test_it_is_as_the_server_saw_it(bench: Bench, pair: Pair, scenario: str, what: str) -> None:
    """Model calls and token sums are the server's, tool calls those that were entered, findings those of the scenario, and no other alert.

    What the instrumentation does not send stays unknown: it has no number, not zero.
    """
    played, judged = bench(pair, scenario)
    assert not played.seen.faults
    assert played.seen.asked, played.error
    found = {name: text for name, text in differences(played, judged).items() if name in ASPECTS[what]}
    for name in set(unsent(pair.name, scenario)).intersection(ASPECTS[what]):
        said = {"models": judged.models, "tools": judged.tools, **judged.tokens}.get(name) or judged.tokens.get(name)
        assert said is None, f"{said} {name}: sent after all"
        found.pop(name, None)
    assert not found


def test_the_tables_name_what_exists() -> None:
    """A pair or a scenario that was renamed must not leave an excuse behind."""
    assert not list(stale([pair.name for pair in PAIRS], list(SCENARIOS)))
