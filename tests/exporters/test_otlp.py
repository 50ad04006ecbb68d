"""OTLP destinations against a real server: the table of each transport, delays asked for, TLS addresses, secrets."""

import asyncio
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from otel_ext.errors import ConfigError, Refused, RetryableError, Unreachable
from otel_ext.exporters.base import Destination, Runtime, SendResult
from otel_ext.exporters.http import retry_after_s
from otel_ext.exporters.otlp import HTTP_TABLE, OtlpGrpc, OtlpHttp, grpc_error, grpc_target, send_result
from otel_ext.settings import ClientTls
from tests.doubles.tempo import TempoDouble
from tests.exporters.kit import NS_PER_S, payload

RUNTIME = Runtime(now_ns=time.time_ns, sleep=asyncio.sleep, random=lambda: 0.5)
TRANSPORTS = ("grpc", "http")

# The specification's lists, written out once more: a table that drifts fails here.
GRPC_RETRYABLE = {"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"}
HTTP_RETRYABLE = {429, 502, 503, 504}


@pytest.fixture
async def tempo() -> AsyncIterator[TempoDouble]:
    double = TempoDouble()
    await double.start()
    yield double
    await double.stop()


def make(transport: str, tempo: TempoDouble, **options: object) -> Destination:
    if transport == "grpc":
        return OtlpGrpc(tempo.grpc_endpoint, **options)  # type: ignore[arg-type]
    return OtlpHttp(tempo.http_endpoint, RUNTIME, **options)  # type: ignore[arg-type]


async def send(destination: Destination, data: bytes) -> SendResult:
    await destination.start()
    try:
        return await destination.send(data)
    finally:
        await destination.close()


@pytest.mark.parametrize("code", list(grpc.StatusCode), ids=lambda code: code.name)
def test_grpc_table(code: grpc.StatusCode) -> None:
    """Every code is retried or refused as the specification lists it; RESOURCE_EXHAUSTED is retried with RetryInfo only."""
    assert isinstance(grpc_error(code, "", None), RetryableError) == (code.name in GRPC_RETRYABLE)
    with_delay = grpc_error(code, "", 3.0)
    assert isinstance(with_delay, RetryableError) == (code.name in GRPC_RETRYABLE | {"RESOURCE_EXHAUSTED"})
    if isinstance(with_delay, RetryableError):
        assert with_delay.retry_after_s == 3.0
    else:
        assert with_delay.bad_data == (code.name == "INVALID_ARGUMENT")


@pytest.mark.parametrize("status", [*range(300, 309), *range(400, 432), *range(500, 512)])
def test_http_table(status: int) -> None:
    """429, 502, 503, 504 are retried, nothing else; 400 and 413 may succeed in parts."""
    error = HTTP_TABLE.error(status, 3.0)
    assert isinstance(error, RetryableError) == (status in HTTP_RETRYABLE)
    if isinstance(error, Refused):
        assert error.bad_data == (status in {400, 413})
        assert error.reason.replace("_", "").isalnum()


@pytest.mark.parametrize(
    ("details", "reason", "bad_data"),
    [
        ("TRACE_TOO_LARGE: max size of trace (5000000) exceeded while adding 387 bytes", "trace_too_large", True),
        ("RATE_LIMITED: ingestion rate limit (15000000 bytes) exceeded while adding 10 bytes", "rate_limited", False),
        ("LIVE_TRACES_EXCEEDED: max live traces exceeded", "live_traces_exceeded", False),
        ("grpc: received message larger than max (5000000 vs. 4194304)", "too_large", True),
    ],
)
def test_tempos_own_words(details: str, reason: str, bad_data: bool) -> None:
    """What halving can help is halved, what it would make worse is not."""
    error = grpc_error(grpc.StatusCode.RESOURCE_EXHAUSTED, details, None)
    assert isinstance(error, Refused)
    assert (error.reason, error.bad_data) == (reason, bad_data)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("compression", ["none", "gzip"])
async def test_spans_arrive(tempo: TempoDouble, transport: str, compression: str) -> None:
    """Bytes go out as they are, headers with them."""
    destination = make(transport, tempo, compression=compression, headers={"X-Scope-OrgID": "team"})
    assert await send(destination, payload(1, 2, text="x" * 10_000)) == SendResult()
    assert [int.from_bytes(span.span_id, "big") for span in tempo.spans] == [1, 2]
    assert tempo.requests[0].headers["x-scope-orgid"] == "team"


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("asked_s", [None, 3.0])
async def test_unavailable_is_retryable_with_its_delay(tempo: TempoDouble, transport: str, asked_s: float | None) -> None:
    """RetryInfo and Retry-After come through."""
    tempo.fail_next(1, "UNAVAILABLE", retry_after_s=asked_s)
    with pytest.raises(Unreachable) as caught:
        await send(make(transport, tempo), payload(1))
    assert caught.value.retry_after_s == asked_s


async def test_resource_exhausted_with_retry_info_is_retryable(tempo: TempoDouble) -> None:
    """As Tempo sends it for its rate limit."""
    tempo.fail_next(1, "RESOURCE_EXHAUSTED", retry_after_s=5, message="RATE_LIMITED: ingestion rate limit exceeded")
    with pytest.raises(Unreachable) as caught:
        await send(make("grpc", tempo), payload(1))
    assert caught.value.retry_after_s == 5.0


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_one_bad_span_is_bad_data(tempo: TempoDouble, transport: str) -> None:
    """Tempo refuses the whole push because of one id."""
    with pytest.raises(Refused) as caught:
        await send(make(transport, tempo), payload(1, 0, 2))
    assert (caught.value.reason, caught.value.bad_data) == ("bad_data", True)
    assert tempo.spans == []


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_over_the_message_limit_is_too_large(tempo: TempoDouble, transport: str) -> None:
    """The receiver's 4 MiB: smaller parts may pass."""
    with pytest.raises(Refused) as caught:
        await send(make(transport, tempo), payload(1, text="x" * (5 << 20)))
    assert (caught.value.reason, caught.value.bad_data) == ("too_large", True)


@pytest.mark.parametrize("code", sorted(GRPC_RETRYABLE))
async def test_retryable_codes_over_the_wire(tempo: TempoDouble, code: str) -> None:
    """A server's own CANCELLED is not taken for ours."""
    tempo.fail_next(1, code)
    with pytest.raises(Unreachable):
        await send(make("grpc", tempo), payload(1))


async def test_a_trace_too_large_for_tempo(tempo: TempoDouble) -> None:
    """Recognised by Tempo's own word."""
    tempo.trace_bytes_max = 100
    with pytest.raises(Refused) as caught:
        await send(make("grpc", tempo), payload(1, text="x" * 200))
    assert (caught.value.reason, caught.value.bad_data) == ("trace_too_large", True)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_partial_success_is_a_success(tempo: TempoDouble, transport: str) -> None:
    """Rejected spans are reported, not raised."""
    tempo.reply.partial_success.rejected_spans = 3
    tempo.reply.partial_success.error_message = "too old"
    assert await send(make(transport, tempo), payload(1)) == SendResult(3, "too old")


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_an_unreadable_answer_to_a_success_is_a_success(tempo: TempoDouble, transport: str) -> None:
    """Sending again would double the data."""
    tempo.raw_reply = b"\xff\xff\xff"
    assert await send(make(transport, tempo), payload(1)) == SendResult()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_nobody_there_is_retryable(tempo: TempoDouble, transport: str) -> None:
    """A refused connection is no loss."""
    await tempo.stop()
    with pytest.raises(Unreachable):
        await send(make(transport, tempo), payload(1))


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_no_answer_in_time_is_retryable(tempo: TempoDouble, transport: str) -> None:
    """`timeout_s` bounds one request."""
    tempo.delay_s = 5
    with pytest.raises(Unreachable):
        await send(make(transport, tempo, timeout_s=0.1), payload(1))


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_secrets_are_in_no_repr_and_no_error(tempo: TempoDouble, transport: str) -> None:
    """Whatever goes wrong, and however the object is shown."""
    tempo.token = "right"
    destination = make(transport, tempo, headers={"Authorization": "Bearer s3cret"})
    with pytest.raises(Refused) as caught:
        await send(destination, payload(1, text="what the agent said"))
    assert caught.value.reason == "unauthenticated"
    await tempo.stop()
    with pytest.raises(Unreachable) as gone:
        await send(destination, payload(1))
    for shown in (repr(destination), str(destination), repr(caught.value), repr(gone.value), repr(gone.value.__cause__)):
        assert "s3cret" not in shown
        assert "agent said" not in shown


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_tls_trusts_what_it_is_told_to_trust(tmp_path: Path, transport: str) -> None:
    """A private authority works when it is named, and only then."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    make_one = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-keyout",
        str(key),
        "-out",
        str(certificate),
        *names,
    ]
    subprocess.run(make_one, check=True, capture_output=True)  # noqa: ASYNC221
    tempo = TempoDouble(tls=(certificate, key))
    await tempo.start()
    with pytest.raises(Unreachable):
        await send(make(transport, tempo, timeout_s=2.0), payload(1))
    await send(make(transport, tempo, tls=ClientTls(ca_file=str(certificate))), payload(2))
    await tempo.stop()
    assert list(tempo.arrivals()) == [(2).to_bytes(8, "big")]


@pytest.mark.parametrize("status", [302, 307, 308])
async def test_redirects_are_not_followed(tempo: TempoDouble, status: int) -> None:
    """They would carry the key to another place."""

    async def elsewhere(_: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": f"{tempo.http_endpoint}/v1/traces"})

    app = web.Application()
    app.router.add_post("/v1/traces", elsewhere)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    with pytest.raises(Refused) as caught:
        await send(OtlpHttp(f"http://127.0.0.1:{runner.addresses[0][1]}", RUNTIME), payload(1))
    await runner.cleanup()
    assert caught.value.reason == "redirected"
    assert tempo.requests == []


@pytest.mark.parametrize(
    ("endpoint", "target"),
    [
        ("http://tempo:4317", ("tempo:4317", False)),
        ("http://tempo", ("tempo:4317", False)),
        ("https://tempo.example", ("tempo.example:443", True)),
        ("http://[::1]:4317", ("[::1]:4317", False)),
    ],
)
def test_grpc_addresses(endpoint: str, target: tuple[str, bool]) -> None:
    """The scheme decides about TLS."""
    assert grpc_target(endpoint) == target


@pytest.mark.parametrize("endpoint", ["tempo:4317", "", "ftp://tempo:1", "http://"])
def test_grpc_addresses_without_scheme_are_faults(endpoint: str) -> None:
    """Guessing about TLS would be wrong half of the time."""
    with pytest.raises(ConfigError):
        grpc_target(endpoint)


@pytest.mark.parametrize(
    ("endpoint", "path"), [("", "/v1/traces"), ("/", "/v1/traces"), ("/otlp", "/otlp/v1/traces"), ("/v1/traces", "/v1/traces")]
)
def test_http_endpoints_are_completed(endpoint: str, path: str) -> None:
    """A base URL and a full one both work."""
    destination = OtlpHttp("http://tempo:4318" + endpoint, RUNTIME)
    assert destination._client._url.path == path


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3.0),
        (" 0 ", 0.0),
        ("Thu, 01 Jan 1970 00:01:00 GMT", 50.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
        ("soon", None),
        ("", None),
        ("-1", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    """Delta-seconds and HTTP-date, RFC 9110; the clock stands at second 10."""
    assert retry_after_s(value, 10 * NS_PER_S) == seconds


def test_empty_partial_success_is_full_success() -> None:
    """A set but empty message means the same as none."""
    reply = ExportTraceServiceResponse()
    reply.partial_success.SetInParent()
    assert send_result(reply.SerializeToString()) == SendResult()
