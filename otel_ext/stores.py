"""What outlives a restart: ids that differ between the systems, and what is usual for each agent. Files, where the settings name them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_ext.settings import Settings
from otel_ext.verdicts import Verdicts

if TYPE_CHECKING:
    from otel_ext.baselinestore import BaselineStore
    from otel_ext.detectors.baselines import State
    from otel_ext.linkstore import LinkStore

AGENTS_A_TURN: Final = 100  # whose past is written out at a time: a turn must not keep the loop busy


class News(NamedTuple):
    """What was learned since the last time: trace ids with their Langfuse ids, and the pasts of agents."""

    links: Sequence[tuple[str, str]]
    agents: Sequence[State]


class Stores:
    """Opens what the settings name and loads it into *verdicts*; raises OSError where a file cannot be used."""

    def __init__(self, settings: Settings, verdicts: Verdicts) -> None:
        self._verdicts = verdicts
        self.links = _links(settings.links.store) if settings.links.store else None
        baselines = settings.detect.baselines
        self.baselines = _baselines(baselines.store, baselines.agents_max) if baselines.store else None
        self.unread = verdicts.judge.past.load(self.baselines.load(), verdicts.intern) if self.baselines is not None else 0

    def collect(self, most: int = AGENTS_A_TURN) -> News:
        """What is new, of at most *most* agents. Called where the verdicts are."""
        learned = self._verdicts.book.learned
        pairs = [learned.popleft() for _ in range(len(learned))] if self.links is not None else []
        agents = self._verdicts.judge.past.dump(self._verdicts.name, most) if self.baselines is not None else []
        return News([(trace_id.hex(), langfuse_id) for trace_id, langfuse_id in pairs], agents)

    def keep(self, news: News) -> None:
        """Write it. Called on a thread: a disk may be slow. Raises OSError."""
        if self.links is not None and news.links:
            self.links.add(news.links)
        if self.baselines is not None:
            self.baselines.keep(news.agents)


def _links(path: str) -> LinkStore:
    """Imported where there is one: a megabyte of SQLite."""
    from otel_ext.linkstore import LinkStore

    return LinkStore(path)


def _baselines(path: str, agents_max: int) -> BaselineStore:
    from otel_ext.baselinestore import BaselineStore

    return BaselineStore(path, agents_max)
