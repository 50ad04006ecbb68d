"""OTLP over HTTP/1.1, protobuf and JSON, on aiohttp's low-level server: no router and no middleware stand between socket and consumer."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from aiohttp import web

from otel_ext.errors import MalformedPayload
from otel_ext.model import Caller, Consumer, Receipt
from otel_ext.receivers.body import read_body
from otel_ext.receivers.endpoint import ListenError, server_context, split_endpoint
from otel_ext.receivers.limits import InFlight
from otel_ext.receivers.standin import StandIn
from otel_ext.receivers.stats import ReceiverStats
from otel_ext.receivers.status import (
    OtherSignalError,
    Refusal,
    UnknownPathError,
    WrongMediaError,
    WrongMethodError,
    refuse,
    success_json,
    success_protobuf,
)
from otel_ext.settings import ServerTls
from otel_ext.wire import otlp_json

LANGFUSE_TRACES: Final = "/api/public/otel/v1/traces"  # where Langfuse SDKs send
TRACES: Final = ("/v1/traces", LANGFUSE_TRACES)
OTHER_SIGNALS: Final = {
    "/v1/metrics": "metrics",
    "/v1/logs": "logs",
    "/v1development/profiles": "profiles",
    "/api/public/otel/v1/metrics": "metrics",
}
READ_TIMEOUT_S: Final = 30.0
IDLE_TIMEOUT_S: Final = 300.0
READ_BUFFER_BYTES: Final = 256 * 1024
_SLASHES: Final = re.compile("/{2,}")  # a Langfuse base URL with a slash at its end gives //api/...


@dataclass(frozen=True, slots=True)
class _Encoding:
    """An encoding of OTLP/HTTP. The answer is in that of the request (MUST)."""

    media: str
    to_protobuf: Callable[[bytes], bytes]
    success: Callable[[Receipt], bytes]
    refusal: Callable[[Refusal], bytes]


_PROTOBUF: Final = _Encoding("application/x-protobuf", bytes, success_protobuf, Refusal.to_protobuf)
_JSON: Final = _Encoding("application/json", otlp_json.to_protobuf, success_json, Refusal.to_json)
_ENCODINGS: Final = {encoding.media: encoding for encoding in (_PROTOBUF, _JSON)}


class HttpReceiver:
    """Takes traces on *endpoint* (`host:port`, port 0 for a free one) and hands each request to *consumer*, in protobuf.

    A body may be *max_recv_bytes* long, as sent and inflated, and must arrive within *read_timeout_s*. A connection on which no request is
    complete in its headers for *idle_timeout_s* is closed. All requests in flight may hold *in_flight_bytes* (default: four of the
    largest); one more is refused with a retry delay. Where there is a *stand_in*, it answers what else a Langfuse server serves.
    """

    def __init__(
        self,
        endpoint: str,
        max_recv_bytes: int,
        consumer: Consumer,
        stats: ReceiverStats,
        *,
        in_flight_bytes: int | None = None,
        read_timeout_s: float = READ_TIMEOUT_S,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
        tls: ServerTls | None = None,
        stand_in: StandIn | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.stand_in = stand_in
        self.port = 0
        self._limit_bytes = max_recv_bytes
        self._consumer = consumer
        self._stats = stats.http
        self._in_flight = InFlight(in_flight_bytes, max_recv_bytes)
        self._read_timeout_s = read_timeout_s
        self._idle_timeout_s = idle_timeout_s
        self._tls = tls
        self._server: web.Server | None = None
        self._listener: asyncio.Server | None = None

    async def start(self) -> int:
        """Listen, and give the bound port (also `.port`). Raises ListenError."""
        host, port = split_endpoint("OTLP/HTTP", self.endpoint)
        secured = server_context("OTLP/HTTP", self.endpoint, self._tls) if self._tls else None
        loop = asyncio.get_running_loop()
        server = web.Server(self._answer)

        def connection() -> _Connection:
            return _Connection(
                server,
                self,
                loop=loop,
                access_log=None,
                auto_decompress=False,  # aiohttp would inflate without our limit
                keepalive_timeout=self._idle_timeout_s,
                read_bufsize=READ_BUFFER_BYTES,
            )

        try:
            self._listener = await loop.create_server(connection, host or None, port, backlog=1024, ssl=secured)
        except OSError as error:
            raise ListenError("OTLP/HTTP", self.endpoint, error.strerror or type(error).__name__) from error
        if self.stand_in:
            await self.stand_in.start()
        self._server = server
        self.port = self._listener.sockets[0].getsockname()[1]
        return self.port

    async def stop(self, grace_s: float) -> None:
        """Take no more requests; those in flight have *grace_s* to end, then their connections are closed and their senders retry."""
        if self._listener is None or self._server is None:
            return
        self._listener.close()
        self._server.pre_shutdown()
        await self._server.shutdown(grace_s)
        if self.stand_in:
            await self.stand_in.stop()
        self._listener = self._server = None

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = _SLASHES.sub("/", request.path)
        # no spelling of the path of spans goes past us: they would leave unmasked
        if self.stand_in and path.rstrip("/") not in TRACES and self.stand_in.takes(path):
            return await self.stand_in.answer(request)
        encoding = _ENCODINGS.get(request.content_type)
        try:
            _check_target(request, path)
            if encoding is None:
                raise WrongMediaError(f"the content type is not supported; {' and '.join(_ENCODINGS)} are")
            receipt = await self._take(request, encoding, _caller(request) if path == LANGFUSE_TRACES else None)
            body = encoding.success(receipt)
        except Exception as error:
            return self.refusal(error, encoding)
        self._stats.accept(receipt)
        return web.Response(body=body, content_type=encoding.media)

    async def _take(self, request: web.BaseRequest, encoding: _Encoding, caller: Caller | None) -> Receipt:
        with self._in_flight.hold() as hold:
            body = await read_body(request, self._limit_bytes, self._read_timeout_s, hold)
            payload = encoding.to_protobuf(body)
            receipt = await (self._consumer.consume(payload, caller) if caller else self._consumer.consume(payload))
        if encoding is _JSON and not payload and b"resource_spans" in body:
            # Unknown keys MUST be ignored, but a whole request lost without a word helps nobody: a warning, as the specification allows.
            return replace(
                receipt, message="no spans were found: keys are lowerCamelCase in OTLP/JSON, resourceSpans and not resource_spans"
            )
        return receipt

    def refusal(self, error: Exception, encoding: _Encoding | None) -> web.Response:
        """The response that says no, counted; in JSON where the request had neither encoding."""
        refusal = refuse(error, self._stats, "http")
        headers: dict[str, str] = {}
        if refusal.retry_after_s is not None:
            headers["Retry-After"] = str(refusal.retry_after_s)
        if isinstance(error, WrongMethodError):
            headers["Allow"] = "POST"
        if isinstance(error, WrongMediaError):
            headers["Accept-Encoding"] = "gzip, identity"  # RFC 9110, 15.5.16
        encoding = encoding or _JSON
        return web.Response(status=refusal.rule.http, body=encoding.refusal(refusal), content_type=encoding.media, headers=headers)


def _check_target(request: web.BaseRequest, path: str) -> None:
    """Raises UnknownPathError, OtherSignalError or WrongMethodError. The sentences do not repeat the path: it is the sender's text."""
    if path in OTHER_SIGNALS:
        raise OtherSignalError(OTHER_SIGNALS[path])
    if path not in TRACES:
        raise UnknownPathError(f"nothing is served on this path; traces are taken on {' and '.join(TRACES)}")
    if request.method != "POST":
        raise WrongMethodError("traces are sent with POST")


def _caller(request: web.BaseRequest) -> Caller | None:
    """The key pair in a Basic authorization; None where there is none that can be read."""
    kind, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        public_key, colon, secret_key = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return Caller(public_key, secret_key) if colon and public_key and secret_key else None


class _Connection(web.RequestHandler):
    """One connection. What is not HTTP is answered as everything else is: counted, with a google.rpc.Status."""

    __slots__ = ("_receiver",)

    def __init__(self, server: web.Server, receiver: HttpReceiver, **options: object) -> None:
        super().__init__(server, **options)  # type: ignore[arg-type]
        self._receiver = receiver

    def handle_error(  # the names are aiohttp's
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to a request that cannot be parsed, and the last resort for an error that escaped."""
        error: Exception = MalformedPayload("HTTP: not a valid request", 0) if status == 400 else RuntimeError()
        del request, exc, message  # they may quote the request
        response = self._receiver.refusal(error, None)
        response.force_close()
        return response
