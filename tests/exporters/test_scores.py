"""The scores lane: one score a finding, on its own limits, whatever form the server takes."""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator

import pytest

from otel_ext.exporters.base import Record, Runtime, Undelivered
from otel_ext.exporters.delivery import Delivery, DeliveryOptions
from otel_ext.exporters.langfuse import LangfuseSpans
from otel_ext.exporters.log import MemoryLog
from otel_ext.exporters.retry import Backoff
from otel_ext.exporters.scores import LangfuseScores, ScoreOptions, score_id
from otel_ext.model import Finding, Severity
from tests.doubles.langfuse import LangfuseDouble
from tests.exporters.kit import TRACE_ID, halver, payload

RUNTIME = Runtime(now_ns=time.time_ns, sleep=asyncio.sleep, random=lambda: 0.5)
FAST = Backoff(initial_s=0.02, max_s=0.05)
LANGFUSE_TRACE = b"\xab" * 16


@pytest.fixture
async def langfuse() -> AsyncIterator[LangfuseDouble]:
    double = LangfuseDouble()
    await double.start()
    yield double
    await double.stop()


def finding(number: int = 1, rule: str = "loop/identical_calls") -> Finding:
    return Finding(
        time_unix_nano=1_800_000_000_123_456_789,
        trace_id=TRACE_ID,
        span_id=number.to_bytes(8, "big"),
        type="loop",
        rule=rule,
        severity=Severity.CRITICAL,
        message="search called 4 times",
        agent="planner",
        evidence={"tool": "search", "repeats": 4},
    )


async def lane(langfuse: LangfuseDouble, **options: object) -> LangfuseScores:
    chosen = ScoreOptions(**{"backoff": FAST, **options})  # type: ignore[arg-type]
    scores = LangfuseScores(langfuse.host, langfuse.public_key, langfuse.secret_key, RUNTIME, chosen)
    await scores.start()
    return scores


def submit(scores: LangfuseScores, given: Finding) -> bool:
    return scores.submit(given)


async def test_a_finding_becomes_a_score(langfuse: LangfuseDouble) -> None:
    """On the trace and observation in Langfuse, in the spans' environment, with what a person needs to know."""
    scores = await lane(langfuse, environment="staging")
    assert submit(scores, finding())
    assert (await scores.drain(5)).records == 0
    (score,) = langfuse.scores.values()
    assert (score["name"], score["value"], score["dataType"]) == ("otel_ext.loop", 1, "BOOLEAN")
    assert (score["traceId"], score["observationId"]) == (TRACE_ID.hex(), "0000000000000001")
    assert (score["environment"], score["comment"]) == ("staging", "search called 4 times")
    assert score["metadata"]["evidence"] == {"tool": "search", "repeats": 4}
    assert score["timestamp"] == "2027-01-15T08:00:00.123+00:00"
    assert scores.stats.sent_spans == 1


async def test_a_trace_with_another_id_in_langfuse_gets_the_score_there(langfuse: LangfuseDouble) -> None:
    """On the trace alone: the span at fault is not one of its observations."""
    scores = await lane(langfuse)
    submit(scores, dataclasses.replace(finding(), langfuse_trace_id=LANGFUSE_TRACE.hex()))
    await scores.drain(5)
    (score,) = langfuse.scores.values()
    assert score["traceId"] == LANGFUSE_TRACE.hex()
    assert "observationId" not in score
    assert score["metadata"]["tempo_trace_id"] == TRACE_ID.hex()


def test_the_id_is_a_function_of_trace_span_and_rule() -> None:
    """Stable over processes and releases; another rule or span is another score."""
    assert score_id(finding()) == "78481e099f6b3f8dddc480cf7e12f84d"
    assert score_id(finding()) == score_id(dataclasses.replace(finding(), message="other", withdrawn=True, complete=False))
    assert len({score_id(finding(1)), score_id(finding(2)), score_id(finding(1, "loop/cycle"))}) == 3


async def test_a_withdrawn_finding_changes_its_score(langfuse: LangfuseDouble) -> None:
    """Same id, value 0: one score, not two; the later revision is the last to arrive."""
    scores = await lane(langfuse)
    submit(scores, finding())
    await asyncio.sleep(0.1)
    submit(scores, dataclasses.replace(finding(), withdrawn=True))
    await scores.drain(5)
    assert [post["value"] for post in langfuse.score_posts] == [1, 0]
    assert [score["value"] for score in langfuse.scores.values()] == [0]


async def test_a_newer_revision_replaces_the_one_that_waits(langfuse: LangfuseDouble) -> None:
    """Nothing is sent that is already known to be wrong."""
    scores = await lane(langfuse)
    submit(scores, finding())
    submit(scores, dataclasses.replace(finding(), withdrawn=True))
    await scores.drain(5)
    assert [post["value"] for post in langfuse.score_posts] == [0]


async def test_a_newer_revision_replaces_the_one_that_failed(langfuse: LangfuseDouble) -> None:
    """A retry sends what is true by then."""
    langfuse.fail_next(1, 429, retry_after_s=1, lane="scores")
    scores = await lane(langfuse)
    submit(scores, finding())
    await asyncio.sleep(0.2)
    submit(scores, dataclasses.replace(finding(), withdrawn=True))
    await scores.drain(5)
    assert [post["value"] for post in langfuse.score_posts] == [0]


async def test_two_revisions_never_travel_together(langfuse: LangfuseDouble) -> None:
    """The later one waits for the answer to the first, or the first could arrive last."""
    langfuse.delay_s = 0.3
    scores = await lane(langfuse, concurrency=2)
    submit(scores, finding())
    await asyncio.sleep(0.1)
    submit(scores, dataclasses.replace(finding(), withdrawn=True))
    await asyncio.sleep(0.1)
    assert len(langfuse.requests) == 1
    assert (await scores.drain(5)).records == 0
    assert [post["value"] for post in langfuse.score_posts] == [1, 0]


async def test_overflow_is_refused_and_counted(langfuse: LangfuseDouble) -> None:
    """The lane is bounded."""
    scores = await lane(langfuse, scores_max=3)
    assert [submit(scores, finding(number)) for number in range(5)] == [True, True, True, False, False]
    assert scores.overflow == 2
    await scores.drain(5)
    assert len(langfuse.scores) == 3


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_failures_for_now_are_sent_again(langfuse: LangfuseDouble, status: int) -> None:
    """All scores arrive."""
    langfuse.fail_next(4, status, lane="scores")
    scores = await lane(langfuse)
    for number in range(5):
        submit(scores, finding(number))
    await scores.drain(5)
    assert len(langfuse.scores) == 5
    assert scores.stats.retries == 4


async def test_retry_after_holds_the_whole_lane(langfuse: LangfuseDouble) -> None:
    """Nothing leaves before the server's delay is over."""
    langfuse.fail_next(1, 429, retry_after_s=1, lane="scores")
    scores = await lane(langfuse, concurrency=1)
    start_s = time.monotonic()
    for number in range(3):
        submit(scores, finding(number))
    await asyncio.sleep(0.5)
    assert len(langfuse.requests) == 1
    await scores.drain(5)
    assert time.monotonic() - start_s >= 1
    assert len(langfuse.scores) == 3


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_final_refusals_are_counted_and_dropped(langfuse: LangfuseDouble, status: int) -> None:
    """The next score is not held up."""
    langfuse.fail_next(1, status, lane="scores")
    scores = await lane(langfuse, concurrency=1)
    submit(scores, finding(1))
    submit(scores, finding(2))
    await scores.drain(5)
    assert sum(scores.stats.failed_spans.values()) == 1
    assert len(langfuse.scores) == 1


async def test_servers_that_want_arrays_get_them(langfuse: LangfuseDouble) -> None:
    """Learned from the first score, not asked again with every one."""
    langfuse.score_form = "array"
    scores = await lane(langfuse, concurrency=1)
    for number in range(4):
        submit(scores, finding(number))
    await scores.drain(5)
    assert len(langfuse.scores) == 4
    assert [request.status for request in langfuse.requests] == [400, 202, 202, 202, 202]


async def test_a_bad_score_is_counted_in_either_form(langfuse: LangfuseDouble) -> None:
    """400 in both forms, or a rejection in a 207."""
    scores = await lane(langfuse, concurrency=1)
    nameless = dataclasses.replace(finding(1), trace_id=b"x" * 16)
    langfuse.fail_next(2, 400, lane="scores")
    submit(scores, nameless)
    submit(scores, finding(2))
    await scores.drain(5)
    assert scores.stats.failed_spans == {"bad_data": 1}
    assert len(langfuse.scores) == 1


async def test_drain_reports_what_is_left(langfuse: LangfuseDouble) -> None:
    """At the deadline, in scores."""
    langfuse.delay_s = 5
    scores = await lane(langfuse)
    for number in range(5):
        submit(scores, finding(number))
    assert await scores.drain(0.1) == Undelivered("langfuse_scores", 5, 0)


async def test_a_flood_of_findings_never_delays_spans(langfuse: LangfuseDouble) -> None:
    """While scores are rate limited for a minute, spans arrive at once."""
    langfuse.fail_next(10, 429, retry_after_s=60, lane="scores")
    scores = await lane(langfuse, scores_max=100)
    for number in range(1_000):
        submit(scores, finding(number))
    await asyncio.sleep(0.05)
    log = MemoryLog(1, queue_batches=10, queue_bytes=1 << 20)
    spans = LangfuseSpans(langfuse.host, langfuse.public_key, langfuse.secret_key, RUNTIME)
    delivery = Delivery(spans, log.reader(0), halver(), RUNTIME, DeliveryOptions())
    await delivery.start()
    start_s = time.monotonic()
    log.append(Record((payload(1, 2),), (2,)))
    assert (await delivery.drain(5)).records == 0
    assert time.monotonic() - start_s < 0.5
    assert len(langfuse.spans) == 2
    left = await scores.drain(0)
    assert left.records + scores.overflow == 1_000
