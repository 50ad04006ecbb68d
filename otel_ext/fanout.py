"""Spans of one application to every destination of its configuration, from a background thread.

The application's thread puts a finished span into a bounded queue and goes on. The thread encodes what is there, and hands it to the same
pipeline, log and deliveries as the sidecar's; what was judged already when the span ended is not judged again.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from opentelemetry.context import attach, detach, set_value

from otel_ext.dialects import KEYS, RULES
from otel_ext.errors import Overloaded
from otel_ext.exporters.base import Runtime
from otel_ext.findings import Marked, finding_spans
from otel_ext.model import Finding
from otel_ext.outputs import Outputs, make_outputs
from otel_ext.pipeline import Outcome, Pipeline, _Batch
from otel_ext.pricelist import price_list
from otel_ext.prices import PriceTable
from otel_ext.sdk import encoding
from otel_ext.sdk.stats import Stats, log
from otel_ext.settings import NS_PER_S, Settings
from otel_ext.wire import make_codec
from otel_ext.wire.table import Column, Limits

QUEUE_SPANS_MAX: Final = 16_384
BATCH_SPANS: Final = 512
POLL_S: Final = 0.2  # a span waits that long for others, unless a whole batch is there
RETRY_S: Final = 0.05  # a full log is looked at again after

_Entry = tuple[Any, Sequence[Finding]]


@dataclass(slots=True)
class Judged(Pipeline):
    """The pipeline for spans that were judged when they ended: links and the LLM tree, and the findings that come with them."""

    found: dict[int, Sequence[Finding]] = field(default_factory=dict)  # by span id, of the payload at hand

    def _read_calls(self, batch: _Batch) -> None:
        """Nothing: requests were settled where the span ended."""

    def _take_steps(self, batch: _Batch) -> None:
        for index in batch.scan.groups["trace"].tolist():
            trace = self.verdicts.book.get(batch.scan.trace_ids[index])
            if trace is not None and trace.langfuse_id:
                batch.other[index] = trace.langfuse_id
            else:
                batch.own[index] = 1
        if self.found:
            for row, span_id in enumerate(batch.scan.spans["span_id"].tolist()):
                if findings := self.found.get(span_id):
                    batch.marked[row] = list(findings)

    def _marks(self, marked: Marked) -> list[Column]:  # noqa: ARG002
        return []  # they are on the spans


class _Loop(asyncio.SelectorEventLoop):
    """Resolves names by itself once the interpreter ends: its executors take no work any more by then."""

    async def getaddrinfo(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super().getaddrinfo(*args, **kwargs)
        except RuntimeError:
            return socket.getaddrinfo(*args, **kwargs)


class FanOut:
    """A Sink. The thread starts with the first span, and again in a child process that has one."""

    def __init__(self, settings: Settings, stats: Stats) -> None:
        self._settings = settings
        self._stats = stats
        exporters = settings.exporters
        self._own = {
            name: encoding.place(url)
            for name, url in (
                (
                    "tempo",
                    exporters.tempo.endpoint + ("/v1/traces" if exporters.tempo.protocol == "http" else "") if exporters.tempo else "",
                ),
                ("langfuse", exporters.langfuse.host.rstrip("/") + "/api/public/otel/v1/traces" if exporters.langfuse else ""),
            )
            if url
        }
        self._reset()

    def _reset(self) -> None:
        self._queue: deque[_Entry] = deque()
        self._late: deque[Finding] = deque(maxlen=QUEUE_SPANS_MAX)
        self._siblings: tuple[Any, ...] = ()
        self._doubled: frozenset[str] = frozenset()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None
        self._outputs: Outputs | None = None
        self._working = 0
        self._stopping = False

    # -- the application's threads

    def started(self, span: Any) -> None:
        """Look at who else exports, where that changed."""
        found = encoding.siblings(span)
        if found is not self._siblings:
            self._siblings = found
            there = set(encoding.places(found))
            self._doubled = frozenset(name for name, place in self._own.items() if place in there)
            for name in self._doubled:
                log.warning("otel_ext: another processor sends to %s already: spans are left to it", name)

    def put(self, span: Any, findings: Sequence[Finding]) -> None:
        """Queue a span with the findings about it."""
        if self._stopping or len(self._queue) >= QUEUE_SPANS_MAX:
            self._stats.drop("shut down" if self._stopping else "queue full")
            return
        if findings:  # those about other spans go their own way
            own = span.context.span_id.to_bytes(8, "big")
            findings = [finding for finding in findings if finding.span_id == own and not finding.withdrawn]
        self._queue.append((span, findings))
        self._stats.queued += 1
        if self._thread is None:
            self._start()
        if len(self._queue) == BATCH_SPANS:
            self._nudge()

    def tell(self, findings: Sequence[Finding]) -> None:
        """Queue findings about spans that have left."""
        self._late.extend(findings)
        if self._thread is None:
            self._start()

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that was queued before was delivered."""
        deadline = time.monotonic() + timeout_s
        self._nudge()
        while self._pending():
            if self._thread is None or not self._thread.is_alive() or time.monotonic() >= deadline:
                return False
            time.sleep(0.005)
        return True

    def _pending(self) -> bool:
        if self._queue or self._late or self._working:
            return True
        made = self._outputs
        return made is not None and any(size for size in made.queue_sizes)

    def shutdown(self) -> None:
        """Deliver what is queued, within `shutdown_timeout`, and end the thread."""
        thread = self._thread
        self._stopping = True
        if thread is None or not thread.is_alive():
            return
        self._nudge()
        thread.join(self._settings.shutdown_timeout / NS_PER_S + 1)

    def after_fork(self) -> None:
        """In a child process: the thread is the parent's, and so is what it had to send."""
        self._reset()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="otel_ext", daemon=True)
                self._thread.start()

    def _nudge(self) -> None:
        loop, wake = self._loop, self._wake
        if loop is not None and wake is not None and not loop.is_closed():
            try:
                loop.call_soon_threadsafe(wake.set)
            except RuntimeError:  # closed meanwhile
                return

    # -- the background thread

    def _run(self) -> None:
        # What we send ourselves is not to be traced by the application's instrumentation of HTTP clients.
        token = attach(set_value("suppress_instrumentation", True))
        try:
            with asyncio.Runner(loop_factory=_Loop) as runner:
                runner.run(self._serve())
        except Exception as error:
            self._stats.swallow("background thread", error)
        finally:
            detach(token)
            if self._queue:
                self._stats.drop("background thread ended", len(self._queue))
                self._queue.clear()

    async def _serve(self) -> None:
        runtime = Runtime(now_ns=time.time_ns, sleep=asyncio.sleep, random=random.random)
        codec = make_codec(KEYS, RULES, Limits(names_max=self._settings.traces.max_names))
        made = make_outputs(self._settings, codec, runtime)
        costs = PriceTable(price_list(self._settings.prices), codec.name).costs
        pipeline = Judged(self._settings, codec, with_llm=self._settings.exporters.langfuse is not None, costs=costs)
        await made.start()
        self._outputs, self._wake, self._loop = made, asyncio.Event(), asyncio.get_running_loop()
        await self._work(pipeline, made, self._wake)
        await self._drain(made)

    async def _work(self, pipeline: Judged, made: Outputs, wake: asyncio.Event) -> None:
        while not (self._stopping and not self._queue and not self._late):
            if len(self._queue) < BATCH_SPANS and not self._stopping:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(wake.wait(), POLL_S)
                wake.clear()
            try:
                await self._step(pipeline, made)
            except Exception as error:
                self._stats.swallow("background thread", error)

    async def _step(self, pipeline: Judged, made: Outputs) -> None:
        """Take one batch to the log of every destination."""
        try:
            made.log.check()
        except Overloaded:  # the queue fills, and what does not fit is dropped there and counted
            await asyncio.sleep(RETRY_S)
            if self._stopping:
                self._stats.drop("queue full at shutdown", len(self._queue))
                self._queue.clear()
                self._late.clear()
            return
        self._working = 1
        try:
            taken = [self._queue.popleft() for _ in range(min(BATCH_SPANS, len(self._queue)))]
            late = [self._late.popleft() for _ in range(len(self._late))]
            self._keep(made, self._outcome(pipeline, taken), [*(each for _, found in taken for each in found), *late], late)
        finally:
            self._working = 0

    def _outcome(self, pipeline: Judged, taken: Sequence[_Entry]) -> Outcome:
        if not taken:
            return Outcome()
        pipeline.found = {span.context.span_id: found for span, found in taken if found}
        try:
            return pipeline.process(encoding.encode([span for span, _ in taken]), time.time_ns())
        except Exception:
            self._stats.drop("cannot be encoded", len(taken))
            raise

    def _keep(self, made: Outputs, outcome: Outcome, findings: Sequence[Finding], late: Sequence[Finding]) -> None:
        full = b"" if "tempo" in self._doubled else outcome.full + finding_spans(late)
        llm = b"" if "langfuse" in self._doubled else outcome.llm
        record = made.record(full, outcome.spans + len(late), llm, outcome.llm_spans, trace_ids=outcome.trace_ids)
        if record:
            made.log.append(record)
        for finding in findings:
            for lane in made.lanes_of(finding):
                lane.submit(finding)

    async def _drain(self, made: Outputs) -> None:
        timeout_s = self._settings.shutdown_timeout / NS_PER_S
        for left in await asyncio.gather(*made.draining(timeout_s)):
            if left.records:
                self._stats.drop(f"{left.destination} did not take them in time", left.spans)
