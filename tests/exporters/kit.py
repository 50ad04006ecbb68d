"""What the exporter tests share: a clock that tests own, a scripted destination, both codecs, payloads."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_ext.errors import Refused
from otel_ext.exporters.base import Runtime, SendResult
from otel_ext.exporters.halving import CodecHalver
from otel_ext.wire import Codec, make_codec
from otel_ext.wire.pure import PureCodec
from otel_ext.wire.table import Limits

T = TypeVar("T")
TRACE_ID = bytes(range(1, 17))
NS_PER_S = 1_000_000_000


class FakeTime:
    """Time that passes only while `run` has nothing else to do."""

    def __init__(self) -> None:
        self.now_ns = 1_800_000_000 * NS_PER_S
        self.sleeps: list[float] = []
        self.roll = 1.0
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    @property
    def runtime(self) -> Runtime:
        return Runtime(now_ns=lambda: self.now_ns, sleep=self.sleep, random=lambda: self.roll)

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now_ns + round(seconds * NS_PER_S), next(self._order), future))
        await future

    async def run(self, awaitable: Awaitable[T], limit_s: float = 1e6) -> T:
        """Await, letting time jump from sleeper to sleeper."""
        task = asyncio.ensure_future(awaitable)
        await self.until(task.done, limit_s)
        return await task

    async def until(self, condition: Callable[[], bool], limit_s: float = 1e6) -> None:
        """Let time jump from sleeper to sleeper until *condition* holds; at most *limit_s* of it may pass."""
        end_ns = self.now_ns + round(limit_s * NS_PER_S)
        while True:
            for _ in range(30):
                if condition():
                    return
                await asyncio.sleep(0)
            while self._sleepers and self._sleepers[0][2].done():
                heapq.heappop(self._sleepers)
            assert self._sleepers, "nothing moves, and nothing sleeps"
            wake_ns, _, future = heapq.heappop(self._sleepers)
            assert wake_ns <= end_ns, "it takes too long"
            self.now_ns = max(self.now_ns, wake_ns)
            future.set_result(None)


@dataclass
class FakeDestination:
    """Answers by `script` (exceptions and results, used up in order), then by `judge`; keeps what it took."""

    name: str = "fake"
    script: list[Exception | SendResult] = field(default_factory=list)
    judge: Callable[[bytes], None] = lambda _: None
    taken: list[bytes] = field(default_factory=list)
    attempts: list[bytes] = field(default_factory=list)
    hang: bool = False
    closed: bool = False

    async def start(self) -> None:
        """Nothing to open."""

    async def send(self, payload: bytes) -> SendResult:
        self.attempts.append(payload)
        if self.hang:
            await asyncio.get_running_loop().create_future()
        step = self.script.pop(0) if self.script else SendResult()
        if isinstance(step, Exception):
            raise step
        self.judge(payload)
        self.taken.append(payload)
        return step

    async def close(self) -> None:
        self.closed = True

    def spans(self) -> list[int]:
        """Numbers of the spans taken, in order of arrival."""
        return [number for payload in self.taken for number in numbers(payload)]


CODECS: tuple[Codec, ...] = (PureCodec((), (), Limits()), make_codec((), (), Limits()))


def halver() -> CodecHalver:
    return CodecHalver(CODECS[-1])


def payload(*span_numbers: int, trace_id: bytes = TRACE_ID, text: str = "") -> bytes:
    """A request with one span a number; the number is its id (0: no valid id), *text* an attribute."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for number in span_numbers:
        span = scope.spans.add(trace_id=trace_id, span_id=number.to_bytes(8, "big") if number else b"", name=f"span {number}")
        if text:
            span.attributes.add(key="text").value.string_value = text
    return request.SerializeToString()


def numbers(data: bytes) -> list[int]:
    return [int.from_bytes(span.span_id, "big") for span in _spans(data)]


def refuse_if(bad: set[int], reason: str = "bad_data") -> Callable[[bytes], None]:
    def judge(data: bytes) -> None:
        if bad & set(numbers(data)):
            raise Refused(reason, "HTTP 400", bad_data=True)

    return judge


def _spans(data: bytes) -> list[Any]:
    request = ExportTraceServiceRequest.FromString(data)
    return [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]
