"""The log of batches: bounds, cursors, memory."""

import asyncio
import sys

import pytest

from otel_ext.errors import Overloaded
from otel_ext.exporters.base import Record
from otel_ext.exporters.log import MemoryLog


def make(batches: int = 3, size: int = 1_000) -> MemoryLog:
    return MemoryLog(2, queue_batches=batches, queue_bytes=size, retry_after_s=2.5)


async def test_full_backlog_refuses_with_a_delay_and_keeps_nothing() -> None:
    """One backlog at its bound refuses the record for all destinations."""
    log = make(batches=1)
    log.append(Record((b"a", b""), (1, 0)))
    with pytest.raises(Overloaded) as caught:
        log.append(Record((b"b", b"b"), (1, 1)))
    assert caught.value.retry_after_s == 2.5
    assert (log.reader(0).depth, log.reader(1).depth, log.bytes_held) == (1, 0, 1)


async def test_bytes_are_bounded_over_all_destinations() -> None:
    """`queue_bytes` counts what all destinations hold, and is passed by one record at most."""
    log = make(batches=100, size=10)
    log.append(Record((b"x" * 6, b"y" * 100), (1, 1)))
    with pytest.raises(Overloaded):
        log.append(Record((b"z", b""), (1, 0)))
    assert log.bytes_held == 106


async def test_each_destination_can_have_its_own_bound() -> None:
    """One number a destination; another count of numbers is a mistake."""
    log = MemoryLog(2, queue_batches=(5, 1), queue_bytes=100)
    log.append(Record((b"a", b"b"), (1, 1)))
    assert (log.reader(0).capacity, log.reader(1).capacity) == (5, 1)
    with pytest.raises(Overloaded):
        log.append(Record((b"a", b""), (1, 0)))
    with pytest.raises(ValueError, match="3 bounds for 2"):
        MemoryLog(2, queue_batches=(1, 2, 3), queue_bytes=100)


async def test_check_promises_append() -> None:
    """Whatever the size of the record, check then append does not fail."""
    log = make(batches=100, size=10)
    while True:
        try:
            log.check()
        except Overloaded:
            break
        log.append(Record((b"x" * 9, b"y" * 9), (1, 1)))
    assert log.bytes_held == 18


async def test_leased_payloads_count_until_done() -> None:
    """Taking frees nothing: what is on its way still fills the log."""
    log = make(batches=1)
    log.append(Record((b"a", b""), (4, 0)))
    lease = await log.reader(0).take(100)
    with pytest.raises(Overloaded):
        log.check()
    assert log.reader(0).spans == 4
    lease.done()
    lease.done()
    log.check()
    assert (log.reader(0).depth, log.reader(0).spans, log.bytes_held) == (0, 0, 0)


async def test_consecutive_payloads_are_joined_up_to_the_bound() -> None:
    """A lease has as many payloads as fit, one at least, in order, and skips records that hold nothing for it."""
    log = make(batches=10)
    for part in (b"aaaa", b"", b"bb", b"cc", b"dddddddddd"):
        log.append(Record((part, b"other"), (len(part), 1)))
    reader = log.reader(0)
    first, second, third = [await reader.take(7) for _ in range(3)]
    assert [lease.payload for lease in (first, second, third)] == [b"aaaabb", b"cc", b"dddddddddd"]
    assert [(lease.records, lease.spans) for lease in (first, second, third)] == [(2, 6), (1, 2), (1, 10)]
    assert reader.ready_bytes == 0
    assert log.reader(1).depth == 5


async def test_a_payload_is_freed_when_its_own_destination_is_done() -> None:
    """Another destination's backlog holds its own payload only."""
    log = make()
    mine, theirs = bytes(100_000), bytearray(b"t" * 50)
    before = sys.getrefcount(mine)
    log.append(Record((mine, bytes(theirs)), (1, 1)))
    lease = await log.reader(0).take(1)
    assert sys.getrefcount(mine) > before
    lease.done()
    assert sys.getrefcount(mine) == before
    assert (log.bytes_held, log.reader(1).depth) == (50, 1)


async def test_a_waiting_reader_wakes_and_survives_cancellation() -> None:
    """`ready` returns on the next payload, also after an earlier wait was given up."""
    log = make()
    given_up = asyncio.create_task(log.reader(0).ready())
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    taking = asyncio.create_task(log.reader(0).take(10))
    await asyncio.sleep(0)
    log.append(Record((b"a", b""), (1, 0)))
    assert (await taking).payload == b"a"
