"""What is usual for an agent, learned from its own runs: tokens, time, model calls, and the tools it hardly ever does without.

An absolute number is no alert: half of all good runs of a service agent pass ten model calls. So each run is held against its agent's
past, and stands out only where three views of it agree: a multiple of the moving mean, many deviations off it (EWMA control chart, Roberts
1959), and above nearly all of the last runs. Bounded in agents, in runs kept and in tools; no I/O, no clock.
"""

from __future__ import annotations

import itertools
import json
import math
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from otel_ext.settings import Baselines as BaselineSettings

WEIGHT: Final = 0.05  # of the newest run in the moving mean: a memory of some twenty runs
RECENT: Final = 64  # runs whose values are kept for the percentile
SATED: Final = 256  # runs after which only every fourth usual one is learned from
TOOLS_MAX: Final = 64  # tools counted an agent; of more, the rest is not learned
_HALVE: Final = 512  # runs after which the counts of tools fade

TOKENS: Final = 0
MILLISECONDS: Final = 1
MODELS: Final = 2
OUTPUT: Final = 3
COST: Final = 4
MEASURES: Final = 5

Key = tuple[int, int]  # interned names of agent and service


class Values(NamedTuple):
    """What one run came to, by measure: tokens, milliseconds, model calls, bytes of the agent's output, dollars. Negative: unknown."""

    tokens: float
    milliseconds: float
    models: float
    output: float
    cost: float


class State(NamedTuple):
    """One agent's past, to be kept over a restart; `state` is JSON of our own."""

    agent: str
    service: str
    state: str


class Usual(NamedTuple):
    """One measure of an agent's past: mean, standard deviation, the 99th percentile of the last runs, and how many runs there were."""

    mean: float
    deviation: float
    high: float
    runs: int


class _Past:
    __slots__ = ("counted", "counts", "left_out", "mean", "passed", "recent", "runs", "variance")

    def __init__(self) -> None:
        self.runs = 0
        self.passed = 0  # runs that were not learned from
        self.mean = [0.0] * MEASURES
        self.variance = [0.0] * MEASURES
        self.recent = array("f")  # RECENT runs of MEASURES values each, a ring
        self.counts: dict[int, int] = {}  # of runs that called a tool
        self.counted = 0  # runs that `counts` is of
        self.left_out = 0  # calls of tools over the bound

    def learn(self, values: Values, tools: Iterable[int]) -> None:
        weight = max(WEIGHT, 1 / (self.runs + 1))
        mean, variance = self.mean, self.variance
        for measure, value in enumerate(values):
            if value >= 0:
                off = value - mean[measure]
                mean[measure] += weight * off
                variance[measure] = (1 - weight) * (variance[measure] + weight * off * off)
        self._remember(values)
        self.runs += 1
        self._count(tools)

    def _remember(self, values: Values) -> None:
        if self.runs < RECENT:
            self.recent.extend(values)
            return
        at = self.runs % RECENT * MEASURES
        self.recent[at : at + MEASURES] = array("f", values)

    def _count(self, tools: Iterable[int]) -> None:
        counts = self.counts
        for tool in tools:
            if tool in counts or len(counts) < TOOLS_MAX:
                counts[tool] = counts.get(tool, 0) + 1
            else:
                self.left_out += 1
        self.counted += 1
        if self.counted >= _HALVE:
            self.counted //= 2
            self.counts = {tool: count // 2 for tool, count in counts.items() if count > 1}

    def usual(self, measure: int) -> Usual:
        recent = sorted(value for value in self.recent[measure::MEASURES] if value >= 0)
        high = recent[math.ceil(0.99 * len(recent)) - 1] if recent else 0.0
        return Usual(self.mean[measure], math.sqrt(self.variance[measure]), high, self.runs)


@dataclass(slots=True)
class Baselines:
    """The past of every agent. The one learned first goes first, and is counted."""

    settings: BaselineSettings
    forgotten: int = 0
    left_out: int = 0  # calls of tools that were not learned, because their agent has too many
    changed: dict[Key, None] = field(default_factory=dict)  # agents that `dump` has not given since they last learned
    _agents: dict[Key, _Past] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._agents)

    def runs(self, key: Key) -> int:
        """How many runs of the agent were learned from."""
        past = self._agents.get(key)
        return past.runs if past else 0

    def is_sated(self, key: Key) -> bool:
        """So much is known of the agent that this usual run of it need not be learned from: of four, one is enough then."""
        past = self._agents.get(key)
        if past is None or past.runs < SATED:
            return False
        past.passed += 1
        return past.passed % 4 != 0

    def means(self, key: Key) -> list[float] | None:
        """The moving means by measure; None for an agent never seen."""
        past = self._agents.get(key)
        return past.mean if past is not None else None

    def usual(self, key: Key, measure: int, samples: int) -> Usual | None:
        """One measure of the agent's past; None while there were fewer than *samples* runs."""
        past = self._agents.get(key)
        return past.usual(measure) if past is not None and past.runs >= samples else None

    def customary(self, key: Key) -> Iterator[tuple[int, int, int]]:
        """Tools that nearly every run of the agent calls: the tool, the runs with it, of how many."""
        past = self._agents.get(key)
        if past is None or past.counted < self.settings.tool_samples:
            return
        needed = self.settings.tool_share * past.counted
        for tool, count in past.counts.items():
            if count >= needed:
                yield tool, count, past.counted

    def learn(self, key: Key, values: Values, tools: Iterable[int]) -> None:
        """Add a run to its agent's past. Called once a run, when nothing more can arrive for it."""
        past = self._agents.get(key)
        if past is None:
            past = self._agents[key] = _Past()
            if len(self._agents) > self.settings.agents_max:
                oldest = next(iter(self._agents))
                del self._agents[oldest]
                self.changed.pop(oldest, None)
                self.forgotten += 1
        before = past.left_out
        past.learn(values, tools)
        self.left_out += past.left_out - before
        self.changed[key] = None

    # -- to survive a restart

    def dump(self, name: Callable[[int], str], most: int) -> list[State]:
        """The state of agents that learned something since they were last given, *most* of them at a time."""
        keys = list(itertools.islice(self.changed, most))
        for key in keys:
            del self.changed[key]
        return [State(name(agent), name(service), _written(self._agents[agent, service], name)) for agent, service in keys]

    def load(self, rows: Iterable[State], intern: Callable[[str], int]) -> int:
        """Take up what `dump` gave, up to the bound; returns how many rows could not be read."""
        unread = 0
        for agent, service, state in rows:
            past = _restored(state, intern)
            if past is None:
                unread += 1
            elif len(self._agents) < self.settings.agents_max:
                self._agents[intern(agent), intern(service)] = past
        return unread


def _written(past: _Past, name: Callable[[int], str]) -> str:
    tools = {name(tool): count for tool, count in past.counts.items()}
    return json.dumps([past.runs, past.mean, past.variance, list(past.recent), tools, past.counted])


def _restored(state: str, intern: Callable[[str], int]) -> _Past | None:
    past = _Past()
    try:
        runs, mean, variance, recent, tools, counted = json.loads(state)
        past.runs, past.counted = int(runs), int(counted)
        past.mean, past.variance = list(map(float, mean)), list(map(float, variance))
        past.recent = array("f", recent)
        past.counts = {intern(tool): int(count) for tool, count in list(tools.items())[:TOOLS_MAX]}
    except (ValueError, TypeError, AttributeError):
        return None
    whole = len(past.mean) == len(past.variance) == MEASURES and len(past.recent) == min(past.runs, RECENT) * MEASURES
    return past if whole else None
