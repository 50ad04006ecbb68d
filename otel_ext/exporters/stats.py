"""What a destination's delivery counts, and the few refused spans it remembers. Read at scrape and by readiness."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from otel_ext.semconv import OTHER_LABEL

REASONS_MAX = 32
QUARANTINE_MAX = 100


@dataclass(slots=True)
class DeliveryStats:
    """Counters of one destination since the start. Reasons and `last_error` are short labels; no payload is ever in them.

    `healthy` is False from the first answer that puts the destination itself in doubt until the next success or refusal of mere data.
    """

    sent_spans: int = 0
    sent_requests: int = 0
    failed_spans: dict[str, int] = field(default_factory=dict)
    retries: int = 0
    in_flight: int = 0
    last_success_ns: int = 0
    last_error: str = ""
    healthy: bool = True

    def sent(self, spans: int, now_ns: int) -> None:
        """*spans* were accepted."""
        self.sent_spans += spans
        self.sent_requests += 1
        self.last_success_ns = now_ns
        self.healthy = True

    def failed(self, reason: str, spans: int) -> None:
        """*spans* were lost for good. Past REASONS_MAX reasons a new one is counted as __other__."""
        if reason not in self.failed_spans and len(self.failed_spans) >= REASONS_MAX:
            reason = OTHER_LABEL
        self.failed_spans[reason] = self.failed_spans.get(reason, 0) + spans

    def answered(self) -> None:
        """The destination looked at the data and refused it: it is alive."""
        self.healthy = True

    def trouble(self, label: str) -> None:
        """The destination itself is in doubt."""
        self.last_error = label
        self.healthy = False


@dataclass(frozen=True, slots=True)
class BadSpan:
    """A span that a destination refused alone: why, how large, and its ids as they are on the wire. Never its content."""

    time_unix_nano: int
    reason: str
    size_bytes: int
    trace_id: bytes
    span_id: bytes


class Quarantine:
    """The last *spans_max* bad spans; `dropped` counts older ones that made room."""

    def __init__(self, spans_max: int = QUARANTINE_MAX) -> None:
        self._spans: deque[BadSpan] = deque(maxlen=spans_max)
        self.dropped = 0

    def add(self, span: BadSpan) -> None:
        """Remember *span*; the oldest goes when full."""
        if len(self._spans) == self._spans.maxlen:
            self.dropped += 1
        self._spans.append(span)

    def __iter__(self) -> Iterator[BadSpan]:
        return iter(self._spans)

    def __len__(self) -> int:
        return len(self._spans)
