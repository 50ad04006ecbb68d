"""The parts alone, in this process: both codecs on the same bytes, the whole pipeline, and each rule.

CPU time, the least of several rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks.contenders import Ports, ours_config
from benchmarks.payload import SHAPES, Payload
from benchmarks.report import table

if TYPE_CHECKING:
    from otel_ext.detectors.base import Step, StepRule
    from otel_ext.detectors.runs import Run, RunRule
    from otel_ext.settings import Settings
    from otel_ext.wire import Codec
    from otel_ext.wire.table import Scan

ROUNDS: Final = 5
NOW_NS: Final = 1_795_000_000_000_000_000
SHAPES_SHOWN: Final = ("512", "16", "fat")

Rule = tuple[str, str, int, Callable[[], object]]  # its name, what it is asked for, how many of these, the work
Operations = Iterator[tuple[str, Callable[[], object]]]


def tables(*, quick: bool = False) -> str:
    """Both tables, or the reason why there is none."""
    try:
        return "\n\n".join((_codec_table(quick=quick), _rule_table(quick=quick)))
    except ImportError as error:
        return f"== micro\nNOT THERE YET: {error}"


def _least_us(work: Callable[[], object], units: int, rounds: int) -> float:
    """Microseconds of CPU a unit, the least of *rounds*: noise only adds."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times) * 1e6 / units


def _codec_table(*, quick: bool) -> str:
    from otel_ext.dialects import KEYS, RULES
    from otel_ext.wire import NATIVE, make_codec

    codecs = [(native, make_codec(KEYS, RULES, prefer_native=native)) for native in ((True, False) if NATIVE else (False,))]
    rows = []
    for name in SHAPES_SHOWN:
        shape = SHAPES[name]
        bodies = [batch.body for batch in Payload(shape).batches(1 if quick else max(2, 8192 // shape.spans_per_batch))]
        rounds = 1 if quick else ROUNDS
        costs = [
            _codec_costs(codec, bodies if native else bodies[: max(1, len(bodies) // 8)], shape.spans_per_batch, rounds)
            for native, codec in codecs
        ]
        for what, pure in costs[-1].items():
            native = costs[0][what] if NATIVE else 0.0
            rows.append(
                (f"{name}: {what}", f"{native:.3f}" if NATIVE else "not built", f"{pure:.2f}", f"{pure / native:.0f}" if NATIVE else "-")
            )
    head = ("payload: part", "native µs/span", "pure µs/span", "pure / native")
    return f"== micro: one thread, no network\n{table(head, rows)}"


def _codec_costs(codec: Codec, bodies: Sequence[bytes], spans_per_body: int, rounds: int) -> dict[str, float]:
    return {what: _least_us(work, len(bodies) * spans_per_body, rounds) for what, work in _operations(codec, bodies)}


def _operations(codec: Codec, bodies: Sequence[bytes]) -> Operations:
    """What the sidecar does to a payload, by itself and all together."""
    from otel_ext.pipeline import Pipeline
    from otel_ext.wire.encode import attribute

    scans = [codec.scan(body) for body in bodies]
    link = attribute("langfuse.trace_id", "0123456789abcdef0123456789abcdef")
    columns = [[(np.ones(len(scan.spans), dtype="<u4"), [b"", link])] for scan in scans]
    keeps = [(scan.spans["kind"] != 0).astype("u1") for scan in scans]
    parents = [scan.spans["parent_id"].astype("<u8") for scan in scans]

    def pipeline() -> None:
        made = Pipeline(_settings(), codec)
        for body in bodies:
            made.process(body, NOW_NS)

    yield "scan", lambda: [codec.scan(body) for body in bodies]
    yield "splice one attribute", lambda: [codec.splice(*each) for each in zip(bodies, columns, strict=True)]
    yield "project the LLM tree", lambda: [codec.project(*each) for each in zip(bodies, keeps, parents, columns, strict=True)]
    yield "whole pipeline: links, rules, both payloads", pipeline


def _settings() -> Settings:
    """The configuration of the contender `ours`."""
    from otel_ext.configfile import load

    return load(ours_config(Ports(1, 2, 3, 4, 5)), {})


def _rule_table(*, quick: bool) -> str:
    """Each rule on healthy traces. A cheap look keeps most of them from the rules: this is what one costs when it is asked."""
    from otel_ext.dialects import KEYS, RULES
    from otel_ext.wire import make_codec

    body = next(Payload(SHAPES["512"]).batches(1)).body
    codec = make_codec(KEYS, RULES)
    traces = _traces(codec.scan(body))
    rows = []
    for name, unit, count, work in (*_step_rules(traces), *_run_rules(traces, codec)):
        cost = _least_us(work, max(1, count), 1 if quick else ROUNDS)
        rows.append((name, unit, f"{cost:.2f}", f"{cost * count / SHAPES['512'].spans_per_batch:.3f}", ""))
    return table(("rule", "per", "µs", "µs/span of all", ""), rows)


def _step_rules(traces: Sequence[Sequence[Step]]) -> Iterator[Rule]:
    """Rules that are asked at each call, or at each model step."""
    from otel_ext.detectors import call_rules, model_rules
    from otel_ext.detectors.runs import turns
    from otel_ext.wire.steps import AGENT, LLM

    loop = _settings().detect.loop
    places = [(seen, len(seen) - 1, since) for steps in traces for seen, since in turns(step for step in steps if step[2] != AGENT)]
    models = [place for place in places if place[0][0][2] == LLM]
    calls = [place for place in places if place[0][0][2] != LLM]
    for rules, asked, unit in ((call_rules(loop), calls, "call"), (model_rules(loop), models, "model step")):
        for rule in rules:
            yield type(rule).__name__, unit, len(asked), partial(_at_steps, rule, asked)


def _at_steps(rule: StepRule, places: Sequence[tuple[Sequence[Step], int, int]]) -> None:
    for steps, at, since in places:
        rule.judge(steps, at, since)


def _run_rules(traces: Sequence[Sequence[Step]], codec: Codec) -> Iterator[Rule]:
    """Rules that are asked once a run, of an agent with a past."""
    from otel_ext.detectors import run_rules
    from otel_ext.detectors.runs import names_of
    from otel_ext.detectors.skipping import Expected
    from otel_ext.judge import Judge, runs_of, values_of
    from otel_ext.tracebook import Trace

    settings = _settings().detect
    judge = Judge(settings, codec.name, codec.intern)
    runs = [run for steps in traces for run in runs_of(Trace(), steps, 0)]
    for run in runs:
        judge.learn((run.agent, run.service), values_of(run), names_of(run.calls))
    expected = Expected(settings.tool_skipping.expectations, codec.name, codec.intern)
    for rule in (expected, *run_rules(settings, judge.past, judge.tools, codec.name)):
        yield type(rule).__name__, "run", len(runs), partial(_over_runs, rule, runs)


def _over_runs(rule: RunRule, runs: Sequence[Run]) -> None:
    for run in runs:
        for _ in rule.judge(run):
            pass


def _traces(scan: Scan) -> list[list[Step]]:
    bounds = zip(scan.groups["first"].tolist(), scan.groups["count"].tolist(), strict=True)
    return [[tuple(step) for step in scan.steps[first : first + count].tolist()] for first, count in bounds]
