"""What both transports promise: one table of cases, driven over gRPC, HTTP with protobuf and HTTP with JSON."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from otel_ext.errors import MalformedPayload, Overloaded, Refused, RetryableError, TooLarge
from otel_ext.model import Receipt
from otel_ext.receivers.endpoint import ListenError
from otel_ext.receivers.grpc import EXPORT, GrpcReceiver
from otel_ext.receivers.http import HttpReceiver
from otel_ext.receivers.stats import ReceiverStats

SECRET = "my prompt"
LIMIT_BYTES = 1 << 20
INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNAVAILABLE = 3, 8, 14

# error of the consumer -> gRPC code, HTTP status, retry delay, has BadRequest, counted as, words of the message
REFUSALS = [
    (MalformedPayload("span cut off", 17), INVALID_ARGUMENT, 400, None, True, "malformed", "span cut off at byte 17"),
    (TooLarge(10, 11), RESOURCE_EXHAUSTED, 413, None, False, "too_large", "limit is 10 bytes"),
    (Refused("no", "not today"), INVALID_ARGUMENT, 400, None, False, "refused", "not today"),
    (Overloaded("queue full", 2.5), UNAVAILABLE, 503, 2.5, False, "overloaded", "queue full"),
    (Overloaded("queue full"), UNAVAILABLE, 503, 1.0, False, "overloaded", "queue full"),
    (Overloaded("queue full", float("nan")), UNAVAILABLE, 503, 1.0, False, "overloaded", "queue full"),
    (Overloaded("queue full", 1e9), UNAVAILABLE, 503, 3600.0, False, "overloaded", "queue full"),
    (RetryableError("down", 0.2), UNAVAILABLE, 503, 0.2, False, "unavailable", "down"),
    (KeyError(SECRET), UNAVAILABLE, 503, None, False, "internal", "nothing of this request was kept"),
    (ConnectionResetError(SECRET), UNAVAILABLE, 503, None, False, "internal", "nothing of this request was kept"),
    (TimeoutError(SECRET), UNAVAILABLE, 503, None, False, "internal", "nothing of this request was kept"),
]


@pytest.mark.parametrize(("error", "code", "http", "delay_s", "bad", "reason", "words"), REFUSALS, ids=lambda x: type(x).__name__)
async def test_refusals(
    house: Any, link: Any, make: Any, error: Exception, code: int, http: int, delay_s: float, bad: bool, reason: str, words: str
) -> None:
    """An error of the consumer becomes the code, the delay and the details of the table, and is counted under its reason."""
    house.consumer.error = error
    outcome = await link.export(make(1))
    assert outcome.code == code
    assert outcome.http in (0, http)
    assert outcome.retry_delay_s == delay_s
    assert (outcome.bad_request is not None) is bad
    assert words in outcome.status.message
    assert SECRET not in str(outcome)
    if outcome.http:
        assert outcome.headers.get("Retry-After") == (None if delay_s is None else str(max(1, -int(-delay_s // 1))))
    counts = house.counts(link)
    assert counts.refused_requests == {reason: 1}
    assert (counts.accepted_requests, counts.accepted_spans) == (0, 0)


@pytest.mark.parametrize("gzip", [False, True])
async def test_success_is_an_empty_response(house: Any, link: Any, make: Any, gzip: bool) -> None:
    """A request arrives whole, plain and gzipped; the answer leaves `partial_success` unset (MUST), and spans are counted."""
    outcome = await link.export(make(3), gzip=gzip)
    assert (outcome.code, outcome.http) == (0, 200)
    assert not outcome.response.HasField("partial_success")
    assert house.consumer.requests == [make(3)]
    assert house.counts(link).accepted_spans == 3
    assert house.counts(link).refused_requests == {}


@pytest.mark.parametrize("gzip", [False, True])
async def test_an_empty_request_succeeds(house: Any, link: Any, make: Any, gzip: bool) -> None:
    """No spans is a success (SHOULD)."""
    outcome = await link.export(make(0).__class__(), gzip=gzip)
    assert outcome.code == 0


async def test_partial_success_says_how_many_and_why(house: Any, link: Any, make: Any) -> None:
    """Refused spans are told in `partial_success`, and counted."""
    house.consumer.receipt = Receipt(accepted=2, rejected=3, message="3 spans without a trace id")
    outcome = await link.export(make(5))
    partial = outcome.response.partial_success
    assert (outcome.code, partial.rejected_spans, partial.error_message) == (0, 3, "3 spans without a trace id")
    assert (house.counts(link).accepted_spans, house.counts(link).refused_spans) == (2, 3)


async def test_a_warning_is_a_message_without_refused_spans(house: Any, link: Any, make: Any) -> None:
    """All accepted with a message: `rejected_spans` is 0 and the message is there; a long one is cut, answers are small."""
    house.consumer.receipt = Receipt(accepted=1, message="careful " * 1000)
    outcome = await link.export(make(1))
    assert outcome.response.partial_success.rejected_spans == 0
    assert outcome.response.partial_success.error_message.startswith("careful")
    assert outcome.response.ByteSize() < 4096


async def test_damaged_bytes_are_permanent(house: Any, link: Any) -> None:
    """Bytes that are no request: INVALID_ARGUMENT or 400, with BadRequest, and the byte is named."""
    outcome = await link.send(link.damaged)
    assert outcome.code == INVALID_ARGUMENT
    assert "at byte" in outcome.status.message
    assert outcome.bad_request is not None
    assert house.counts(link).refused_requests == {"malformed": 1}


@pytest.mark.parametrize("gzip", [False, True])
async def test_the_size_limit_holds_before_and_after_inflating(house: Any, link: Any, make: Any, gzip: bool) -> None:
    """One request just under the limit passes, one over it is refused for good: no retry delay. Both gzipped are tiny."""
    under = await link.export(make(1, padding=LIMIT_BYTES - 1000), gzip=gzip)
    over = await link.export(make(1, padding=LIMIT_BYTES + 1000), gzip=gzip)
    assert under.code == 0
    assert over.code == RESOURCE_EXHAUSTED
    assert over.http in (0, 413)
    assert over.retry_delay_s is None
    assert house.counts(link).refused_requests == {"too_large": 1}
    assert (await link.export(make(1))).code == 0


async def test_requests_are_served_concurrently(house: Any, link: Any, make: Any) -> None:
    """A request that waits does not hold up another."""
    house.consumer.gate = asyncio.Event()
    calls = [asyncio.create_task(link.export(make(1, name=str(n)))) for n in range(8)]
    await house.consumer.arrived(len(calls))
    house.consumer.gate.set()
    assert {outcome.code for outcome in await asyncio.gather(*calls)} == {0}
    assert house.consumer.names == {str(n) for n in range(8)}


async def test_bytes_in_flight_are_bounded(house: Any, link: Any, make: Any) -> None:
    """Above the bytes all requests may hold, one more is Overloaded with a delay; once they are answered there is room again."""
    house.consumer.gate = asyncio.Event()
    large = make(1, padding=LIMIT_BYTES * 3 // 4)
    calls = [asyncio.create_task(link.export(large)) for _ in range(9)]
    await house.consumer.arrived(5)
    for refused in itertools.islice(asyncio.as_completed(calls), 4):
        assert (await refused).code == UNAVAILABLE
    house.consumer.gate.set()
    outcomes = await asyncio.gather(*calls)
    assert sorted(outcome.code for outcome in outcomes) == [0] * 5 + [UNAVAILABLE] * 4
    assert all(outcome.retry_delay_s for outcome in outcomes if outcome.code)
    assert (await link.export(large)).code == 0


async def test_failures_are_logged_without_text_and_not_each_time(
    house: Any, link: Any, make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """An unexpected failure is logged with type, place and count at 1, 10, ...; never with its text, which may be a payload."""
    house.consumer.error = ValueError(SECRET)
    with caplog.at_level(logging.DEBUG):
        for _ in range(12):
            await link.export(make(1))
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("otel_ext")]
    assert len(ours) == 2
    assert "ValueError" in ours[0]
    assert "conftest.py:" in ours[0]
    assert "failure 10" in ours[1]
    assert SECRET not in caplog.text
    assert house.counts(link).refused_requests == {"internal": 12}


@pytest.mark.parametrize("receiver", [GrpcReceiver, HttpReceiver])
async def test_a_port_in_use_is_said_clearly(house: Any, receiver: Callable[..., Any]) -> None:
    """Starting on a taken port raises ListenError with the endpoint: two processes never share a port by accident."""
    taken = house.grpc.port if receiver is GrpcReceiver else house.http.port
    second = receiver(f"127.0.0.1:{taken}", LIMIT_BYTES, house.consumer, ReceiverStats())
    with pytest.raises(ListenError, match=f"127.0.0.1:{taken}"):
        await second.start()
    await second.stop(0)


@pytest.mark.parametrize("receiver", [GrpcReceiver, HttpReceiver])
@pytest.mark.parametrize("endpoint", ["4317", "localhost:", ":4317", "h:99999", "h:x", "::1:4317", "h:-1", "203.0.113.1:4317"])
async def test_an_endpoint_that_cannot_be_had_is_said_clearly(house: Any, receiver: Callable[..., Any], endpoint: str) -> None:
    """A malformed endpoint, or an address that is not ours, raises ListenError."""
    with pytest.raises(ListenError):
        await receiver(endpoint, LIMIT_BYTES, house.consumer, ReceiverStats()).start()


async def test_stop_lets_requests_end(house: Any, link: Any, make: Any) -> None:
    """A request in flight at stop is answered within the grace; afterwards nothing listens."""
    house.consumer.gate = asyncio.Event()
    call = asyncio.create_task(link.export(make(1)))
    await house.consumer.arrived()
    receiver = house.grpc if link.name == "grpc" else house.http
    stopping = asyncio.create_task(receiver.stop(5.0))
    await asyncio.sleep(0.05)
    house.consumer.gate.set()
    assert (await call).code == 0
    async with asyncio.timeout(2):
        await stopping
    with pytest.raises(OSError, match=r"Connect call failed|refused"):
        await asyncio.open_connection("127.0.0.1", receiver.port)


async def test_stop_does_not_wait_for_ever(house: Any, link: Any, make: Any) -> None:
    """A request that does not end is cut off after the grace; its sender sees a failure it may retry, never a success."""
    house.consumer.gate = asyncio.Event()
    call = asyncio.create_task(link.export(make(1)))
    await house.consumer.arrived()
    async with asyncio.timeout(3):
        await (house.grpc if link.name == "grpc" else house.http).stop(0.1)
    result = (await asyncio.gather(call, return_exceptions=True))[0]
    assert isinstance(result, Exception) or result.code in (1, UNAVAILABLE)


SERVER = """
import asyncio, sys
from otel_ext.model import Receipt
from otel_ext.receivers.grpc import GrpcReceiver
from otel_ext.receivers.http import HttpReceiver
from otel_ext.receivers.stats import ReceiverStats
class Nothing:
    async def consume(self, payload): return Receipt(accepted=len(payload))
async def main():
    a = GrpcReceiver("127.0.0.1:0", 1 << 20, Nothing(), ReceiverStats())
    b = HttpReceiver("127.0.0.1:0", 1 << 20, Nothing(), ReceiverStats())
    print(await a.start(), await b.start(), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await a.stop(0); await b.stop(0)
asyncio.run(main())
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak memory from /proc")
@pytest.mark.parametrize("transport", ["grpc", "http"])
async def test_a_gzip_bomb_is_stopped_at_the_limit(house: Any, transport: str) -> None:
    """300 MiB of zeros in 300 KiB: refused, and the process never holds more than a few limits."""
    process = start_server()
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        ports = (await asyncio.to_thread(process.stdout.readline)).split()
        before = peak_kib(process.pid)
        if transport == "grpc":
            await send_grpc_bomb(int(ports[0]))
        else:
            url = f"http://127.0.0.1:{ports[1]}/v1/traces"
            headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
            async with house.session.post(url, data=bomb(), headers=headers) as answer:
                assert answer.status == 413
        assert peak_kib(process.pid) - before < 24 * 1024
    finally:
        await asyncio.to_thread(process.communicate, "\n")


def start_server() -> subprocess.Popen[str]:
    root = Path(__file__).parents[2]
    env = {**os.environ, "PYTHONPATH": str(root)}
    return subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)


def peak_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def bomb() -> bytes:
    engine = zlib.compressobj(9, wbits=31)
    return b"".join(engine.compress(bytes(1 << 20)) for _ in range(300)) + engine.flush()


async def send_grpc_bomb(port: int) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.max_send_message_length", -1)]) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(EXPORT)(bytes(300 << 20), compression=grpc.Compression.Gzip)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
