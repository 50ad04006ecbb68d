"""Langfuse as a destination for spans, against a server as strict as the real one."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from otel_ext.errors import Refused, RetryableError
from otel_ext.exporters.base import Record, Runtime
from otel_ext.exporters.delivery import Delivery, DeliveryOptions
from otel_ext.exporters.langfuse import TABLE, LangfuseSpans, base_url
from otel_ext.exporters.log import MemoryLog
from otel_ext.exporters.retry import Backoff
from tests.doubles.langfuse import LangfuseDouble
from tests.exporters.kit import TRACE_ID, halver, payload

RUNTIME = Runtime(now_ns=time.time_ns, sleep=asyncio.sleep, random=lambda: 0.5)
FAST = DeliveryOptions(linger_s=0, backoff=Backoff(initial_s=0.02, max_s=0.05))


@pytest.fixture
async def langfuse() -> AsyncIterator[LangfuseDouble]:
    double = LangfuseDouble()
    await double.start()
    yield double
    await double.stop()


def make(langfuse: LangfuseDouble, secret: str = "", *, gzip: bool = False) -> LangfuseSpans:
    return LangfuseSpans(langfuse.host, langfuse.public_key, secret or langfuse.secret_key, RUNTIME, gzip=gzip)


async def deliver(langfuse: LangfuseDouble, data: bytes, spans: int) -> Delivery:
    log = MemoryLog(1, queue_batches=10, queue_bytes=1 << 20)
    delivery = Delivery(make(langfuse), log.reader(0), halver(), RUNTIME, FAST)
    await delivery.start()
    log.append(Record((data,), (spans,)))
    assert (await delivery.drain(5)).records == 0
    return delivery


@pytest.mark.parametrize("status", [*range(400, 432), *range(500, 512)])
def test_table(status: int) -> None:
    """429 and every 5xx are retried, 500 too: there it is storage that failed. Nothing else is."""
    assert isinstance(TABLE.error(status, None), RetryableError) == (status == 429 or status >= 500)


@pytest.mark.parametrize("gzip", [False, True])
@pytest.mark.parametrize("times", [1, 4_000])
async def test_parts_arrive_as_one_request(langfuse: LangfuseDouble, times: int, gzip: bool) -> None:
    """Large parts are not copied into one, small ones are; the server cannot tell."""
    destination = make(langfuse, gzip=gzip)
    await destination.start()
    await destination.send_parts([payload(*[number] * times) for number in (1, 2, 3)])
    await destination.close()
    assert set(langfuse.spans) == {(TRACE_ID.hex(), f"{number:016x}") for number in (1, 2, 3)}
    assert len(langfuse.requests) == 1


async def test_a_refused_request_of_parts_is_halved(langfuse: LangfuseDouble) -> None:
    """What was never joined can still be cut anywhere."""
    log = MemoryLog(1, queue_batches=10, queue_bytes=1 << 20)
    delivery = Delivery(make(langfuse), log.reader(0), halver(), RUNTIME, FAST)
    await delivery.start()
    for number in (1, 0, 3):  # 0 is no span id
        log.append(Record((payload(number),), (1,)))
    assert (await delivery.drain(5)).records == 0
    assert set(langfuse.spans) == {(TRACE_ID.hex(), f"{number:016x}") for number in (1, 3)}


@pytest.mark.parametrize("gzip", [False, True])
async def test_spans_arrive_with_the_headers_that_matter(langfuse: LangfuseDouble, gzip: bool) -> None:
    """Version 4 for the direct path, our own SDK name; the server's answer is no OTLP and is ignored."""
    destination = make(langfuse, gzip=gzip)
    await destination.start()
    assert (await destination.send(payload(1, 2))).rejected_spans == 0
    await destination.close()
    assert set(langfuse.spans) == {(TRACE_ID.hex(), f"{number:016x}") for number in (1, 2)}
    headers = langfuse.requests[0].headers
    assert (headers["x-langfuse-ingestion-version"], headers["x-langfuse-sdk-name"]) == ("4", "otel_ext")
    assert headers["content-type"] == "application/x-protobuf"


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_failures_for_now_are_sent_again(langfuse: LangfuseDouble, status: int) -> None:
    """Each span once, after the server came back."""
    langfuse.fail_next(3, status)
    delivery = await deliver(langfuse, payload(1, 2, 3), 3)
    assert (len(langfuse.requests), delivery.stats.retries, delivery.stats.sent_spans) == (4, 3, 3)
    assert set(langfuse.arrivals.values()) == {1}


async def test_retry_after_comes_through(langfuse: LangfuseDouble) -> None:
    """429 with the server's own delay."""
    langfuse.fail_next(1, 429, retry_after_s=7)
    destination = make(langfuse)
    await destination.start()
    with pytest.raises(RetryableError) as caught:
        await destination.send(payload(1))
    await destination.close()
    assert caught.value.retry_after_s == 7.0


async def test_one_span_without_id_costs_itself_only(langfuse: LangfuseDouble) -> None:
    """Langfuse answers 400 for the whole batch; the 63 others are delivered once."""
    delivery = await deliver(langfuse, payload(*range(1, 40), 0, *range(41, 65)), 64)
    assert delivery.stats.failed_spans == {"bad_data": 1}
    assert len(langfuse.spans) == 63
    assert set(langfuse.arrivals.values()) == {1}


async def test_large_requests_leave_in_parts(langfuse: LangfuseDouble) -> None:
    """Under the mark of the server or of a proxy before it; a single span leaves whatever its size."""
    log = MemoryLog(1, queue_batches=10, queue_bytes=1 << 20)
    options = DeliveryOptions(linger_s=0, send_bytes_max=2_000)
    delivery = Delivery(make(langfuse), log.reader(0), halver(), RUNTIME, options)
    await delivery.start()
    log.append(Record((payload(*range(1, 101)),), (100,)))
    assert (await delivery.drain(5)).records == 0
    assert set(langfuse.arrivals.values()) == {1}
    assert len(langfuse.spans) == 100
    assert max(request.size_bytes for request in langfuse.requests) <= 2_000
    assert delivery.stats.failed_spans == {}


@pytest.mark.parametrize(
    ("status", "reason"), [(401, "unauthenticated"), (403, "permission_denied"), (404, "not_found"), (405, "method_not_allowed")]
)
async def test_final_refusals(langfuse: LangfuseDouble, status: int, reason: str) -> None:
    """Counted by reason, never sent again."""
    langfuse.fail_next(1, status)
    delivery = await deliver(langfuse, payload(1, 2), 2)
    assert (delivery.stats.failed_spans, len(langfuse.requests)) == ({reason: 2}, 1)


async def test_secrets_are_in_no_repr_and_no_error(langfuse: LangfuseDouble) -> None:
    """A wrong key shows nowhere, in clear or in base64."""
    destination = make(langfuse, "sk-lf-hidden")
    await destination.start()
    with pytest.raises(Refused) as caught:
        await destination.send(payload(1))
    await destination.close()
    shown = repr(destination) + repr(caught.value) + repr(caught.value.__cause__) + str(caught.value)
    assert "hidden" not in shown
    assert "Basic" not in shown


@pytest.mark.parametrize("suffix", ["", "/", "/api/public/otel", "/api/public/otel/", "/api/public/otel/v1/traces"])
def test_hosts_are_completed(suffix: str) -> None:
    """Whatever part of the OTLP path somebody pasted."""
    assert base_url("https://langfuse.example/base" + suffix) == "https://langfuse.example/base"
