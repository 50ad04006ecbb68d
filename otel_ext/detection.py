"""The settings of the rules: a section of the configuration, `detect`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from otel_ext.bounds import NS_PER_S, Count, Duration, Range, section


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What an agent's run must hold. `agent` is a glob over the agent's name, else the service's."""

    agent: str
    require: tuple[str, ...] = ()
    any_of: tuple[tuple[str, ...], ...] = ()
    before: tuple[tuple[str, ...], ...] = ()
    forbid: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSkipping:
    """`settle` is how long a verdict waits while something is outstanding."""

    settle: Annotated[int, Duration(0, 3_600)] = 5 * NS_PER_S
    expectations: tuple[Expectation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """Counts at which repetition becomes a finding."""

    max_iterations: Annotated[int, Range(1, 100_000)] = 10
    identical_calls: Annotated[int, Range(2, 16)] = 3
    failing_calls: Annotated[int, Range(2, 16)] = 3
    identical_outputs: Annotated[int, Range(2, 16)] = 3
    cycle_period: Annotated[int, Range(1, 5)] = 3
    cycle_repeats: Annotated[int, Range(2, 8)] = 3
    changing_arguments: Annotated[int, Range(3, 16)] = 5
    similar_outputs: Annotated[int, Range(3, 8)] = 4
    recursion_depth: Annotated[int, Range(2, 100)] = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSpike:
    """A run's tokens against its agent's own past; `baseline_tokens` an iteration stands in until `min_samples` runs were seen."""

    multiplier: Annotated[float, Range(1.0, 1_000.0)] = 3.0
    baseline_tokens: Annotated[int, Range(1, 100_000_000)] = 2_000
    min_samples: Annotated[int, Range(2, 10_000)] = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencySpike:
    """A run's time against its agent's own past. A run shorter than `floor` is never slow."""

    multiplier: Annotated[float, Range(1.0, 1_000.0)] = 5.0
    min_samples: Annotated[int, Range(2, 10_000)] = 20
    floor: Annotated[int, Duration(0, 86_400)] = 1 * NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Iterations:
    """A run's model calls against its agent's own past."""

    multiplier: Annotated[float, Range(1.0, 1_000.0)] = 3.0
    min_samples: Annotated[int, Range(2, 10_000)] = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CostSpike:
    """What a run cost against its agent's own past. A run under `floor` dollars is never dear."""

    multiplier: Annotated[float, Range(1.0, 1_000.0)] = 3.0
    min_samples: Annotated[int, Range(2, 10_000)] = 20
    floor: Annotated[float, Range(0.0, 1_000_000.0)] = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class DegradedOutput:
    """`short_share`: an answer shorter than this share of what the agent usually writes is too short."""

    short_share: Annotated[float, Range(0.0, 1.0)] = 0.1
    min_samples: Annotated[int, Range(2, 10_000)] = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Baselines:
    """What is usual for an agent. With `store`, a file, it survives a restart."""

    store: str = ""
    agents_max: Count = 2_000
    deviations: Annotated[float, Range(0.0, 100.0)] = 4.0  # standard deviations off the mean that a run must be to stand out
    tool_samples: Annotated[int, Range(10, 500)] = 200  # runs before a tool can be called customary
    tool_share: Annotated[float, Range(0.5, 1.0)] = 0.98  # of the agent's runs that call a customary tool


@dataclass(frozen=True, slots=True, kw_only=True)
class Detect:
    """The rules."""

    tool_skipping: ToolSkipping = section(ToolSkipping)
    loop: Loop = section(Loop)
    token_spike: TokenSpike = section(TokenSpike)
    latency_spike: LatencySpike = section(LatencySpike)
    iterations: Iterations = section(Iterations)
    cost_spike: CostSpike = section(CostSpike)
    degraded_output: DegradedOutput = section(DegradedOutput)
    baselines: Baselines = section(Baselines)
    rules: tuple[str, ...] = ()  # rules of one's own, as package.module:Class
    disable: tuple[str, ...] = ()  # rules that are not wanted: globs over rule ids, with @ and a glob over agents for some agents only
