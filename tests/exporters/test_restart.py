"""A real server that dies and comes back under traffic: nothing is lost, nothing is doubled by us."""

import asyncio
import time

import pytest

from otel_ext.exporters.base import Destination, Record, Runtime
from otel_ext.exporters.delivery import Delivery, DeliveryOptions
from otel_ext.exporters.log import MemoryLog
from otel_ext.exporters.otlp import OtlpGrpc, OtlpHttp
from otel_ext.exporters.retry import Backoff
from tests.doubles.tempo import TempoDouble
from tests.exporters.kit import halver, payload

RUNTIME = Runtime(now_ns=time.time_ns, sleep=asyncio.sleep, random=lambda: 0.5)
OPTIONS = DeliveryOptions(linger_s=0.001, backoff=Backoff(initial_s=0.05, max_s=0.2))
BATCHES = 200


def make(transport: str, tempo: TempoDouble, name: str) -> Destination:
    if transport == "grpc":
        return OtlpGrpc(tempo.grpc_endpoint, name=name)
    return OtlpHttp(tempo.http_endpoint, RUNTIME, name=name)


@pytest.mark.parametrize("transport", ["grpc", "http"])
async def test_kill_and_restart_under_traffic(transport: str) -> None:
    """The one that died gets each span once after all, the other never notices."""
    mortal, steady = TempoDouble(), TempoDouble()
    await asyncio.gather(mortal.start(), steady.start())
    log = MemoryLog(2, queue_batches=10_000, queue_bytes=1 << 30)
    pair = (make(transport, mortal, "mortal"), make(transport, steady, "steady"))
    deliveries = [Delivery(destination, log.reader(index), halver(), RUNTIME, OPTIONS) for index, destination in enumerate(pair)]
    for delivery in deliveries:
        await delivery.start()
    for number in range(1, BATCHES + 1):
        data = payload(number)
        log.append(Record((data, data), (1, 1)))
        if number == BATCHES // 4:
            # Requests under way are answered, so that a second arrival could only be our fault.
            await mortal.stop(grace_s=1)
        if number == BATCHES // 2:
            assert deliveries[0].queue_size > 0
        if number == BATCHES * 3 // 4:
            await mortal.start()
        await asyncio.sleep(0.002)
    left = await asyncio.gather(*(delivery.drain(20) for delivery in deliveries))
    await asyncio.gather(mortal.stop(), steady.stop())
    assert [report.records for report in left] == [0, 0]
    assert deliveries[0].stats.retries > 0
    assert deliveries[1].stats.retries == 0
    for double in (mortal, steady):
        arrivals = double.arrivals()
        assert len(arrivals) == BATCHES
        assert set(arrivals.values()) == {1}


@pytest.mark.parametrize("transport", ["grpc", "http"])
async def test_a_hard_kill_loses_nothing(transport: str) -> None:
    """Calls cut in the middle are sent again: at least once, as the specification wants it."""
    tempo = TempoDouble(delay_s=0.01)
    await tempo.start()
    log = MemoryLog(1, queue_batches=10_000, queue_bytes=1 << 30)
    delivery = Delivery(make(transport, tempo, "mortal"), log.reader(0), halver(), RUNTIME, OPTIONS)
    await delivery.start()
    for number in range(1, BATCHES + 1):
        log.append(Record((payload(number),), (1,)))
        if number % 50 == 0:
            await tempo.stop()
            await asyncio.sleep(0.02)
            await tempo.start()
        await asyncio.sleep(0.001)
    left = await delivery.drain(20)
    await tempo.stop()
    assert left.records == 0
    assert len(tempo.arrivals()) == BATCHES
