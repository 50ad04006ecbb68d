"""Says loudly which frameworks are not here, and plays each pair once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.kit import Stage
from tests.frameworks.bench import Judged, Played, judge, play
from tests.frameworks.pairs import PAIRS, Pair

Bench = Callable[[Pair, str], tuple[Played, Judged]]


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """What became of a scenario of a pair. The pair's program runs once, over all its scenarios, when the first is asked for."""
    stage = Stage()
    played: dict[str, dict[str, Played] | RuntimeError] = {}
    judged: dict[tuple[str, str], Judged] = {}

    def of(pair: Pair, scenario: str) -> tuple[Played, Judged]:
        if pair.name not in played:
            played[pair.name] = _play(pair, tmp_path_factory.mktemp("frameworks"))
        runs = played[pair.name]
        if isinstance(runs, RuntimeError):
            raise runs
        if (pair.name, scenario) not in judged:
            judged[pair.name, scenario] = judge(stage, runs[scenario].seen.traces)
        return runs[scenario], judged[pair.name, scenario]

    yield of
    stage.close()


def _play(pair: Pair, folder: Path) -> dict[str, Played] | RuntimeError:
    try:
        return play(pair, pair.scenarios, folder)
    except RuntimeError as error:
        return error


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    missing = sorted({pair.group for pair in PAIRS if not pair.is_here})
    if missing:
        terminalreporter.write_line(f"FRAMEWORKS NOT TESTED, `make frameworks` installs them: {', '.join(missing)}", yellow=True, bold=True)
