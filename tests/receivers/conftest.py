"""A recording consumer, receivers on free ports, and one way to send through either transport."""

from __future__ import annotations

import asyncio
import gzip as gzip_module
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import aiohttp
import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse

from otel_ext.errors import MalformedPayload
from otel_ext.model import Caller, Receipt
from otel_ext.receivers.grpc import EXPORT, GrpcReceiver
from otel_ext.receivers.http import HttpReceiver
from otel_ext.receivers.stats import ReceiverStats, TransportStats

LIMIT_BYTES = 1 << 20


class Recorder:
    """A Consumer that keeps what it is given, and fails or waits where told to."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.error: BaseException | None = None
        self.receipt: Receipt | None = None
        self.gate: asyncio.Event | None = None
        self.callers: list[Caller | None] = []
        self._arrivals = asyncio.Semaphore(0)

    async def consume(self, payload: bytes, caller: Caller | None = None) -> Receipt:
        self.callers.append(caller)
        assert type(payload) is bytes
        if self.gate:
            self._arrivals.release()
            await self.gate.wait()
        if self.error:
            raise self.error
        try:
            request = ExportTraceServiceRequest.FromString(payload)
        except DecodeError:
            raise MalformedPayload("cut off", len(payload)) from None
        self.requests.append(request)
        return self.receipt or Receipt(accepted=len(self.spans_of(request)))

    async def arrived(self, count: int = 1) -> None:
        """Wait until *count* more requests wait at the gate."""
        async with asyncio.timeout(5):
            for _ in range(count):
                await self._arrivals.acquire()

    @staticmethod
    def spans_of(request: ExportTraceServiceRequest) -> list[object]:
        return [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]

    @property
    def names(self) -> set[str]:
        return {span.name for request in self.requests for span in self.spans_of(request)}  # type: ignore[attr-defined]


@dataclass
class Outcome:
    """What a sender learns: the google.rpc code (0: success), the HTTP status, the Status or the response."""

    code: int
    http: int
    status: Status | None = None
    response: ExportTraceServiceResponse | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def detail(self, kind: type) -> object | None:
        for packed in self.status.details if self.status else ():
            found = kind()
            if packed.Unpack(found):
                return found
        return None

    @property
    def retry_delay_s(self) -> float | None:
        info = self.detail(RetryInfo)
        return None if info is None else info.retry_delay.ToNanoseconds() / 1e9  # type: ignore[attr-defined]

    @property
    def bad_request(self) -> object | None:
        return self.detail(BadRequest)


def request_of(spans: int, name: str = "chat", padding: int = 0) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for number in range(spans):
        scope.spans.add(
            trace_id=b"t" * 16, span_id=(number + 1).to_bytes(8, "big"), name=name, start_time_unix_nano=1, end_time_unix_nano=2
        )
    if padding:
        scope.spans[0].attributes.add(key="padding").value.string_value = "x" * padding
    return request


def protobuf_body(request: ExportTraceServiceRequest) -> bytes:
    return request.SerializeToString()


def json_body(request: ExportTraceServiceRequest) -> bytes:
    tree = json_format.MessageToDict(request)
    for resource in tree.get("resourceSpans", ()):
        for scope in resource["scopeSpans"]:
            for number, span in enumerate(scope["spans"], 1):
                span["traceId"], span["spanId"] = (b"t" * 16).hex(), number.to_bytes(8, "big").hex()
    return json.dumps(tree).encode()


class Link:
    """Sends raw bodies to one receiver in one encoding; the same cases run over all of them."""

    def __init__(self, name: str, body: Callable[[ExportTraceServiceRequest], bytes], send: Callable[..., Awaitable[Outcome]]) -> None:
        self.name = name
        self.body = body
        self.send = send
        self.damaged = b"{" if name == "json" else b"\x0a\x7f\x01"

    async def export(self, request: ExportTraceServiceRequest, *, gzip: bool = False) -> Outcome:
        return await self.send(self.body(request), gzip=gzip)


@dataclass
class House:
    """Both receivers, their consumer and their counts."""

    consumer: Recorder
    stats: ReceiverStats
    grpc: GrpcReceiver
    http: HttpReceiver
    session: aiohttp.ClientSession
    channel: grpc.aio.Channel

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.port}"

    def counts(self, link: Link) -> TransportStats:
        return self.stats.grpc if link.name == "grpc" else self.stats.http

    def link(self, name: str) -> Link:
        if name == "grpc":
            return Link(name, protobuf_body, self._send_grpc)
        return Link(name, json_body if name == "json" else protobuf_body, self._json if name == "json" else self._protobuf)

    async def _json(self, body: bytes, *, gzip: bool = False) -> Outcome:
        return await self.post(body, "application/json", gzip=gzip)

    async def _protobuf(self, body: bytes, *, gzip: bool = False) -> Outcome:
        return await self.post(body, "application/x-protobuf", gzip=gzip)

    async def post(self, body: object, media: str, *, gzip: bool = False, path: str = "/v1/traces", method: str = "POST") -> Outcome:
        headers = {"Content-Type": media} | ({"Content-Encoding": "gzip"} if gzip else {})
        data = gzip_module.compress(body) if gzip else body  # type: ignore[arg-type]
        async with self.session.request(method, self.url + path, data=data, headers=headers) as answer:
            return outcome_of(answer.status, await answer.read(), answer.content_type, dict(answer.headers), media)

    async def _send_grpc(self, body: bytes, *, gzip: bool = False, method: str = EXPORT) -> Outcome:
        compression = grpc.Compression.Gzip if gzip else None
        try:
            answer = await self.channel.unary_unary(method)(body, compression=compression)
        except grpc.aio.AioRpcError as error:
            packed = dict(error.trailing_metadata()).get("grpc-status-details-bin")
            status = Status.FromString(packed) if packed else None
            code = error.code().value[0]
            plain = Status(code=code, message=error.details())
            if status and (status.code, status.message) != (plain.code, plain.message):
                raise ValueError("the details contradict the status") from error
            return Outcome(code, 0, status or plain)
        return Outcome(0, 200, response=ExportTraceServiceResponse.FromString(answer))


def outcome_of(http: int, body: bytes, media: str, headers: dict[str, str], sent_media: str) -> Outcome:
    wanted = "application/x-protobuf" if sent_media.startswith("application/x-protobuf") else "application/json"
    assert media == wanted, "the answer is in the encoding of the request"
    message = ExportTraceServiceResponse() if http == 200 else Status()
    if media == "application/json":
        json_format.Parse(body, message)
    else:
        message.ParseFromString(body)
    if http == 200:
        return Outcome(0, http, response=message, headers=headers)  # type: ignore[arg-type]
    return Outcome(message.code, http, status=message, headers=headers)  # type: ignore[attr-defined,arg-type]


@pytest.fixture
async def house() -> AsyncIterator[House]:
    consumer, stats = Recorder(), ReceiverStats()
    on_grpc = GrpcReceiver("127.0.0.1:0", LIMIT_BYTES, consumer, stats)
    on_http = HttpReceiver("127.0.0.1:0", LIMIT_BYTES, consumer, stats, read_timeout_s=0.5, idle_timeout_s=0.5)
    port = await on_grpc.start()
    await on_http.start()
    options = [("grpc.max_send_message_length", -1)]
    async with aiohttp.ClientSession() as session, grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        yield House(consumer, stats, on_grpc, on_http, session, channel)
    if consumer.gate:
        consumer.gate.set()
    await asyncio.gather(on_grpc.stop(1.0), on_http.stop(1.0))


@pytest.fixture(params=["grpc", "protobuf", "json"])
def link(request: pytest.FixtureRequest, house: House) -> Link:
    """Each way in: gRPC, HTTP with protobuf, HTTP with JSON."""
    return house.link(request.param)


@pytest.fixture
def make() -> Callable[..., ExportTraceServiceRequest]:
    return request_of
