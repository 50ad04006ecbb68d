"""Spikes: a run against its own agent's past, never against an absolute number alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from otel_ext.detectors.base import Hit
from otel_ext.detectors.baselines import COST, MILLISECONDS, MODELS, OUTPUT, TOKENS, Baselines, Usual
from otel_ext.detectors.runs import Run
from otel_ext.model import Severity
from otel_ext.settings import Detect


@dataclass(frozen=True, slots=True)
class TokenSpike:
    """Tokens of a run. Until the agent's past is known, a configured number an iteration stands in, and the finding is low."""

    settings: Detect
    past: Baselines

    def judge(self, run: Run) -> Iterator[Hit]:
        """A hit where the run's tokens stand out."""
        spike = self.settings.token_spike
        if self.past.runs((run.agent, run.service)) < spike.min_samples:
            yield from self._warming_up(run)
            return
        usual = self.past.usual((run.agent, run.service), TOKENS, spike.min_samples)
        if usual and _stands_out(run.tokens, usual, spike.multiplier, self.settings):
            message = f"{run.tokens} tokens in one run, {run.tokens / max(1, usual.mean):.1f} times this agent's mean"
            yield _hit("token_spike", "token_spike/run", run, Severity.MEDIUM, message, "tokens", run.tokens, usual)

    def _warming_up(self, run: Run) -> Iterator[Hit]:
        baseline = self.settings.token_spike.baseline_tokens * max(1, len(run.models))
        if run.tokens > self.settings.token_spike.multiplier * baseline:
            seen = self.past.runs((run.agent, run.service))
            yield Hit(
                type="token_spike",
                rule="token_spike/run",
                severity=Severity.LOW,
                subject=run.span,
                span=run.span,
                message=f"{run.tokens} tokens in one run, {run.tokens / baseline:.1f} times the configured baseline"
                f" (warming up: {seen} of {self.settings.token_spike.min_samples} runs of this agent seen)",
                evidence={"tokens": run.tokens, "usual": baseline, "samples": 0},
            )


@dataclass(frozen=True, slots=True)
class LatencySpike:
    """Time of a run."""

    settings: Detect
    past: Baselines

    def judge(self, run: Run) -> Iterator[Hit]:
        """A hit where the run took much longer than this agent's runs do."""
        spike = self.settings.latency_spike
        if run.end - run.start < spike.floor:
            return
        usual = self.past.usual((run.agent, run.service), MILLISECONDS, spike.min_samples)
        if usual and _stands_out(run.milliseconds, usual, spike.multiplier, self.settings):
            message = f"the run took {run.milliseconds / 1000:.1f} s, {run.milliseconds / max(1, usual.mean):.1f} times this agent's mean"
            yield _hit("latency_spike", "latency_spike/run", run, Severity.MEDIUM, message, "milliseconds", run.milliseconds, usual)


@dataclass(frozen=True, slots=True)
class IterationSpike:
    """Model calls of a run."""

    settings: Detect
    past: Baselines

    def judge(self, run: Run) -> Iterator[Hit]:
        """A hit where the run made many more model calls than this agent's runs do."""
        calls, spike = len(run.models), self.settings.iterations
        usual = self.past.usual((run.agent, run.service), MODELS, spike.min_samples)
        if usual and _stands_out(calls, usual, spike.multiplier, self.settings):
            message = f"{calls} model calls in one run, {calls / max(1, usual.mean):.1f} times this agent's mean"
            yield _hit("anomaly", "anomaly/iterations", run, Severity.MEDIUM, message, "model_calls", calls, usual)


@dataclass(frozen=True, slots=True)
class CostSpike:
    """Dollars of a run that is a whole trace."""

    settings: Detect
    past: Baselines

    def judge(self, run: Run) -> Iterator[Hit]:
        """A hit where the run cost much more than this agent's runs do."""
        spike = self.settings.cost_spike
        if run.cost < spike.floor:
            return
        usual = self.past.usual((run.agent, run.service), COST, spike.min_samples)
        if usual and usual.mean > 0 and _stands_out(run.cost, usual, spike.multiplier, self.settings):
            message = f"the run cost {run.cost:.4f} dollars, {run.cost / usual.mean:.1f} times this agent's mean"
            yield _hit("anomaly", "anomaly/cost", run, Severity.MEDIUM, message, "dollars", run.cost, usual)


@dataclass(frozen=True, slots=True)
class ShortOutput:
    """The length of the agent's answer: an agent that writes pages and now writes a word has lost something."""

    settings: Detect
    past: Baselines

    def judge(self, run: Run) -> Iterator[Hit]:
        """A hit where the answer is there, and far shorter than any of this agent's usual ones."""
        short = self.settings.degraded_output
        usual = self.past.usual((run.agent, run.service), OUTPUT, short.min_samples)
        if not usual or not run.output_len:
            return
        if (
            run.output_len < short.short_share * usual.mean
            and run.output_len < usual.mean - self.settings.baselines.deviations * usual.deviation
        ):
            message = f"an answer of {run.output_len} bytes, where this agent's mean is {usual.mean:.0f}"
            yield _hit("degraded_output", "degraded_output/short", run, Severity.LOW, message, "bytes", run.output_len, usual)


def _stands_out(value: float, usual: Usual, multiplier: float, settings: Detect) -> bool:
    deviations = settings.baselines.deviations
    return value > multiplier * usual.mean and value > usual.mean + deviations * usual.deviation and value > usual.high


def _hit(kind: str, rule: str, run: Run, severity: Severity, message: str, what: str, value: float, usual: Usual) -> Hit:
    deviations = (value - usual.mean) / usual.deviation if usual.deviation else 0.0
    return Hit(
        type=kind,
        rule=rule,
        severity=severity,
        subject=run.span,
        span=run.span,
        message=message,
        evidence={
            what: round(value, 4),
            "usual": round(usual.mean, 4),
            "samples": usual.runs,
            "deviations": round(deviations, 1),
            "recent_high": round(usual.high, 4),
        },
    )
