"""The rules, one family a file. They see steps as small integers, and know neither clock nor network."""

from __future__ import annotations

from otel_ext.detectors.base import StepRule
from otel_ext.detectors.loops import Cycle, FailingCall, IdenticalCalls, IdenticalOutput
from otel_ext.settings import Loop


def call_rules(loop: Loop) -> tuple[StepRule, ...]:
    """Rules over tool calls. They hit only where a call repeats: a trace whose calls all differ need not be judged."""
    return (IdenticalCalls(loop.identical_calls), FailingCall(loop.failing_calls), Cycle(loop.cycle_period, loop.cycle_repeats))


def model_rules(loop: Loop) -> tuple[StepRule, ...]:
    """Rules over model calls. They hit only where an output repeats."""
    return (IdenticalOutput(loop.identical_outputs),)
