"""Delivery: retry, refusal, isolation of destinations, drain. Time is the test's."""

import asyncio
import itertools
import logging

import pytest

from otel_ext.errors import Refused, Unreachable
from otel_ext.exporters.base import Record, SendResult, Undelivered
from otel_ext.exporters.delivery import Delivery, DeliveryOptions
from otel_ext.exporters.log import MemoryLog
from tests.exporters.kit import NS_PER_S, FakeDestination, FakeTime, halver, numbers, payload


class Room:
    """One log and a delivery per destination."""

    def __init__(self, *destinations: FakeDestination, options: DeliveryOptions | None = None) -> None:
        self.time = FakeTime()
        self.log = MemoryLog(len(destinations), queue_batches=1_000, queue_bytes=1 << 30)
        self.deliveries = [
            Delivery(destination, self.log.reader(index), halver(), self.time.runtime, options or DeliveryOptions(linger_s=0))
            for index, destination in enumerate(destinations)
        ]

    async def __aenter__(self) -> "Room":
        for delivery in self.deliveries:
            await delivery.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for delivery in self.deliveries:
            await self.time.run(delivery.drain(0))

    def put(self, *span_numbers: int) -> None:
        data = payload(*span_numbers)
        count = len(self.deliveries)
        self.log.append(Record((data,) * count, (len(span_numbers),) * count))

    async def settled(self, index: int = 0, limit_s: float = 1e6) -> None:
        await self.time.until(lambda: self.deliveries[index].queue_size == 0, limit_s)


async def test_what_fails_for_now_is_sent_again_byte_for_byte() -> None:
    """Retries are the same request, with pauses that grow, and nothing is lost or doubled."""
    destination = FakeDestination(script=[Unreachable("UNAVAILABLE")] * 4)
    async with Room(destination, options=DeliveryOptions(linger_s=0, concurrency=1)) as room:
        room.put(1, 2)
        await room.settled()
        assert room.time.sleeps == [0.5, 1.0, 2.0, 4.0]
        assert len(set(destination.attempts)) == 1
        assert destination.spans() == [1, 2]
        stats = room.deliveries[0].stats
        assert (stats.sent_spans, stats.retries, stats.failed_spans, stats.healthy) == (2, 4, {}, True)


async def test_time_alone_drops_nothing() -> None:
    """A destination that is away for a day gets all that was kept."""
    destination = FakeDestination(script=[Unreachable("UNAVAILABLE")] * 3_000)
    async with Room(destination) as room:
        room.put(1)
        await room.settled()
        assert destination.spans() == [1]


async def test_a_delay_asked_for_holds_every_worker() -> None:
    """Retry-After and RetryInfo are the destination's wish, not one request's."""
    destination = FakeDestination(script=[Unreachable("HTTP 429", 20.0)])
    async with Room(destination) as room:
        start_ns = room.time.now_ns
        times_ns: list[int] = []
        destination.judge = lambda _: times_ns.append(room.time.now_ns - start_ns)
        room.put(1)
        await room.time.until(lambda: room.deliveries[0].stats.retries == 1)
        room.put(2)
        await room.settled()
        assert min(times_ns) >= 20 * NS_PER_S
        assert sorted(destination.spans()) == [1, 2]


async def test_a_dead_destination_never_delays_or_doubles_anothers_data() -> None:
    """The healthy one gets each span once, with no time passing; the dead one keeps its own."""
    healthy, dead = FakeDestination("healthy"), FakeDestination("dead", hang=True)
    refusing = FakeDestination("refusing", script=[Unreachable("UNAVAILABLE")] * 10_000)
    async with Room(healthy, dead, refusing) as room:
        start_ns = room.time.now_ns
        for number in range(1, 101):
            room.put(number)
        await room.settled(0, limit_s=0.1)
        assert healthy.spans() == list(range(1, 101))
        assert room.time.now_ns - start_ns < 0.1 * NS_PER_S
        assert (room.deliveries[1].queue_size, room.deliveries[2].queue_size) == (100, 100)


async def test_what_queues_behind_a_request_leaves_together() -> None:
    """Small batches are joined, up to request_bytes_max."""
    destination = FakeDestination()
    size = len(payload(101))
    async with Room(destination, options=DeliveryOptions(linger_s=0.01, request_bytes_max=25 * size)) as room:
        for number in range(101, 201):
            room.put(number)
        await room.settled()
        assert [len(numbers(data)) for data in destination.taken] == [25] * 4
        assert destination.spans() == list(range(101, 201))


async def test_lingering_is_bounded() -> None:
    """A lone batch waits linger_s and no longer."""
    destination = FakeDestination()
    async with Room(destination, options=DeliveryOptions(linger_s=0.01)) as room:
        room.put(1)
        start_ns = room.time.now_ns
        await room.settled(limit_s=0.02)
        assert room.time.now_ns - start_ns == 0.01 * NS_PER_S


async def test_permanent_refusals_are_counted_by_reason_and_not_sent_again(caplog: pytest.LogCaptureFixture) -> None:
    """The specification forbids a retry; the log says it once a minute."""
    destination = FakeDestination(script=[Refused("unauthenticated", "HTTP 401")] * 50)
    with caplog.at_level(logging.WARNING):
        async with Room(destination, options=DeliveryOptions(linger_s=0, request_bytes_max=1)) as room:
            for number in range(1, 51):
                room.put(number)
            await room.settled()
            stats = room.deliveries[0].stats
            assert stats.failed_spans == {"unauthenticated": 50}
            assert (len(destination.attempts), destination.taken, stats.healthy) == (50, [], False)
    assert len([line for line in caplog.messages if "unauthenticated" in line]) == 1


async def test_partial_success_is_never_sent_again() -> None:
    """OTLP: MUST NOT retry; the rejected are counted."""
    destination = FakeDestination(script=[SendResult(2, "no room")])
    async with Room(destination) as room:
        room.put(1, 2, 3)
        await room.settled()
        stats = room.deliveries[0].stats
        assert (len(destination.attempts), stats.sent_spans, stats.failed_spans) == (1, 1, {"rejected": 2})


async def test_a_fault_of_ours_does_not_stop_the_destination() -> None:
    """An unforeseen exception costs its request, is counted, and the next one leaves."""
    destination = FakeDestination(script=[ZeroDivisionError("boom")])
    async with Room(destination, options=DeliveryOptions(linger_s=0, request_bytes_max=1, concurrency=1)) as room:
        room.put(1)
        room.put(2)
        await room.settled()
        assert destination.spans() == [2]
        assert room.deliveries[0].stats.failed_spans == {"internal": 1}


async def test_drain_delivers_what_is_queued() -> None:
    """With a destination that works, nothing is left."""
    destination = FakeDestination()
    async with Room(destination, options=DeliveryOptions(linger_s=0.01)) as room:
        for number in range(1, 21):
            room.put(number)
        assert await room.time.run(room.deliveries[0].drain(10)) == Undelivered("fake", 0, 0)
        assert destination.spans() == list(range(1, 21))
        assert destination.closed


async def test_drain_cuts_our_own_backoff_short() -> None:
    """A destination that came back during a long pause gets its data before the deadline."""
    destination = FakeDestination(script=[Unreachable("UNAVAILABLE")] * 8)
    async with Room(destination) as room:
        room.put(1)
        await room.time.until(lambda: len(destination.attempts) == 8)
        assert await room.time.run(room.deliveries[0].drain(10), limit_s=1) == Undelivered("fake", 0, 0)
        assert destination.spans() == [1]


async def test_drain_ends_at_the_deadline_and_reports() -> None:
    """What could not be delivered is told in batches and spans; what was refused or taken before is not in it."""
    destination = FakeDestination(hang=True)
    async with Room(destination) as room:
        for number in range(1, 6):
            room.put(number, number + 100)
        start_ns = room.time.now_ns
        left = await room.time.run(room.deliveries[0].drain(10))
        assert left == Undelivered("fake", 5, 10)
        assert room.time.now_ns - start_ns == 10 * NS_PER_S
        assert destination.closed


async def test_drain_does_not_report_the_settled_part_of_a_halved_batch() -> None:
    """Three of four spans were taken before the destination died: one is left."""

    def judge(data: bytes) -> None:
        if len(numbers(data)) == 4:
            raise Refused("bad_data", "HTTP 400", bad_data=True)

    destination = FakeDestination(judge=judge)
    stuck = itertools.count()
    original = destination.send

    async def send(data: bytes) -> SendResult:
        if numbers(data) == [3, 4] and next(stuck) >= 0:
            await asyncio.get_running_loop().create_future()
        return await original(data)

    destination.send = send  # type: ignore[method-assign]
    async with Room(destination) as room:
        room.put(1, 2, 3, 4)
        await room.time.until(lambda: destination.spans() == [1, 2])
        assert await room.time.run(room.deliveries[0].drain(1)) == Undelivered("fake", 1, 2)
