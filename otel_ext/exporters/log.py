"""The bounded log of batches, in memory: one queue per destination over shared bytes.

Rules: `append` keeps a record for all its destinations or for none. A payload is freed when its own destination is done with it,
whatever the others do. The log is full when a backlog reached `queue_batches` or all of them together hold `queue_bytes`; the bytes may
pass that bound by one record, so that a record larger than it is not refused for ever.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from otel_ext.errors import Overloaded
from otel_ext.exporters.base import Record

RETRY_AFTER_S = 1.0


class MemoryLog:
    """A BatchLog for one event loop. `queue_batches` bounds each destination's backlog, `queue_bytes` all of them together.

    `queue_batches` is one bound for all, or one a destination. `retry_after_s` is the delay that a refused client is asked to wait.
    """

    def __init__(
        self, destinations: int, *, queue_batches: int | Sequence[int], queue_bytes: int, retry_after_s: float = RETRY_AFTER_S
    ) -> None:
        self._usage = _Usage()
        bounds = (queue_batches,) * destinations if isinstance(queue_batches, int) else tuple(queue_batches)
        if len(bounds) != destinations:
            raise ValueError(f"{len(bounds)} bounds for {destinations} destinations")
        self._readers = tuple(MemoryReader(bound, self._usage) for bound in bounds)
        self._queue_bytes = queue_bytes
        self._retry_after_s = retry_after_s

    @property
    def bytes_held(self) -> int:
        """Bytes of all payloads not done yet."""
        return self._usage.bytes_held

    def check(self) -> None:
        """Raise Overloaded if `append` would; without an await between the two, `append` then succeeds."""
        if self._usage.bytes_held >= self._queue_bytes:
            raise Overloaded(f"{self._usage.bytes_held} bytes wait for delivery, the limit is {self._queue_bytes}", self._retry_after_s)
        for reader in self._readers:
            if reader.depth >= reader.capacity:
                raise Overloaded(f"{reader.depth} batches wait for one destination, the limit is {reader.capacity}", self._retry_after_s)

    def append(self, record: Record) -> None:
        """Keep *record*; raises Overloaded and keeps nothing when full."""
        self.check()
        # a record may end before the last reader: there is nothing for those that follow
        for reader, payload, spans in zip(self._readers, record.payloads, record.spans, strict=False):
            if payload:
                reader.push(payload, spans)

    def reader(self, index: int) -> MemoryReader:
        """The cursor of the destination at *index*."""
        return self._readers[index]


class _Usage:
    __slots__ = ("bytes_held",)

    def __init__(self) -> None:
        self.bytes_held = 0


class MemoryLease:
    """Payloads taken from a MemoryReader. Only `done` counts them as gone."""

    __slots__ = ("_reader", "_size_bytes", "parts", "records", "spans")

    def __init__(self, reader: MemoryReader, parts: tuple[bytes, ...], size_bytes: int, spans: int) -> None:
        self._reader: MemoryReader | None = reader
        self._size_bytes = size_bytes
        self.parts = parts
        self.spans = spans
        self.records = len(parts)

    @property
    def payload(self) -> bytes:
        """All parts as one, which then takes their place: they are not kept twice."""
        # One part is not copied: join gives the same object back.
        joined = b"".join(self.parts)
        self.parts = (joined,)
        return joined

    def done(self) -> None:
        """Free the payload."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.release(self._size_bytes, self.spans, self.records)
            self.parts = ()


class MemoryReader:
    """A LogReader over a deque of (payload, spans)."""

    def __init__(self, capacity: int, usage: _Usage) -> None:
        self._queue: deque[tuple[bytes, int]] = deque()
        self._usage = usage
        self._waiter: asyncio.Future[None] | None = None
        self._capacity = capacity
        self._depth = 0
        self._spans = 0
        self._ready_bytes = 0

    @property
    def depth(self) -> int:
        """Payloads not done yet."""
        return self._depth

    @property
    def capacity(self) -> int:
        """The bound of `depth`."""
        return self._capacity

    @property
    def spans(self) -> int:
        """Spans not done yet."""
        return self._spans

    @property
    def ready_bytes(self) -> int:
        """Bytes not leased yet."""
        return self._ready_bytes

    def push(self, payload: bytes, spans: int) -> None:
        """Queue a payload; the log has checked the bounds."""
        self._queue.append((payload, spans))
        self._depth += 1
        self._spans += spans
        self._ready_bytes += len(payload)
        self._usage.bytes_held += len(payload)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def release(self, size_bytes: int, spans: int, records: int) -> None:
        """A lease is done."""
        self._depth -= records
        self._spans -= spans
        self._usage.bytes_held -= size_bytes

    async def ready(self) -> None:
        """Return once there is something to take."""
        while not self._queue:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    async def take(self, bytes_max: int) -> MemoryLease:
        """Lease the oldest payloads up to *bytes_max* together, and one at least."""
        await self.ready()
        payload, spans = self._queue.popleft()
        parts, size_bytes = [payload], len(payload)
        while self._queue and size_bytes + len(self._queue[0][0]) <= bytes_max:
            payload, more = self._queue.popleft()
            parts.append(payload)
            size_bytes += len(payload)
            spans += more
        self._ready_bytes -= size_bytes
        return MemoryLease(self, tuple(parts), size_bytes, spans)
