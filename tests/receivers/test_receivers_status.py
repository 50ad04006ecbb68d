"""The table of refusals, against the rules of OTLP on what a sender may retry; and the counts."""

from __future__ import annotations

import pytest

from otel_ext import errors
from otel_ext.model import Receipt
from otel_ext.receivers.stats import REASONS_MAX, TransportStats
from otel_ext.receivers.status import TABLE, Rule, refuse

# OTLP 1.11: what a sender retries. RESOURCE_EXHAUSTED (8) only with RetryInfo.
GRPC_RETRYABLE = {1, 4, 10, 11, 14, 15}
HTTP_RETRYABLE = {429, 502, 503, 504}


@pytest.mark.parametrize(("kind", "rule"), TABLE.items(), ids=lambda x: getattr(x, "__name__", ""))
def test_both_transports_agree_on_what_may_be_retried(kind: type[Exception], rule: Rule) -> None:
    """A refusal is retryable over both transports or over none, as its class says; what is ours to answer for is retryable."""
    retryable = not issubclass(kind, errors.PermanentError)
    assert (rule.code in GRPC_RETRYABLE) is retryable
    assert (rule.http in HTTP_RETRYABLE) is retryable
    assert rule.delay_s is None or retryable, "RetryInfo on a permanent refusal makes senders retry for ever"


def test_every_error_of_ours_is_answered() -> None:
    """Each class of errors.py finds a row, and only an unforeseen one falls through to the last."""
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.PermanentError | errors.RetryableError):
            row = next(base for base in kind.__mro__ if base in TABLE)
            assert row is not Exception


def test_reasons_are_few() -> None:
    """Reasons become metric labels: the table fits the bound, and past it a new reason is counted as another."""
    assert len({rule.reason for rule in TABLE.values()}) < REASONS_MAX
    stats = TransportStats()
    for number in range(REASONS_MAX * 2):
        stats.refuse(str(number))
    assert len(stats.refused_requests) == REASONS_MAX + 1
    assert stats.refused_requests["other"] == REASONS_MAX


def test_counts_of_accepted_requests() -> None:
    """Accepted and refused spans add up over requests."""
    stats = TransportStats()
    stats.accept(Receipt(accepted=3, rejected=1))
    stats.accept(Receipt(accepted=2))
    assert (stats.accepted_requests, stats.accepted_spans, stats.refused_spans) == (2, 5, 1)


@pytest.mark.parametrize("delay_s", [-5.0, 0.0, 0.3, 1.0, 1.2, float("inf"), float("nan"), None])
def test_retry_after_is_whole_seconds_and_at_least_one(delay_s: float | None) -> None:
    """Retry-After is a whole number of seconds (RFC 9110, 10.2.3), and 0 would invite a storm."""
    refusal = refuse(errors.Overloaded("full", delay_s), TransportStats(), "http")
    assert refusal.retry_after_s in (1, 2)
    assert refusal.delay_s is not None
    assert refusal.delay_s >= 0


def test_long_messages_are_cut() -> None:
    """A message fits a gRPC header."""
    refusal = refuse(errors.Refused("x", "y" * 100_000), TransportStats(), "grpc")
    assert len(refusal.message) == 1000
    assert len(refusal.to_protobuf()) < 4096
