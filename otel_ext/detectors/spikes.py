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

    def usual(self, agent: int, service: int, models: int) -> tuple[float, int]:
        """Tokens that a run of this agent has, and from how many runs that is known; 0 while it is only the configured baseline."""
        past = self._agents.get((agent, service))
        if past is not None and past.runs >= self.settings.min_samples:
            return past.mean, past.runs
        return float(self.settings.baseline_tokens * max(1, models)), 0

    def is_usual(self, agent: int, service: int, tokens: int, models: int) -> bool:
        """The run is within its bounds."""
        return tokens <= self.settings.multiplier * self.usual(agent, service, models)[0]

    def judge(self, run: Run) -> Hit | None:
        """A hit where the run's tokens pass `multiplier` times the usual; low until there were enough runs to know that."""
        tokens = run.tokens
        usual, samples = self.usual(run.agent, run.service, len(run.models))
        if tokens <= self.settings.multiplier * usual:
            return None
        return Hit(
            type="token_spike",
            rule="token_spike/run",
            severity=Severity.MEDIUM if samples else Severity.LOW,
            subject=run.span,
            span=run.span,
            message=f"{tokens} tokens in one run, {tokens / usual:.1f} times "
            + ("this agent's mean" if samples else "the configured baseline"),
            evidence={"tokens": tokens, "usual": round(usual), "samples": samples},
        )

    def learn(self, agent: int, service: int, tokens: int) -> None:
        """Add a run to its agent's past. Called once a run, when nothing more can arrive for it."""
        past = self._agents.get((agent, service))
        if past is None:
            past = self._agents[agent, service] = _Past()
            if len(self._agents) > self.settings.agents_max:
                del self._agents[next(iter(self._agents))]
                self.forgotten += 1
        past.runs += 1
        past.mean += (tokens - past.mean) * max(_WEIGHT, 1 / past.runs)
