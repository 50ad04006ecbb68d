"""How far a run went towards each rule's limit: what `scan --explain` shows, and what calibration counts. Pure.

The numbers come from the rules themselves, asked again with other counts, so that they cannot differ from what fires.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from otel_ext.detectors.base import Step, StepRule
from otel_ext.detectors.baselines import MILLISECONDS, MODELS, TOKENS, Baselines
from otel_ext.detectors.circles import SimilarOutputs
from otel_ext.detectors.loops import ChangingArguments, Cycle, FailingCall, IdenticalCalls, IdenticalOutput
from otel_ext.detectors.runs import Run, turns
from otel_ext.settings import Detect
from otel_ext.wire.steps import LLM

_MOST: Final = 16  # counts over it are said as "16 or more"


@dataclass(frozen=True, slots=True)
class Reached:
    """One rule about one run: the `value` it came to, the `limit` at which it fires, and the key that sets the limit ("" for none)."""

    rule: str
    value: float
    limit: float
    what: str
    key: str = ""

    @property
    def fires(self) -> bool:
        """The limit is reached."""
        return self.value >= self.limit


def reached(run: Run, detect: Detect, past: Baselines) -> Iterator[Reached]:
    """Every rule that counts, for *run*; those over baselines only once the agent has a past."""
    yield from _loops(run, detect)
    yield from _spikes(run, detect, past)
    missing = sum(1 for request in run.requests if not request.answered)
    yield Reached("tool_skipping/requested_not_executed", missing, 1, "calls asked for that nothing shows to have been made")


def _loops(run: Run, detect: Detect) -> Iterator[Reached]:
    loop = detect.loop
    steps = sorted([*run.calls, *run.models])
    families: tuple[tuple[str, str, int, str, Callable[[int], StepRule]], ...] = (
        (
            "loop/identical_calls",
            "loop.identical_calls",
            loop.identical_calls,
            "equal calls and results in a row",
            IdenticalCalls,
        ),
        ("loop/failing_call", "loop.failing_calls", loop.failing_calls, "failures of one call, without a success", FailingCall),
        ("loop/cycle", "loop.cycle_repeats", loop.cycle_repeats, "rounds of one cycle of calls", lambda n: Cycle(loop.cycle_period, n)),
        (
            "loop/changing_arguments",
            "loop.changing_arguments",
            loop.changing_arguments,
            "calls with a number that walks and one result",
            ChangingArguments,
        ),
    )
    for rule, key, limit, what, make in families:
        yield Reached(rule, _most(make, steps, of_models=False), limit, what, key)
    yield Reached(
        "loop/identical_output",
        _most(IdenticalOutput, steps, of_models=True),
        loop.identical_outputs,
        "equal texts of the model",
        "loop.identical_outputs",
    )
    alike = _count_up(lambda n: any(SimilarOutputs(n).judge(run)))
    yield Reached("loop/similar_output", alike, loop.similar_outputs, "nearly equal answers among eight", "loop.similar_outputs")
    yield Reached("loop/max_iterations", len(run.models), loop.max_iterations + 1, "model calls", "loop.max_iterations")


def _most(make: Callable[[int], StepRule], steps: Sequence[Step], *, of_models: bool) -> int:
    """The highest count with which the rule still hits; 1 where nothing repeats and something is there."""
    family = [(list(seen), since) for seen, since in turns(steps) if (seen[-1][2] == LLM) == of_models]
    if not family:
        return 0
    return _count_up(lambda count: any(make(count).judge(seen, len(seen) - 1, since) for seen, since in family))


def _count_up(hits: Callable[[int], bool]) -> int:
    count = 1
    while count < _MOST and hits(count + 1):
        count += 1
    return count


def _spikes(run: Run, detect: Detect, past: Baselines) -> Iterator[Reached]:
    spike = detect.token_spike
    key = (run.agent, run.service)
    if past.runs(key) < spike.min_samples:
        baseline = spike.baseline_tokens * max(1, len(run.models))
        what = f"tokens, of {past.runs(key)} runs of this agent so far ({spike.min_samples} needed for a baseline of its own)"
        yield Reached("token_spike/run", run.tokens, spike.multiplier * baseline, what, "token_spike.baseline_tokens")
        return
    measures = (
        ("token_spike/run", TOKENS, run.tokens, spike.multiplier, "tokens", "token_spike.multiplier"),
        ("latency_spike/run", MILLISECONDS, run.milliseconds, detect.latency_spike.multiplier, "milliseconds", "latency_spike.multiplier"),
        ("anomaly/iterations", MODELS, len(run.models), detect.iterations.multiplier, "model calls", "iterations.multiplier"),
    )
    for rule, measure, value, multiplier, what, setting in measures:
        usual = past.usual(key, measure, spike.min_samples)
        if usual:
            limit = max(multiplier * usual.mean, usual.mean + detect.baselines.deviations * usual.deviation, usual.high)
            said = f"{what}; mean {usual.mean:.0f}, deviation {usual.deviation:.0f}, high {usual.high:.0f}, of {usual.runs} runs"
            yield Reached(rule, value, limit, said, setting)
