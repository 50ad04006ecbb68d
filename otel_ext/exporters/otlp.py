"""OTLP destinations: gRPC and HTTP/protobuf, for Tempo or anything that takes OTLP. Bytes go out as they are.

Which failure is retried is in one table a transport, from the OTLP specification 1.11, "OTLP/gRPC Response" and "OTLP/HTTP Response".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import grpc

from otel_ext.errors import ConfigError, Refused, RetryableError, Unreachable
from otel_ext.exporters.base import Runtime, SendResult
from otel_ext.exporters.http import BAD_DATA, REASONS, HttpClient, StatusTable, client_context
from otel_ext.exporters.retry import NS_PER_S
from otel_ext.settings import ClientTls

EXPORT: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
TRACES_PATH: Final = "/v1/traces"
PORTS: Final = {"http": 4317, "https": 443}

_Code = grpc.StatusCode
# "retryable: CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS", and RESOURCE_EXHAUSTED only with RetryInfo.
GRPC_RETRY: Final = frozenset(
    {_Code.CANCELLED, _Code.DEADLINE_EXCEEDED, _Code.ABORTED, _Code.OUT_OF_RANGE, _Code.UNAVAILABLE, _Code.DATA_LOSS}
)
# Everything else is refused for good, under its own name; these under another, True where other bytes may be accepted.
GRPC_REASONS: Final[Mapping[grpc.StatusCode, tuple[str, bool]]] = {
    _Code.INVALID_ARGUMENT: ("bad_data", True),
    # Without RetryInfo it mostly is the receiver's message limit (4 MiB by default in grpc): smaller requests may pass.
    _Code.RESOURCE_EXHAUSTED: ("too_large", True),
}
# How Tempo begins the details of what it refuses, under FAILED_PRECONDITION or RESOURCE_EXHAUSTED. One trace over max_bytes_per_trace
# fails the whole push, so its neighbours are saved by halving; halving at a rate limit would only hit it more often.
TEMPO_REASONS: Final[Mapping[str, tuple[str, bool]]] = {
    "TRACE_TOO_LARGE": ("trace_too_large", True),
    "RATE_LIMITED": ("rate_limited", False),
    "LIVE_TRACES_EXCEEDED": ("live_traces_exceeded", False),
}
# OTLP/HTTP "Retryable Response Codes"; "all other 4xx or 5xx MUST NOT be retried".
HTTP_TABLE: Final = StatusTable(retry=frozenset({429, 502, 503, 504}), reasons=REASONS, bad_data=BAD_DATA)

_CHANNEL_OPTIONS: Final = (
    ("grpc.enable_retries", 0),  # the rules of retry are ours; also saves 35 us a call
    ("grpc.use_local_subchannel_pool", 1),  # two destinations at one address share no connection
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 5_000),  # the default of 2 minutes would outlast our own backoff
)


class Compression(StrEnum):
    """How requests are packed."""

    NONE = "none"
    GZIP = "gzip"


class OtlpGrpc:
    """OTLP over gRPC. `endpoint` is `http://host:port` (plain) or `https://host:port` (TLS); raises ConfigError for anything else."""

    def __init__(
        self,
        endpoint: str,
        *,
        name: str = "tempo",
        headers: Mapping[str, str] | None = None,
        compression: str = Compression.NONE,
        timeout_s: float = 10.0,
        tls: ClientTls | None = None,
        proxy: bool = False,
    ) -> None:
        self._target, self._secure = grpc_target(endpoint)
        self._name = name
        # gRPC metadata keys are lower-case.
        self._metadata = tuple((key.lower(), value) for key, value in (headers or {}).items())
        self._compression = grpc.Compression.Gzip if compression == Compression.GZIP else grpc.Compression.NoCompression
        self._timeout_s = timeout_s
        self._tls = tls or ClientTls()
        self._options = (*_CHANNEL_OPTIONS, ("grpc.enable_http_proxy", int(proxy)))
        self._channel: grpc.aio.Channel | None = None
        self._call: Any = None

    def __repr__(self) -> str:
        return f"OtlpGrpc({self._target})"

    @property
    def name(self) -> str:
        """The label."""
        return self._name

    async def start(self) -> None:
        """Make the channel; it connects with the first request. Raises ConfigError for a TLS file that cannot be used."""
        if self._secure:
            client_context(self._tls)  # grpcio would only fail to connect, and not say why
            credentials = grpc.ssl_channel_credentials(_read(self._tls.ca_file), _read(self._tls.key_file), _read(self._tls.cert_file))
            self._channel = grpc.aio.secure_channel(self._target, credentials, options=self._options, compression=self._compression)
        else:
            self._channel = grpc.aio.insecure_channel(self._target, options=self._options, compression=self._compression)
        # No serializers: bytes in, bytes out.
        self._call = self._channel.unary_unary(EXPORT, request_serializer=None, response_deserializer=None)

    async def send(self, payload: bytes) -> SendResult:
        """One Export; raises by GRPC_RETRY, GRPC_REASONS and TEMPO_REASONS."""
        if self._call is None:
            raise Unreachable("not started")
        try:
            reply = await self._call(payload, timeout=self._timeout_s, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise grpc_error(error.code(), error.details() or "", retry_delay_s(error.trailing_metadata())) from None
        return send_result(reply)

    async def close(self) -> None:
        """Close the channel."""
        channel, self._channel, self._call = self._channel, None, None
        if channel is not None:
            await channel.close(None)


class OtlpHttp:
    """OTLP over HTTP/protobuf. `endpoint` is a base URL, or one that ends in /v1/traces."""

    def __init__(
        self,
        endpoint: str,
        runtime: Runtime,
        *,
        name: str = "tempo",
        headers: Mapping[str, str] | None = None,
        compression: str = Compression.NONE,
        timeout_s: float = 10.0,
        tls: ClientTls | None = None,
        proxy: bool = False,
    ) -> None:
        base = endpoint.rstrip("/")
        url = base if base.endswith(TRACES_PATH) else base + TRACES_PATH
        typed = {**(headers or {}), "Content-Type": "application/x-protobuf"}
        self._name = name
        self._client = HttpClient(
            url, typed, HTTP_TABLE, runtime, timeout_s=timeout_s, gzip=compression == Compression.GZIP, tls=tls, proxy=proxy
        )

    def __repr__(self) -> str:
        return f"OtlpHttp({self._client!r})"

    @property
    def name(self) -> str:
        """The label."""
        return self._name

    async def start(self) -> None:
        """Make the session."""
        await self._client.start()

    async def send(self, payload: bytes) -> SendResult:
        """One POST; raises by HTTP_TABLE."""
        return await self.send_parts((payload,))

    async def send_parts(self, parts: Sequence[bytes]) -> SendResult:
        """`send` of *parts* joined, without a copy."""
        return send_result((await self._client.post(*parts)).body)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def grpc_target(endpoint: str) -> tuple[str, bool]:
    """`host:port` and whether TLS is wanted; raises ConfigError where there is no http(s) scheme and host."""
    parts = urlsplit(endpoint)
    if parts.scheme not in PORTS or not parts.hostname:
        raise ConfigError(["endpoint: not an address, http://host:port or https://host:port is needed"])
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{host}:{parts.port or PORTS[parts.scheme]}", parts.scheme == "https"


def grpc_error(code: grpc.StatusCode, details: str, delay_s: float | None) -> Refused | RetryableError:
    """The error for a status that is not OK. *details* are only matched against Tempo's words: they may quote what was sent."""
    if code in GRPC_RETRY or (code is _Code.RESOURCE_EXHAUSTED and delay_s is not None):
        return Unreachable(code.name, delay_s)
    reason, bad_data = GRPC_REASONS.get(code, (code.name.lower(), False))
    reason, bad_data = next((TEMPO_REASONS[word] for word in TEMPO_REASONS if word in details), (reason, bad_data))
    return Refused(reason, code.name, bad_data=bad_data)


def retry_delay_s(trailers: Any) -> float | None:
    """Seconds in the google.rpc.RetryInfo of `grpc-status-details-bin`; None where there is none that can be read."""
    # Here and below: message classes are two megabytes that most runs never need.
    from google.protobuf.message import DecodeError
    from google.rpc.error_details_pb2 import RetryInfo
    from google.rpc.status_pb2 import Status

    for key, value in trailers or ():
        if key != "grpc-status-details-bin":
            continue
        try:
            for detail in Status.FromString(value).details:
                info = RetryInfo()
                if detail.Unpack(info):
                    delay = info.retry_delay
                    return max(0.0, float(delay.seconds) + float(delay.nanos) / NS_PER_S)
        except DecodeError:
            return None
    return None


def send_result(reply: bytes) -> SendResult:
    """What an ExportTraceServiceResponse says; one that cannot be read is a success still: sending again would double the data."""
    if not reply:
        return SendResult()
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    try:
        partial = ExportTraceServiceResponse.FromString(reply).partial_success
    except DecodeError:
        return SendResult()
    return SendResult(partial.rejected_spans, partial.error_message)


def _read(path: str) -> bytes | None:
    return Path(path).read_bytes() if path else None
