"""Moves one destination's payloads from the log to the destination: coalesce, send, retry, halve, count.

Rules: what fails for now is sent again, the same bytes, until it is answered; time alone never drops data, the bounded log refuses
upstream instead. What is refused for good is counted by reason. What is refused as bad data, or as too large, is halved until the span at
fault stands alone; every other span is delivered once. Workers of one destination share nothing with those of another.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from otel_ext.errors import MalformedPayload, Refused, RetryableError
from otel_ext.exporters.base import Destination, Lease, LogReader, PartsDestination, Runtime, Undelivered
from otel_ext.exporters.halving import Halver, Piece
from otel_ext.exporters.retry import DEFAULT_BACKOFF, NS_PER_S, Backoff, Gate, cancel, sleep_unless
from otel_ext.exporters.stats import QUARANTINE_MAX, BadSpan, DeliveryStats, Quarantine

MIB = 1024 * 1024
# OTLP 1.11 "Exporter": a request over 64 MiB MUST NOT be sent.
SEND_BYTES_MAX = 64 * MIB
# Enough to find one span among 2**24.
REFUSALS_MIN = 24
FAULT_PAUSE_S = 1.0
LOG_EVERY_NS = 60 * NS_PER_S

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryOptions:
    """Bounds of one destination's delivery.

    `request_bytes_max`: payloads are joined up to it; 4 MiB is the default receive limit of grpc servers. `linger_s`: how long the first
    payload waits for others to leave with. `refusals_max`: refused requests after which one lease is no longer halved.
    """

    concurrency: int = 2
    request_bytes_max: int = 4 * MIB
    linger_s: float = 0.01
    refusals_max: int = 256
    send_bytes_max: int = SEND_BYTES_MAX  # a larger request of several spans is sent in halves
    quarantine_max: int = QUARANTINE_MAX
    backoff: Backoff = DEFAULT_BACKOFF


@dataclass(slots=True, eq=False)
class _Job:
    lease: Lease
    settled_spans: int = 0
    refusals: int = 0
    delivered: bool = False


class Delivery:
    """The workers of one destination. `start` once, then `drain` once; both inside the running loop."""

    def __init__(
        self, destination: Destination, reader: LogReader, halver: Halver, runtime: Runtime, options: DeliveryOptions | None = None
    ) -> None:
        self.stats = DeliveryStats()
        self._options = options or DeliveryOptions()
        self.quarantine = Quarantine(self._options.quarantine_max)
        self._destination = destination
        self._send_parts = destination.send_parts if isinstance(destination, PartsDestination) else None
        self._reader = reader
        self._halver = halver
        self._runtime = runtime
        self._gate = Gate(runtime)
        self._refusals_max = self._options.refusals_max
        self._logged_ns: dict[str, int] = {}
        self._collecting = asyncio.Lock()
        self._draining = asyncio.Event()
        self._idle = asyncio.Event()
        self._workers: list[asyncio.Task[None]] = []
        self._jobs: set[_Job] = set()

    @property
    def name(self) -> str:
        """The destination's label."""
        return self._destination.name

    @property
    def queue_size(self) -> int:
        """Payloads that wait or are on their way."""
        return self._reader.depth

    @property
    def queue_capacity(self) -> int:
        """The bound of `queue_size`."""
        return self._reader.capacity

    async def start(self) -> None:
        """Open the destination and start the workers."""
        await self._destination.start()
        self._workers = [asyncio.create_task(self._work(), name=f"deliver {self.name}") for _ in range(self._options.concurrency)]

    async def drain(self, timeout_s: float) -> Undelivered:
        """Deliver what is queued, at most *timeout_s* long, then stop and close the destination; returns what was not confirmed.

        A pause of our own backoff is cut short once; one that the destination asked for is not.
        """
        self._draining.set()
        self._idle.clear()
        if self._reader.depth:
            await sleep_unless(self._idle, timeout_s, self._runtime)
        await cancel(self._workers)
        left = Undelivered(self.name, self._reader.depth, self._reader.spans - sum(job.settled_spans for job in self._jobs))
        await self._destination.close()
        if left.records:
            log.warning("%s: %d batches with %d spans not delivered at shutdown", self.name, left.records, left.spans)
        return left

    async def _work(self) -> None:
        while True:
            try:
                await self._step()
            except Exception as error:  # the one guard of this task: a fault of ours must not stop the destination
                log.error("%s: fault in delivery: %s", self.name, type(error).__name__)
                await self._runtime.sleep(FAULT_PAUSE_S)

    async def _step(self) -> None:
        job = _Job(await self._collect())
        self._jobs.add(job)
        try:
            await self._deliver(job)
        except Exception:
            self._lose(job, "internal", job.lease.spans - job.settled_spans)
            self._finish(job)
            raise
        self._finish(job)

    def _finish(self, job: _Job) -> None:
        job.lease.done()
        self._jobs.discard(job)
        if not self._reader.depth:
            self._idle.set()

    async def _collect(self) -> Lease:
        # One worker waits and lingers, the others are busy or queue for this lock: what comes meanwhile leaves together.
        async with self._collecting:
            await self._reader.ready()
            await self._gate.pass_through()
            options = self._options
            if options.linger_s and self._reader.ready_bytes < options.request_bytes_max and not self._draining.is_set():
                await self._runtime.sleep(options.linger_s)
            return await self._reader.take(options.request_bytes_max)

    async def _deliver(self, job: _Job) -> None:
        pieces = [Piece(job.lease.parts if self._send_parts else (job.lease.payload,), job.lease.spans)]
        while pieces:
            piece = pieces.pop()
            try:
                await self._send(job, piece)
            except Refused as refusal:
                pieces.extend(self._refused(job, piece, refusal))
        self._learn(job)

    async def _send(self, job: _Job, piece: Piece) -> None:
        """Send until answered. Raises Refused."""
        size_bytes = sum(map(len, piece.parts))
        limit = self._options.send_bytes_max if piece.spans > 1 else SEND_BYTES_MAX
        if size_bytes > limit:
            raise Refused("too_large", f"{size_bytes} bytes, the limit is {limit}", bad_data=True)
        attempt = 0
        while True:
            await self._gate.pass_through()
            self.stats.in_flight += 1
            try:
                if self._send_parts:
                    result = await self._send_parts(piece.parts)
                else:
                    result = await self._destination.send(piece.payload)
            except RetryableError as error:
                pause_s = self._options.backoff.delay_s(attempt, error.retry_after_s, self._runtime.random)
                if error.retry_after_s is not None:
                    self._gate.close_for(pause_s)
                self._again(str(error))
            else:
                # OTLP "Partial Success": MUST NOT be retried.
                rejected = min(max(result.rejected_spans, 0), piece.spans)
                if rejected:
                    self._lose(job, "rejected", rejected)
                    self._say(logging.WARNING, "rejected", "part of a request refused for good")
                self.stats.sent(piece.spans - rejected, self._runtime.now_ns())
                job.settled_spans += piece.spans - rejected
                job.delivered = True
                return
            finally:
                self.stats.in_flight -= 1
            attempt = 0 if await self._pause(pause_s) else attempt + 1

    def _refused(self, job: _Job, piece: Piece, refusal: Refused) -> list[Piece]:
        """What to send instead of a refused *piece*; it is counted as lost where nothing is."""
        job.refusals += 1
        reason = refusal.reason
        if refusal.bad_data:
            self.stats.answered()
            try:
                halves = self._halver.halves(piece.payload)
            except MalformedPayload:
                halves, reason = None, "malformed"
            if halves and job.refusals < self._refusals_max:
                return [halves[1], halves[0]]
            if halves is None and reason != "malformed":
                self._isolate(piece, reason)
        else:
            self.stats.trouble(reason)
        self._lose(job, reason, piece.spans)
        self._say(logging.WARNING, reason, "spans refused for good")
        return []

    def _learn(self, job: _Job) -> None:
        # A destination that takes no part of a batch (it dislikes a header, say) must not cost two requests a span for ever.
        if job.delivered:
            self._refusals_max = self._options.refusals_max
        elif job.refusals > 1:
            self._refusals_max = min(REFUSALS_MIN, self._options.refusals_max)

    def _isolate(self, piece: Piece, reason: str) -> None:
        trace_id, span_id = self._halver.ids(piece.payload)
        self.quarantine.add(BadSpan(self._runtime.now_ns(), reason, len(piece.payload), trace_id, span_id))

    def _lose(self, job: _Job, reason: str, spans: int) -> None:
        if spans > 0:
            job.settled_spans += spans
            self.stats.failed(reason, spans)
            self.stats.last_error = reason

    def _again(self, label: str) -> None:
        self.stats.retries += 1
        self.stats.trouble(label)
        self._say(logging.WARNING, label, "will be tried again")

    def _say(self, level: int, label: str, what: str) -> None:
        """Log *label* at most once a minute; labels are a small set that the destinations choose."""
        now_ns = self._runtime.now_ns()
        if now_ns - self._logged_ns.get(label, now_ns - LOG_EVERY_NS) >= LOG_EVERY_NS:
            self._logged_ns[label] = now_ns
            log.log(level, "%s: %s, %s", self.name, label, what)

    async def _pause(self, pause_s: float) -> bool:
        """Sleep; True when draining began meanwhile, which ends the pause."""
        if self._draining.is_set():
            await self._runtime.sleep(pause_s)
            return False
        return await sleep_unless(self._draining, pause_s, self._runtime)
