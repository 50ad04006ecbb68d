"""What the receivers count. Plain numbers on one event loop: whoever publishes them reads them when asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from otel_ext.model import Receipt

REASONS_MAX: Final = 32  # reasons come from the table in `status`, which is shorter; a label must never be unbounded
OTHER_REASON: Final = "other"


@dataclass(slots=True)
class TransportStats:
    """Counts of one transport, since start.

    `refused_spans` counts spans refused one by one. The spans of a request refused as a whole are not known: it was not read. Those
    are `refused_requests`, by reason (`malformed`, `too_large`, `overloaded`, `internal`, ... as in the table of `status`).
    """

    accepted_spans: int = 0
    refused_spans: int = 0
    accepted_requests: int = 0
    refused_requests: dict[str, int] = field(default_factory=dict)

    def accept(self, receipt: Receipt) -> None:
        """Count one request that was taken, in part or whole."""
        self.accepted_requests += 1
        self.accepted_spans += receipt.accepted
        self.refused_spans += receipt.rejected

    def refuse(self, reason: str) -> int:
        """Count one refused request and say how many there were for this reason."""
        if reason not in self.refused_requests and len(self.refused_requests) >= REASONS_MAX:
            reason = OTHER_REASON
        count = self.refused_requests.get(reason, 0) + 1
        self.refused_requests[reason] = count
        return count


@dataclass(slots=True)
class ReceiverStats:
    """Counts of both transports; the label `transport` of `otelcol_receiver_*` is the field name."""

    grpc: TransportStats = field(default_factory=TransportStats)
    http: TransportStats = field(default_factory=TransportStats)
