"""Token spikes: a run against its own agent's past, never against an absolute number alone."""

from __future__ import annotations

from dataclasses import dataclass, field

from otel_ext.detectors.base import Hit
from otel_ext.detectors.skipping import Run
from otel_ext.model import Severity
from otel_ext.settings import TokenSpike

_WEIGHT = 0.05  # of the newest run in the moving mean: a memory of some twenty runs


@dataclass(slots=True)
class _Past:
    runs: int = 0
    mean: float = 0.0


@dataclass(slots=True)
class TokenSpikes:
    """Bounded in agents; the one learned first goes first, and is counted."""

    settings: TokenSpike
    forgotten: int = 0
    _agents: dict[tuple[int, int], _Past] = field(default_factory=dict)

    def judge(self, run: Run) -> Hit | None:
        """A hit where the run's tokens pass `multiplier` times the mean; low until there were enough runs to have a mean."""
        tokens = run.tokens
        past = self._agents.get((run.agent, run.service))
        learned = past is not None and past.runs >= self.settings.min_samples
        usual = past.mean if past and learned else float(self.settings.baseline_tokens * max(1, len(run.models)))
        if tokens <= self.settings.multiplier * usual:
            return None
        return Hit(
            type="token_spike",
            rule="token_spike/run",
            severity=Severity.MEDIUM if learned else Severity.LOW,
            subject=run.span,
            span=run.span,
            message=f"{tokens} tokens in one run, {tokens / usual:.1f} times "
            + ("this agent's mean" if learned else "the configured baseline"),
            evidence={"tokens": tokens, "usual": round(usual), "samples": past.runs if past else 0},
        )

    def learn(self, run: Run) -> None:
        """Add the run to its agent's past. Called once a run, when nothing more can arrive for it."""
        key = (run.agent, run.service)
        past = self._agents.setdefault(key, _Past())
        past.runs += 1
        past.mean += (run.tokens - past.mean) * max(_WEIGHT, 1 / past.runs)
        if len(self._agents) > self.settings.agents_max:
            del self._agents[next(iter(self._agents))]
            self.forgotten += 1
