"""What a processor did, and what it swallowed: read it whenever."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

log: Final = logging.getLogger("otel_ext.sdk")


@dataclass(slots=True)
class Stats:
    """Counters since the start. `swallowed` are our own faults and those of callbacks, by place; none of them reached the application."""

    spans: int = 0  # that ended
    steps: int = 0  # of them, what an agent did
    findings: int = 0
    queued: int = 0  # handed to the background thread
    dropped: dict[str, int] = field(default_factory=dict)  # spans that were not sent, by reason
    swallowed: Counter[str] = field(default_factory=Counter)

    def swallow(self, place: str, error: BaseException) -> None:
        """Count *error*; the first of each place is logged."""
        self.swallowed[place] += 1
        if self.swallowed[place] == 1:
            log.warning("otel_ext: %s failed and was left out: %s", place, type(error).__name__, exc_info=error)

    def drop(self, reason: str, spans: int = 1) -> None:
        """Count spans that will not be sent; the first of each reason is logged."""
        if reason not in self.dropped:
            log.warning("otel_ext: spans are not sent on: %s", reason)
        self.dropped[reason] = self.dropped.get(reason, 0) + spans
