"""Where spans come in: OTLP over gRPC and HTTP. What a refusal looks like is in `status`, once for both."""

from otel_ext.receivers.endpoint import ListenError
from otel_ext.receivers.stats import ReceiverStats, TransportStats

__all__ = ["ListenError", "ReceiverStats", "TransportStats"]
