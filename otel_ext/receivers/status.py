"""What a receiver answers: one table from error to gRPC code, HTTP code and retry delay, and the bodies of answers.

A sender drops data on a permanent code and keeps it on a retryable one, so the codes decide what is lost. OTLP 1.11:
retryable are UNAVAILABLE and HTTP 429, 502, 503, 504. RESOURCE_EXHAUSTED is retryable only with RetryInfo, so a request that is too large
must not carry one. A failure of ours must be retryable: INTERNAL and 500 would make the sender drop data that we never kept.
"""

from __future__ import annotations

import json
import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_ext.errors import MalformedPayload, OtelExtError, Overloaded, PermanentError, RetryableError, TooLarge
from otel_ext.model import Receipt
from otel_ext.receivers.stats import TransportStats

if TYPE_CHECKING:
    from google.rpc.status_pb2 import Status

# google.rpc.Code. Message classes are imported where they are used: two megabytes that most runs never need.
INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNIMPLEMENTED, UNAVAILABLE = 3, 8, 12, 14
MESSAGE_CHARS_MAX: Final = 1000  # gRPC sends a message in a header, and all headers together should stay below 8 KiB
RETRY_DELAY_S_MAX: Final = 3600.0
INTERNAL_MESSAGE: Final = "the receiver failed; nothing of this request was kept, send it again"

_log = logging.getLogger(__name__)


class UnknownPathError(PermanentError):
    """Nothing is served there."""


class OtherSignalError(PermanentError):
    """Metrics, logs or profiles: only traces are taken."""

    def __init__(self, signal: str) -> None:
        super().__init__(f"only traces are received here; send {signal} to your metrics or logs backend, or to an OpenTelemetry Collector")


class WrongMethodError(PermanentError):
    """Anything but POST on a path that takes spans."""


class WrongMediaError(PermanentError):
    """A content type or an encoding that OTLP/HTTP does not have."""


class SenderGoneError(RetryableError):
    """The sender left before its request was whole. Nobody reads the answer; the request is counted all the same."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A row: the codes, the reason it is counted under, and the delay in seconds where the error asks for none (None: never send one)."""

    code: int
    http: int
    reason: str
    delay_s: float | None = None


TABLE: Final[dict[type[BaseException], Rule]] = {
    MalformedPayload: Rule(INVALID_ARGUMENT, 400, "malformed"),
    TooLarge: Rule(RESOURCE_EXHAUSTED, 413, "too_large"),
    UnknownPathError: Rule(UNIMPLEMENTED, 404, "unknown_path"),
    OtherSignalError: Rule(UNIMPLEMENTED, 404, "other_signal"),
    WrongMethodError: Rule(UNIMPLEMENTED, 405, "wrong_method"),
    WrongMediaError: Rule(INVALID_ARGUMENT, 415, "wrong_media"),
    PermanentError: Rule(INVALID_ARGUMENT, 400, "refused"),
    Overloaded: Rule(UNAVAILABLE, 503, "overloaded", 1.0),
    SenderGoneError: Rule(UNAVAILABLE, 503, "disconnected"),
    RetryableError: Rule(UNAVAILABLE, 503, "unavailable", 1.0),
    # No delay: senders then back off exponentially, which suits a failure of unknown length better than a guess.
    Exception: Rule(UNAVAILABLE, 503, "internal"),
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal, ready to be written in any encoding. `delay_s` is None where none is sent."""

    rule: Rule
    message: str
    delay_s: float | None
    malformed: bool

    @property
    def retry_after_s(self) -> int | None:
        """The HTTP header Retry-After: whole seconds, at least 1."""
        return None if self.delay_s is None else max(1, math.ceil(self.delay_s))

    def to_protobuf(self) -> bytes:
        """google.rpc.Status."""
        raw: bytes = self._status().SerializeToString()
        return raw

    def to_json(self) -> bytes:
        """google.rpc.Status in JSON; details carry their `@type`."""
        from google.protobuf.json_format import MessageToDict

        return json.dumps(MessageToDict(self._status())).encode()

    def _status(self) -> Status:
        from google.protobuf.duration_pb2 import Duration
        from google.rpc.error_details_pb2 import BadRequest, RetryInfo
        from google.rpc.status_pb2 import Status

        status = Status(code=self.rule.code, message=self.message)
        if self.delay_s is not None:
            delay = Duration()
            delay.FromNanoseconds(int(self.delay_s * 1e9))
            status.details.add().Pack(RetryInfo(retry_delay=delay))
        if self.malformed:
            violation = BadRequest.FieldViolation(field="ExportTraceServiceRequest", description=self.message)
            status.details.add().Pack(BadRequest(field_violations=[violation]))
        return status


def refuse(error: Exception, stats: TransportStats, transport: str) -> Refusal:
    """The answer to *error*, counted. An error that is not ours is logged without its text, which may hold a payload."""
    rule = next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)
    count = stats.refuse(rule.reason)
    if not isinstance(error, OtelExtError):
        _log_failure(error, transport, count)
    return Refusal(rule, _message(error), _delay(error, rule), isinstance(error, MalformedPayload))


def _message(error: Exception) -> str:
    return str(error)[:MESSAGE_CHARS_MAX] if isinstance(error, OtelExtError) else INTERNAL_MESSAGE


def _delay(error: Exception, rule: Rule) -> float | None:
    if rule.delay_s is None:
        return None
    asked = error.retry_after_s if isinstance(error, RetryableError) else None
    if asked is None or not math.isfinite(asked):
        return rule.delay_s
    return min(max(asked, 0.0), RETRY_DELAY_S_MAX)


def _log_failure(error: Exception, transport: str, count: int) -> None:
    """The first failure is logged, then every tenth, hundredth, ...: a sender that retries must not fill the disk."""
    if count != 10 ** (len(str(count)) - 1):
        return
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else "an unknown place"
    _log.error(
        "%s receiver: %s in %s, failure %d; the request was refused as retryable, nothing of it was kept",
        transport,
        type(error).__name__,
        where,
        count,
    )


def success_protobuf(receipt: Receipt) -> bytes:
    """ExportTraceServiceResponse. Empty on full success: `partial_success` MUST be unset then; a message alone is a warning."""
    if not receipt.rejected and not receipt.message:
        return b""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans = receipt.rejected
    response.partial_success.error_message = receipt.message[:MESSAGE_CHARS_MAX]
    return response.SerializeToString()


def success_json(receipt: Receipt) -> bytes:
    """ExportTraceServiceResponse in JSON; 64-bit integers are strings there."""
    if not receipt.rejected and not receipt.message:
        return b"{}"
    partial: dict[str, str] = {}
    if receipt.rejected:
        partial["rejectedSpans"] = str(receipt.rejected)
    if receipt.message:
        partial["errorMessage"] = receipt.message[:MESSAGE_CHARS_MAX]
    return json.dumps({"partialSuccess": partial}).encode()
