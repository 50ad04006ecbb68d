"""A Grafana Tempo that refuses what Tempo refuses: OTLP over gRPC and over HTTP on real sockets.

tempo = TempoDouble()
await tempo.start()                                   # free ports; after stop() it comes back on the same ones
tempo.fail_next(2, "UNAVAILABLE", retry_after_s=3)    # the next requests, whichever transport
tempo.grpc_endpoint, tempo.http_endpoint
tempo.spans, tempo.requests, tempo.arrivals()
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from aiohttp import web
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import Span

SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
# grpc-go's default limit of a received message, which Tempo's receiver keeps.
RECV_BYTES_MAX = 4 * 1024 * 1024
# OTLP/HTTP status of a refusal, as the Collector's receiver (which Tempo embeds) maps gRPC codes.
HTTP_STATUS = {"INVALID_ARGUMENT": 400, "UNAUTHENTICATED": 401, "PERMISSION_DENIED": 403, "RESOURCE_EXHAUSTED": 429, "UNAVAILABLE": 503}


@dataclass(frozen=True, slots=True)
class Request:
    """One request that arrived, refused or not. Header names are lower-case."""

    transport: str
    size_bytes: int
    headers: dict[str, str]
    spans: int
    answer: str


@dataclass(slots=True)
class _FailureError(Exception):
    code: str
    message: str = "told to fail"
    retry_after_s: float | None = None
    http_status: int | None = None


@dataclass(slots=True)
class TempoDouble:
    """`trace_bytes_max` is max_bytes_per_trace (0: none), `delay_s` slows every answer, `token` demands a bearer token."""

    recv_bytes_max: int = RECV_BYTES_MAX
    trace_bytes_max: int = 0
    delay_s: float = 0.0
    token: str = ""
    tls: tuple[Path, Path] | None = None  # certificate and key, PEM
    grpc_port: int = 0
    http_port: int = 0
    spans: list[Span] = field(default_factory=list)
    resources: dict[bytes, dict[str, str]] = field(default_factory=dict)  # span id -> string attributes of its resource
    requests: list[Request] = field(default_factory=list)
    reply: ExportTraceServiceResponse = field(default_factory=ExportTraceServiceResponse)
    raw_reply: bytes | None = None  # sent instead of `reply`
    _failures: list[_FailureError] = field(default_factory=list)
    _trace_bytes: Counter[bytes] = field(default_factory=Counter)
    _server: grpc.aio.Server | None = None
    _runner: web.AppRunner | None = None

    @property
    def grpc_endpoint(self) -> str:
        return f"{'https://localhost' if self.tls else 'http://127.0.0.1'}:{self.grpc_port}"

    @property
    def http_endpoint(self) -> str:
        return f"{'https://localhost' if self.tls else 'http://127.0.0.1'}:{self.http_port}"

    async def start(self) -> None:
        """Listen on both transports; what was received before a stop is kept."""
        options = [("grpc.max_receive_message_length", self.recv_bytes_max), ("grpc.so_reuseport", 0)]
        self._server = grpc.aio.server(options=options)
        handler = grpc.unary_unary_rpc_method_handler(self._export)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Export": handler}),))
        address = f"127.0.0.1:{self.grpc_port}"
        if self.tls:
            certificate, key = (file.read_bytes() for file in self.tls)
            self.grpc_port = self._server.add_secure_port(address, grpc.ssl_server_credentials([(key, certificate)]))
        else:
            self.grpc_port = self._server.add_insecure_port(address)
        await self._server.start()
        app = web.Application(client_max_size=1 << 30)
        app.router.add_post("/v1/traces", self._post)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
        await self._runner.setup()
        context = None
        if self.tls:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(*self.tls)
        site = web.TCPSite(self._runner, "127.0.0.1", self.http_port, reuse_address=True, ssl_context=context)
        await site.start()
        self.http_port = self._runner.addresses[0][1]

    async def stop(self, grace_s: float | None = None) -> None:
        """Die at once, calls under way are cut; or with *grace_s* take no more and answer those. Idempotent."""
        server, self._server = self._server, None
        runner, self._runner = self._runner, None
        if server is not None:
            await server.stop(grace_s)
        if runner is not None:
            await runner.cleanup()

    def fail_next(
        self,
        count: int = 1,
        code: str = "UNAVAILABLE",
        *,
        retry_after_s: float | None = None,
        message: str = "told to fail",
        http_status: int | None = None,
    ) -> None:
        """Refuse the next *count* requests with the gRPC *code*, or the HTTP status that belongs to it; nothing of them is kept."""
        self._failures.extend(_FailureError(code, message, retry_after_s, http_status) for _ in range(count))

    def arrivals(self) -> Counter[bytes]:
        """How often each span id was accepted."""
        return Counter(span.span_id for span in self.spans)

    async def _export(self, body: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        headers = {str(key): str(value) for key, value in context.invocation_metadata() or ()}
        try:
            return await self._push("grpc", body, headers)
        except _FailureError as failure:
            if failure.retry_after_s is not None:
                context.set_trailing_metadata((("grpc-status-details-bin", _status(failure).SerializeToString()),))
            await context.abort(getattr(grpc.StatusCode, failure.code), failure.message)
            raise

    async def _post(self, request: web.Request) -> web.Response:
        headers = {key.lower(): value for key, value in request.headers.items()}
        try:
            body = await request.read()
            # otlpreceiver: other types -> 415.
            if request.content_type != "application/x-protobuf":
                raise _FailureError("INVALID_ARGUMENT", "unsupported media type", http_status=415)
            # aiohttp has inflated the body for us.
            if len(body) > self.recv_bytes_max:
                raise _FailureError("RESOURCE_EXHAUSTED", "request body too large", http_status=413)
            reply = await self._push("http", body, headers)
        except _FailureError as failure:
            status = failure.http_status or HTTP_STATUS.get(failure.code, 500)
            delay = {"Retry-After": str(math.ceil(failure.retry_after_s))} if failure.retry_after_s is not None else {}
            # OTLP/HTTP "Failures": the body of every 4xx and 5xx is a google.rpc.Status in the request's encoding.
            return web.Response(
                status=status, body=_status(failure).SerializeToString(), content_type="application/x-protobuf", headers=delay
            )
        return web.Response(body=reply, content_type="application/x-protobuf")

    async def _push(self, transport: str, body: bytes, headers: dict[str, str]) -> bytes:
        spans: list[tuple[dict[str, str], Span]] = []
        answer = "OK"
        try:
            if self._failures:
                raise self._failures.pop(0)
            if self.token and headers.get("authorization") != f"Bearer {self.token}":
                raise _FailureError("UNAUTHENTICATED", "no valid token")
            spans = list(_parse(body))
            self._validate(spans)
        except _FailureError as failure:
            answer = failure.code
            raise
        finally:
            self.requests.append(Request(transport, len(body), headers, len(spans), answer))
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        for resource, span in spans:
            self.spans.append(span)
            self.resources[span.span_id] = resource
        return self.raw_reply if self.raw_reply is not None else self.reply.SerializeToString()

    def _validate(self, spans: list[tuple[dict[str, str], Span]]) -> None:
        sizes: Counter[bytes] = Counter()
        for _, span in spans:
            # Tempo modules/distributor requestsByTraceID: one bad id refuses the whole push.
            if len(span.trace_id) != 16:
                raise _FailureError("INVALID_ARGUMENT", f"trace ids must be 128 bit, received {len(span.trace_id) * 8} bits")
            if len(span.span_id) != 8 or not any(span.span_id):
                raise _FailureError("INVALID_ARGUMENT", "span ids must be 64 bit and not all zero")
            sizes[span.trace_id] += span.ByteSize()
        for trace_id, size in sizes.items():
            # overrides.max_bytes_per_trace; FailedPrecondition is what the ingester answers and the distributor passes on.
            if self.trace_bytes_max and self._trace_bytes[trace_id] + size > self.trace_bytes_max:
                text = f"max size of trace ({self.trace_bytes_max}) exceeded while adding {size} bytes to trace {trace_id.hex()}"
                raise _FailureError("FAILED_PRECONDITION", f"TRACE_TOO_LARGE: {text}")
        self._trace_bytes.update(sizes)


def _parse(body: bytes) -> Iterator[tuple[dict[str, str], Span]]:
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError:
        raise _FailureError("INVALID_ARGUMENT", "cannot be parsed") from None
    for resource_spans in request.resource_spans:
        resource = {pair.key: pair.value.string_value for pair in resource_spans.resource.attributes}
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield resource, span


def _status(failure: _FailureError) -> Status:
    status = Status(code=getattr(grpc.StatusCode, failure.code).value[0], message=failure.message)
    if failure.retry_after_s is not None:
        info = RetryInfo()
        info.retry_delay.FromNanoseconds(int(failure.retry_after_s * 1e9))
        status.details.add().Pack(info)
    return status
