"""How what otel_ext says of real frameworks differs from what the model server saw, the excused too.

    python -m tests.frameworks.report [PAIR...] [--scenario NAME] [--keep FOLDER | --kept FOLDER]

plays the pairs that are installed and prints a table; `--keep` writes down what was exported, `--kept` judges that again without playing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.e2e.kit import Stage
from tests.frameworks.bench import Played, differences, judge, play
from tests.frameworks.kept import keep, load
from tests.frameworks.known import unsent, wrong
from tests.frameworks.pairs import PAIRS, Pair

EXAMPLES = 2


def runs(pair: Pair, options: argparse.Namespace) -> dict[str, Played]:
    """Raises RuntimeError where the pair's program fails."""
    if options.kept:
        told = load(options.kept / pair.name)
        return {name: played for name, played in told.items() if not options.scenario or name in options.scenario}
    with tempfile.TemporaryDirectory() as folder:
        return play(pair, options.scenario or pair.scenarios, Path(folder))


def report(stage: Stage, pair: Pair, told: Mapping[str, Played]) -> int:
    """Print how the runs of a pair are read; how many are read as the server saw them, what was not sent left aside."""
    by_kind: dict[str, list[str]] = {}
    right = 0
    for name, played in told.items():
        found = differences(played, judge(stage, played.seen.traces))
        bad = {what: text for what, text in found.items() if what not in unsent(pair.name, name)}
        right += not bad
        for what, text in bad.items():
            by_kind.setdefault(what, []).append(f"{name}: {text}" + " (excused)" * bool(wrong(pair.name, name, aspect(what))))
        for fault in (*played.seen.faults, *([f"ended by {played.error[:150]}"] if played.error else [])):
            print(f"  {name}: {fault}")
    for what, texts in by_kind.items():
        print(f"  {what} ({len(texts)}): {'; '.join(texts[:EXAMPLES])}{'; ...' if len(texts) > EXAMPLES else ''}")
    print(f"  {right} of {len(told)} right", flush=True)
    return right


def aspect(what: str) -> str:
    """The name under which a difference is excused."""
    return {"models": "models", "tools": "tools", "missing": "findings", "uncalled": "findings"}.get(what, "tokens")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="*")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--kept", type=Path)
    parser.add_argument("--scenario", action="append")
    options = parser.parse_args(arguments)
    stage = Stage()
    right = total = 0
    for pair in PAIRS:
        if options.pairs and pair.name not in options.pairs:
            continue
        print(f"## {pair.name}")
        if not (pair.is_here or options.kept):
            print(f"  {pair.group} is not installed")
            continue
        try:
            told = runs(pair, options)
        except RuntimeError as error:
            print(f"  {error}")
            continue
        for name, played in told.items() if options.keep else ():
            keep(options.keep / pair.name, name, played)
        right += report(stage, pair, told)
        total += len(told)
    stage.close()
    print(f"{right} of {total} runs right")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
