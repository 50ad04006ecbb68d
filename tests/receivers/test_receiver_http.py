"""OTLP/HTTP only: paths, methods, content types, encodings, and senders that misbehave."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import time
from typing import Any

import pytest
from google.rpc.status_pb2 import Status

from otel_ext.receivers.limits import Gunzip

LIMIT_BYTES = 1 << 20
PROTOBUF, JSON = "application/x-protobuf", "application/json"
MEDIA = pytest.mark.parametrize("media", [PROTOBUF, JSON])


async def raw(house: Any, sent: bytes, *, timeout_s: float = 5.0) -> bytes:
    """Everything the server sends until it closes, or until it has been silent for *timeout_s*."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.http.port)
    writer.write(sent)
    received = b""
    try:
        async with asyncio.timeout(timeout_s):
            while piece := await reader.read(65536):
                received += piece
    except TimeoutError:
        pass
    finally:
        writer.close()
    return received


def head(*lines: str, target: str = "/v1/traces", method: str = "POST", media: str = PROTOBUF) -> bytes:
    return "\r\n".join((f"{method} {target} HTTP/1.1", "Host: h", f"Content-Type: {media}", *lines, "", "")).encode()


@pytest.mark.parametrize(
    "path",
    ["/v1/traces", "/api/public/otel/v1/traces", "//api/public/otel/v1/traces", "//v1//traces", "/v1/traces?x=1"],
)
async def test_traces_are_taken_on_every_path_that_sdks_use(house: Any, make: Any, path: str) -> None:
    """The OTLP path, the Langfuse path, and both with the double slash that a base URL with a slash at its end gives."""
    answer = await raw(house, head("Content-Length: 0", "Connection: close", target=path))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert house.stats.http.accepted_requests == 1


@pytest.mark.parametrize("media", [f"{JSON}; charset=utf-8", f"{JSON};charset=UTF-8", "Application/JSON", f"{PROTOBUF}; x=y"])
async def test_content_type_parameters_and_case_do_not_matter(house: Any, make: Any, media: str) -> None:
    """The media type decides, not its parameters."""
    link = house.link("json" if "json" in media.lower() else "protobuf")
    async with house.session.post(house.url + "/v1/traces", data=link.body(make(1)), headers={"Content-Type": media}) as answer:
        assert answer.status == 200
        assert answer.content_type == media.partition(";")[0].lower()
    assert house.consumer.names == {"chat"}


async def test_success_bodies_are_the_smallest(house: Any, make: Any) -> None:
    """Success is 200 with zero bytes in protobuf and `{}` in JSON."""
    for name, media, body in (("protobuf", PROTOBUF, b""), ("json", JSON, b"{}")):
        data = house.link(name).body(make(1))
        async with house.session.post(house.url + "/v1/traces", data=data, headers={"Content-Type": media}) as answer:
            assert (answer.status, await answer.read()) == (200, body)
            assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize("media", ["text/plain", "application/protobuf", "application/octet-stream", "multipart/form-data", "x"])
async def test_other_content_types_are_415(house: Any, media: str) -> None:
    """Only the two media types of OTLP/HTTP are taken; the answer says which."""
    outcome = await house.post(b"", media)
    assert outcome.http == 415
    assert JSON in outcome.status.message
    assert house.stats.http.refused_requests == {"wrong_media": 1}


async def test_no_content_type_is_415(house: Any) -> None:
    """A request without Content-Type is not guessed at."""
    answer = await raw(house, b"POST /v1/traces HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 415 ")


@MEDIA
@pytest.mark.parametrize("encoding", ["deflate", "br", "zstd", "gzip, gzip", "x"])
async def test_other_content_encodings_are_415(house: Any, media: str, encoding: str) -> None:
    """Gzip and identity are taken; others are refused with the list (RFC 9110, 15.5.16)."""
    answer = await raw(house, head("Content-Length: 1", f"Content-Encoding: {encoding}", "Connection: close", media=media) + b"x")
    assert answer.startswith(b"HTTP/1.1 415 ")
    assert b"Accept-Encoding: gzip, identity" in answer


@pytest.mark.parametrize("encoding", ["identity", "", "GZIP", "x-gzip"])
async def test_names_of_supported_encodings(house: Any, make: Any, encoding: str) -> None:
    """`identity` may be said, `x-gzip` is gzip, case does not matter."""
    body = make(1).SerializeToString()
    data = gzip.compress(body) if "gzip" in encoding.lower() else body
    sent = head(f"Content-Length: {len(data)}", f"Content-Encoding: {encoding}", "Connection: close") + data
    assert (await raw(house, sent)).startswith(b"HTTP/1.1 200 ")
    assert house.consumer.names == {"chat"}


@MEDIA
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_other_methods_are_405_with_allow(house: Any, media: str, method: str) -> None:
    """Anything but POST is 405, with Allow and a Status."""
    outcome = await house.post(b"", media, method=method)
    assert outcome.http == 405
    assert outcome.headers["Allow"] == "POST"
    assert outcome.status.message


@MEDIA
@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("path", ["/", "/v1", "/v1/traces/", "/v1/trace", "/api/public/otel", "/api/public/projects", "/SECRET"])
async def test_unknown_paths_are_404(house: Any, media: str, path: str, method: str) -> None:
    """Unknown paths have a Status too, which says where traces go and does not repeat the path."""
    outcome = await house.post(b"", media, path=path, method=method)
    assert outcome.http == 404
    assert "/v1/traces" in outcome.status.message
    assert "SECRET" not in outcome.status.message


@MEDIA
@pytest.mark.parametrize(
    ("path", "signal"),
    [
        ("/v1/metrics", "metrics"),
        ("/v1/logs", "logs"),
        ("/v1development/profiles", "profiles"),
        ("/api/public/otel/v1/metrics", "metrics"),
    ],
)
async def test_other_signals_are_404_with_a_sentence(house: Any, media: str, path: str, signal: str) -> None:
    """Metrics, logs and profiles are refused with a sentence that says so, in the encoding of the request."""
    outcome = await house.post(b"{}", media, path=path)
    assert outcome.http == 404
    assert "only traces" in outcome.status.message
    assert signal in outcome.status.message
    assert house.stats.http.refused_requests == {"other_signal": 1}


# --- bodies that are too large, cut off, damaged, slow ----------------------------------------------------------------------


async def test_a_declared_length_over_the_limit_is_413_unread(house: Any) -> None:
    """Content-Length over the limit is refused before a byte of the body came."""
    began = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", house.http.port)
    writer.write(head(f"Content-Length: {LIMIT_BYTES + 1}"))
    assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
    assert time.monotonic() - began < 0.4
    writer.close()


@MEDIA
async def test_a_chunked_body_over_the_limit_is_413(house: Any, media: str) -> None:
    """Without Content-Length the bytes are counted as they come; the consumer sees nothing."""

    async def pieces() -> Any:
        for _ in range(40):
            yield bytes(LIMIT_BYTES // 16)

    outcome = await house.post(pieces(), media)
    assert outcome.http == 413
    assert house.consumer.requests == []


async def test_a_chunked_body_within_the_limit_is_read_whole(house: Any, make: Any) -> None:
    """Chunked transfer works, in pieces of any size."""
    body = make(200).SerializeToString()

    async def pieces() -> Any:
        for at in range(0, len(body), 777):
            yield body[at : at + 777]

    assert (await house.post(pieces(), PROTOBUF)).http == 200
    assert house.consumer.requests == [make(200)]


async def test_a_body_just_over_the_default_of_aiohttp_is_taken(house: Any, make: Any) -> None:
    """Aiohttp's own limit of 1 MiB does not apply: only ours does."""
    request = make(1, padding=LIMIT_BYTES - 100)
    assert request.ByteSize() > 1_000_000
    assert (await house.post(request.SerializeToString(), PROTOBUF)).http == 200


@MEDIA
@pytest.mark.parametrize("damage", [b"not gzip", b"", gzip.compress(b"x" * 5000)[:-9], gzip.compress(b"{}") + b"tail"])
async def test_damaged_gzip_is_400(house: Any, media: str, damage: bytes) -> None:
    """What is said to be gzip and is not, cut off or followed by garbage, is permanent."""
    answer = await raw(house, head(f"Content-Length: {len(damage)}", "Content-Encoding: gzip", "Connection: close", media=media) + damage)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"gzip: " in answer
    assert house.consumer.requests == []


async def test_gzip_in_members_is_one_body(house: Any, make: Any) -> None:
    """Members follow each other (RFC 1952, 2.2)."""
    body = make(3).SerializeToString()
    data = gzip.compress(body[:20]) + gzip.compress(b"") + gzip.compress(body[20:])
    sent = head(f"Content-Length: {len(data)}", "Content-Encoding: gzip", "Connection: close") + data
    assert (await raw(house, sent)).startswith(b"HTTP/1.1 200 ")
    assert house.consumer.requests == [make(3)]


@pytest.mark.parametrize("piece", [1, 7, 100_000])
def test_gunzip_inflates_one_byte_more_than_the_limit_at_most(piece: int) -> None:
    """However the bytes come in, exactly the limit passes and one more does not."""
    for size, fits in ((5000, True), (5001, False)):
        data, gunzip, out = gzip.compress(b"z" * size), Gunzip(5000), b""
        try:
            for at in range(0, len(data), piece):
                out += gunzip.feed(data[at : at + piece])
            gunzip.finish()
        except Exception as error:
            assert (fits, str(error)) == (False, "request of at least 5001 bytes, the limit is 5000 bytes")  # noqa: PT017
        else:
            assert fits
            assert out == b"z" * size


async def test_damaged_chunks_are_400(house: Any) -> None:
    """A chunk length that is no number is a permanent fault."""
    answer = await raw(house, head("Transfer-Encoding: chunked", "Connection: close") + b"5\r\nhello\r\nZZ\r\n")
    assert answer.startswith(b"HTTP/1.0 400 ")


async def test_what_is_not_http_is_400_with_a_status(house: Any) -> None:
    """Even a line that no HTTP parser takes is answered with a google.rpc.Status, without repeating it, and counted."""
    answer = await raw(house, b"SECRET SECRET\r\n\r\n")
    assert answer.startswith(b"HTTP/1.0 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == 3
    assert b"SECRET" not in answer
    assert house.stats.http.refused_requests == {"malformed": 1}


async def test_a_slow_body_is_cut_off_as_retryable(house: Any) -> None:
    """A body that does not arrive in time is 503 with Retry-After: a slow network must not make a sender drop data."""
    began = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", house.http.port)
    writer.write(head("Content-Length: 100") + b"x")
    assert (await reader.readline()).startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 1" in await reader.read(1000)
    assert 0.3 < time.monotonic() - began < 3
    writer.close()


async def test_a_connection_that_never_sends_a_request_is_closed(house: Any) -> None:
    """Headers that trickle in, or none at all, hold a connection for the idle timeout only."""
    assert await raw(house, b"", timeout_s=3.0) == b""
    began = time.monotonic()
    assert await raw(house, b"POST /v1/traces HTTP/1.1\r\nHost:", timeout_s=3.0) == b""
    assert time.monotonic() - began < 2.5


async def test_a_sender_that_leaves_is_counted(house: Any) -> None:
    """A body cut off by its sender is not accepted, and not lost in silence."""
    _, writer = await asyncio.open_connection("127.0.0.1", house.http.port)
    writer.write(head("Content-Length: 100") + b"x")
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.close()
    await asyncio.sleep(0.1)
    assert house.stats.http.refused_requests == {"disconnected": 1}
    assert house.consumer.requests == []


async def test_expect_continue_is_answered_before_the_body(house: Any, make: Any) -> None:
    """A sender that asks first is told to go on, or is refused without having sent the body."""
    body = make(1).SerializeToString()
    answer = await raw(house, head(f"Content-Length: {len(body)}", "Expect: 100-continue", "Connection: close") + body)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ")
    reader, writer = await asyncio.open_connection("127.0.0.1", house.http.port)
    writer.write(head(f"Content-Length: {LIMIT_BYTES + 1}", "Expect: 100-continue"))
    assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
    writer.close()


async def test_a_connection_serves_many_requests(house: Any, make: Any) -> None:
    """Keep-alive holds after successes and after refusals."""
    body = make(1).SerializeToString()
    good = head(f"Content-Length: {len(body)}") + body
    bad = head("Content-Length: 3") + b"\x0a\x7f\x01"
    answer = await raw(house, good + bad + good + head("Content-Length: 0", "Connection: close"))
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200", b"400", b"200", b"200"]


# --- JSON ----------------------------------------------------------------------------------------------------------------------


async def test_json_faults_name_the_path_and_not_the_value(house: Any) -> None:
    """A wrong type in JSON is 400 with the JSON path, in JSON, and without the text."""
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "a"}, {"kind": "SECRET"}]}]}]}).encode()
    outcome = await house.post(body, JSON)
    assert outcome.http == 400
    assert "resourceSpans[0].scopeSpans[0].spans[1].kind" in outcome.status.message
    assert "SECRET" not in str(outcome)


async def test_snake_case_json_is_warned_about(house: Any) -> None:
    """`resource_spans` is an unknown field and must be ignored; the answer warns that nothing was found."""
    outcome = await house.post(b'{"resource_spans": [{}]}', JSON)
    assert outcome.http == 200
    assert outcome.response.partial_success.rejected_spans == 0
    assert "resourceSpans" in outcome.response.partial_success.error_message


async def test_partial_success_in_json_has_numbers_as_strings(house: Any, make: Any) -> None:
    """64-bit integers are strings in JSON."""
    from otel_ext.model import Receipt

    house.consumer.receipt = Receipt(accepted=0, rejected=1, message="no trace id")
    async with house.session.post(house.url + "/v1/traces", data=b"{}", headers={"Content-Type": JSON}) as answer:
        assert await answer.json() == {"partialSuccess": {"rejectedSpans": "1", "errorMessage": "no trace id"}}


async def test_refusals_in_json_follow_the_json_mapping(house: Any, make: Any) -> None:
    """A detail carries its @type and a duration reads `2.500s`."""
    from otel_ext.errors import Overloaded

    house.consumer.error = Overloaded("queue full", 2.5)
    async with house.session.post(house.url + "/v1/traces", data=b"{}", headers={"Content-Type": JSON}) as answer:
        body = await answer.json()
    assert (body["code"], body["message"]) == (14, "queue full")
    assert body["details"] == [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "2.500s"}]


async def test_refusals_in_protobuf_are_a_status(house: Any) -> None:
    """The body of a refusal in protobuf is google.rpc.Status."""
    async with house.session.post(house.url + "/nowhere", data=b"", headers={"Content-Type": PROTOBUF}) as answer:
        assert Status.FromString(await answer.read()).code == 12
