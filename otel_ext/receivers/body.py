"""Reads the body of an HTTP request within its limits, inflates it, and gives protobuf."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from otel_ext.errors import MalformedPayload, RetryableError, TooLarge
from otel_ext.receivers.limits import Gunzip, Hold
from otel_ext.receivers.status import SenderGoneError, WrongMediaError

GZIP: Final = ("gzip", "x-gzip")  # RFC 9110, 8.4.1.3: the same
IDENTITY: Final = ("", "identity")


async def read_body(request: web.BaseRequest, limit_bytes: int, timeout_s: float, hold: Hold) -> bytes:
    """The body, inflated; *limit_bytes* holds before and after inflating.

    Raises WrongMediaError, TooLarge, MalformedPayload, Overloaded, SenderGoneError, or RetryableError after *timeout_s*.
    """
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in GZIP and encoding not in IDENTITY:
        raise WrongMediaError("the content encoding is not supported; gzip and identity are")
    length_bytes = request.content_length
    if length_bytes is not None and length_bytes > limit_bytes:
        raise TooLarge(limit_bytes, length_bytes)
    await _continue(request)
    try:
        async with asyncio.timeout(timeout_s):
            return await _read(request, limit_bytes, hold, Gunzip(limit_bytes) if encoding in GZIP else None)
    except TimeoutError:
        # 408 would be the HTTP answer, but OTLP senders drop data on it; a slow network is no reason to lose any.
        raise RetryableError(f"the body did not arrive within {timeout_s:g} s") from None


async def _continue(request: web.BaseRequest) -> None:
    """A sender that asked waits for this line before it sends the body (curl does above 1 MiB); a refusal saves it the trouble."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # what was written is no part of the response


async def _read(request: web.BaseRequest, limit_bytes: int, hold: Hold, gunzip: Gunzip | None) -> bytes:
    pieces = []
    size_bytes = 0
    try:
        while piece := await request.content.readany():
            size_bytes += len(piece)
            if size_bytes > limit_bytes:
                raise TooLarge(limit_bytes, size_bytes)
            # Inflated at once, so that the compressed body is never held.
            kept = gunzip.feed(piece) if gunzip else piece
            hold.add(len(kept))
            pieces.append(kept)
    except web.RequestPayloadError:
        raise MalformedPayload("HTTP: damaged chunked transfer", size_bytes) from None
    except ConnectionError:
        raise SenderGoneError(f"the sender left after {size_bytes} bytes of the body") from None
    if gunzip:
        gunzip.finish()
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
