"""`python -m benchmarks.run`: every contender on the same payload in one run, as tables.

Sections (`--only`): throughput, memory, delay, micro. Contenders take turns within a repeat, so that a busy minute hits all of them.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks import micro, report
from benchmarks.contenders import CONTENDERS
from benchmarks.payload import SHAPES
from benchmarks.template import SPANS_PER_TRACE
from benchmarks.trial import Load, Result, run_trial

SHOWN: Final = (
    *("floor-receive", "floor-forward", "rotel", "rotel-less-gzip", "rotel-receive"),
    *("ours", "ours-tempo", "ours-tempo-gzip", "ours-python"),
)
DELAYED: Final = ("floor-forward", "rotel", "rotel-unbatched", "ours", "ours-tempo")
THROUGHPUT_SHAPES: Final = ("512", "16", "fat")
SPANS: Final = {"512": 409_600, "spread": 409_600, "16": 160_000, "fat": 25_600}  # half a CPU second of the floor, or more
INFLIGHT: Final = {"512": 8, "spread": 8, "16": 32, "fat": 4}
OPEN_TRACES: Final = 100_000
DELAY_RATE: Final = 20_000.0
FILL_RATE: Final = 60_000.0  # spans a second while traces are opened: memory is what stays, not what queues


@dataclass(frozen=True, slots=True)
class Options:
    """What to run, and how much of it."""

    sections: Sequence[str]
    contenders: Sequence[str] | None
    shapes: Sequence[str]
    repeat: int
    quick: bool

    def spans(self, count: int) -> int:
        """*count*, or little of it for a smoke run."""
        return max(512, count // 100) if self.quick else count

    def chosen(self, shown: Sequence[str]) -> Sequence[str]:
        """The contenders of a section."""
        return shown if self.contenders is None else [name for name in self.contenders if name in CONTENDERS]

    @property
    def quiet_s(self) -> float:
        """How long sinks must be quiet to count as drained: over rotel's batch timeout."""
        return 0.4 if self.quick else 1.0


def throughput(options: Options) -> list[Result]:
    """CPU and memory of everybody at full speed."""
    results: list[Result] = []
    names = options.chosen(SHOWN)
    for shape in options.shapes:
        load = Load(
            shape=SHAPES[shape],
            spans=options.spans(SPANS[shape]),
            warm_up=options.spans(max(20 * SHAPES[shape].spans_per_batch, 2048)),
            inflight=INFLIGHT[shape],
            quiet_s=options.quiet_s,
        )
        results += _take_turns(names, load, options.repeat)
        of_shape = [result for result in results if result.shape == shape]
        print(report.throughput_table(shape, of_shape, {name: CONTENDERS[name].about for name in names}), end="\n\n", flush=True)
    return results


def _take_turns(names: Sequence[str], load: Load, repeat: int) -> list[Result]:
    results: list[Result] = []
    for turn in range(repeat):
        for name in names:
            absent = any(result.contender == name and not result.spans for result in results)
            if not absent:
                print(f"  {load.shape.name} {turn + 1}/{repeat} {name} ...", file=sys.stderr, flush=True)
                contender = CONTENDERS[name]
                results.append(run_trial(contender, replace(load, spans=max(512, int(load.spans * contender.load)))))
    return results


def memory(options: Options) -> list[Result]:
    """Resident memory with many traces open."""
    traces = options.spans(OPEN_TRACES)
    load = Load(
        shape=SHAPES["open"],
        spans=traces * SPANS_PER_TRACE,
        rate=FILL_RATE,
        lazy=True,
        quiet_s=options.quiet_s,
    )
    names = [name for name in options.chosen(("ours-open",)) if CONTENDERS[name].finds]
    results = [run_trial(CONTENDERS[name], load) for name in names]
    print(report.memory_table(results, traces), end="\n\n", flush=True)
    return results


def delay(options: Options) -> list[Result]:
    """Receive to forward at a fixed rate."""
    results = []
    for shape in [shape for shape in ("512", "16") if shape in options.shapes]:
        load = Load(
            shape=SHAPES[shape],
            spans=options.spans(int(DELAY_RATE) * 10),
            warm_up=4096,
            inflight=INFLIGHT[shape],
            rate=DELAY_RATE,
            quiet_s=options.quiet_s,
        )
        results += _take_turns(options.chosen(DELAYED), load, 1)
    print(report.delay_table(results, DELAY_RATE), end="\n\n", flush=True)
    return results


def parts(options: Options) -> list[Result]:
    """Codecs and rules alone, without a network."""
    print(micro.tables(quick=options.quick), end="\n\n", flush=True)
    return []


SECTIONS: Final[dict[str, Callable[[Options], list[Result]]]] = {"throughput": throughput, "memory": memory, "delay": delay, "micro": parts}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sections that were asked for; 1 where nobody at all could be measured."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(SECTIONS), metavar="A,B", help=f"sections, of {', '.join(SECTIONS)}")
    parser.add_argument("--contenders", metavar="A,B", help=f"instead of each section's own, of {', '.join(CONTENDERS)}")
    parser.add_argument("--shapes", default=",".join(THROUGHPUT_SHAPES), metavar="A,B", help=f"batches, of {', '.join(SPANS)}")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each contender for throughput")
    parser.add_argument("--quick", action="store_true", help="a hundredth of the load, once: shows that it works, its figures mean nothing")
    parser.add_argument("--json", type=Path, help="also write every single result to this file")
    known = parser.parse_args(given)
    options = Options(
        sections=_listed(parser, known.only, SECTIONS),
        contenders=None if known.contenders is None else _listed(parser, known.contenders, CONTENDERS),
        shapes=_listed(parser, known.shapes, SPANS),
        repeat=1 if known.quick else known.repeat,
        quick=known.quick,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that programs are ended and folders removed
    print(report.header(given), end="\n\n", flush=True)
    results = [result for section in options.sections for result in SECTIONS[section](options)]
    if known.json:
        known.json.write_text(json.dumps([{**asdict(result), "cpu_us": result.cpu_us} for result in results], indent=1))
    return 0 if not results or any(result.spans for result in results) else 1


def _listed(parser: argparse.ArgumentParser, text: str, known: Mapping[str, object]) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            parser.error(f"{name}: not one of {', '.join(known)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
