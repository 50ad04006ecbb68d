"""The rules, one family a file. They see steps as small integers, and know neither clock nor network."""

from __future__ import annotations

from collections.abc import Callable

from otel_ext.detectors.base import StepRule
from otel_ext.detectors.baselines import Baselines
from otel_ext.detectors.circles import Recursion, SimilarOutputs
from otel_ext.detectors.claimed import ClaimedNotDone, KnownTools
from otel_ext.detectors.degraded import DegradedOutput
from otel_ext.detectors.loops import ChangingArguments, Cycle, FailingCall, IdenticalCalls, IdenticalOutput
from otel_ext.detectors.runs import RunRule
from otel_ext.detectors.skipping import Learned, RequestedNotExecuted
from otel_ext.detectors.spikes import CostSpike, IterationSpike, LatencySpike, ShortOutput, TokenSpike
from otel_ext.settings import Detect, Loop


def call_rules(loop: Loop) -> tuple[StepRule, ...]:
    """Rules over tool calls. They hit only where a call repeats, but for a number: a trace whose calls all differ need not be judged."""
    return (
        IdenticalCalls(loop.identical_calls),
        FailingCall(loop.failing_calls),
        Cycle(loop.cycle_period, loop.cycle_repeats),
        ChangingArguments(loop.changing_arguments),
    )


def model_rules(loop: Loop) -> tuple[StepRule, ...]:
    """Rules over model calls. They hit only where an output repeats."""
    return (IdenticalOutput(loop.identical_outputs),)


def run_rules(detect: Detect, past: Baselines, tools: KnownTools, name: Callable[[int], str]) -> tuple[RunRule, ...]:
    """Rules over whole runs, but for expectations."""
    return (
        RequestedNotExecuted(name),
        ClaimedNotDone(name, tools),
        Learned(past),
        TokenSpike(detect, past),
        LatencySpike(detect, past),
        IterationSpike(detect, past),
        CostSpike(detect, past),
        DegradedOutput(),
        ShortOutput(detect, past),
        SimilarOutputs(detect.loop.similar_outputs),
        Recursion(detect.loop.recursion_depth),
    )
