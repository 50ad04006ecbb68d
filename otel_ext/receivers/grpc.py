"""OTLP over gRPC. Bytes are handed on as they came: no message class is ever built for a request.

The Export handler is registered as stream-unary although the method is unary, which a client cannot tell: so we are called before the
message is read. A request over the size limit is refused inside grpcio, and only this way do we get to count it.

grpcio stops inflating a compressed message at the limit from 1.84 on; before, it inflated all of it and then refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import grpc

from otel_ext.errors import PermanentError, TooLarge
from otel_ext.model import Consumer
from otel_ext.receivers.endpoint import ListenError, pem, server_context, split_endpoint
from otel_ext.receivers.limits import InFlight
from otel_ext.receivers.stats import ReceiverStats
from otel_ext.receivers.status import OtherSignalError, Refusal, refuse, success_protobuf
from otel_ext.settings import ServerTls

PROTOCOL: Final = "OTLP/gRPC"
EXPORT: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
OTHER_SIGNALS: Final = {
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": "metrics",
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export": "logs",
    "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export": "profiles",
}
DETAILS_KEY: Final = "grpc-status-details-bin"
METADATA_BYTES_MAX: Final = 16 * 1024
STREAMS_PER_CONNECTION_MAX: Final = 1_024  # beyond it grpcio refuses streams outright: a sender of many small requests must stay below
KEEPALIVE_MS: Final = 60_000  # a peer that vanished without closing is noticed after KEEPALIVE_MS + KEEPALIVE_TIMEOUT_MS
KEEPALIVE_TIMEOUT_MS: Final = 20_000
PING_INTERVAL_MS_MIN: Final = 5_000  # the Collector pings every 10 s where told to; grpcio's default of 5 minutes would drop it

_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
_NOTHING_READ: Final[object] = grpc.aio.EOF  # type: ignore[attr-defined]  # missing in the stubs

_Context = Any  # generic handlers are not typed by the stubs


class GrpcReceiver:
    """Takes traces on *endpoint* (`host:port`, port 0 for a free one) and hands each request to *consumer*.

    A message may be *max_recv_bytes* long, as sent and inflated. All requests in flight may hold *in_flight_bytes* (default: four of the
    largest); one more is refused with a retry delay. *streams_max* bounds the concurrent requests of one connection: beyond it grpcio
    refuses the stream, and the sender tries again.
    """

    def __init__(
        self,
        endpoint: str,
        max_recv_bytes: int,
        consumer: Consumer,
        stats: ReceiverStats,
        *,
        in_flight_bytes: int | None = None,
        streams_max: int = STREAMS_PER_CONNECTION_MAX,
        tls: ServerTls | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.port = 0
        self._limit_bytes = max_recv_bytes
        self._consumer = consumer
        self._stats = stats.grpc
        self._in_flight = InFlight(in_flight_bytes, max_recv_bytes)
        self._streams_max = streams_max
        self._tls = tls
        self._server: grpc.aio.Server | None = None

    async def start(self) -> int:
        """Listen, and give the bound port (also `.port`). Raises ListenError."""
        split_endpoint(PROTOCOL, self.endpoint)
        credentials = _credentials(self.endpoint, self._tls) if self._tls else None
        server = grpc.aio.server(options=_options(self._limit_bytes, self._streams_max))
        server.add_generic_rpc_handlers((_Methods(self._export, self._refuse_signal),))
        try:
            self.port = server.add_secure_port(self.endpoint, credentials) if credentials else server.add_insecure_port(self.endpoint)
        except RuntimeError:  # grpcio logs the reason and raises without it
            self.port = 0
        if self.port == 0:
            await server.stop(None)  # else grpcio stops it when it is collected, perhaps on a closed loop
            raise ListenError(PROTOCOL, self.endpoint, "the address is in use, not ours, or not permitted")
        await server.start()
        self._server = server
        return self.port

    async def stop(self, grace_s: float) -> None:
        """Take no more requests; those in flight have *grace_s* to end, then their senders see UNAVAILABLE or CANCELLED and retry."""
        if self._server is not None:
            await self._server.stop(grace_s)
            self._server = None

    async def _export(self, _messages: object, context: _Context) -> bytes:
        try:
            payload = await context.read()
            if payload is _NOTHING_READ:
                # grpcio has refused the message already, with this code, and does not say how long it was.
                raise TooLarge(self._limit_bytes, self._limit_bytes + 1)
            with self._in_flight.hold() as hold:
                hold.add(len(payload))
                receipt = await self._consumer.consume(payload)
            answer = success_protobuf(receipt)
        except Exception as error:
            refusal = refuse(error, self._stats, "grpc")
        else:
            self._stats.accept(receipt)
            return answer
        return await _abort(context, refusal)

    async def _refuse_signal(self, error: PermanentError, context: _Context) -> bytes:
        return await _abort(context, refuse(error, self._stats, "grpc"))


async def _abort(context: _Context, refusal: Refusal) -> bytes:
    """Ends the call: `abort` raises, so nothing is ever returned."""
    await context.abort(_CODES[refusal.rule.code], refusal.message, ((DETAILS_KEY, refusal.to_protobuf()),))
    return b""


class _Methods(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in the stubs only
    """Finds the handler of a method by its full name. Handlers get and give raw bytes."""

    def __init__(self, export: Callable[..., Any], refuse_signal: Callable[..., Any]) -> None:
        self._handlers = {EXPORT: grpc.stream_unary_rpc_method_handler(export)}
        for method, signal in OTHER_SIGNALS.items():
            self._handlers[method] = grpc.stream_unary_rpc_method_handler(_refusing(refuse_signal, signal))

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """None makes grpcio answer UNIMPLEMENTED."""
        return self._handlers.get(handler_call_details.method)


def _refusing(refuse_signal: Callable[..., Any], signal: str) -> Callable[..., Any]:
    async def handle(_messages: object, context: _Context) -> bytes:
        answer: bytes = await refuse_signal(OtherSignalError(signal), context)
        return answer

    return handle


def _credentials(endpoint: str, tls: ServerTls) -> grpc.ServerCredentials:
    server_context(PROTOCOL, endpoint, tls)  # grpcio would start with files that no client can connect to
    key, certificate = pem(PROTOCOL, endpoint, tls.key_file), pem(PROTOCOL, endpoint, tls.cert_file)
    authority = pem(PROTOCOL, endpoint, tls.client_ca_file) if tls.client_ca_file else None
    return grpc.ssl_server_credentials([(key, certificate)], authority, require_client_auth=authority is not None)


def _options(limit_bytes: int, streams_max: int) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", limit_bytes),
        ("grpc.max_concurrent_streams", streams_max),
        ("grpc.so_reuseport", 0),  # else a second process would share the port and take half of the spans, with no error
        ("grpc.max_metadata_size", METADATA_BYTES_MAX),
        ("grpc.absolute_max_metadata_size", METADATA_BYTES_MAX),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", PING_INTERVAL_MS_MIN),
    ]
