"""Bounds on what a sender can make us hold: bytes of all requests in flight, and what a gzip body grows to."""

from __future__ import annotations

import zlib
from types import TracebackType
from typing import Final, Self

from otel_ext.errors import MalformedPayload, Overloaded, TooLarge

IN_FLIGHT_REQUESTS: Final = 4  # bytes in flight default to this many requests of the largest size
_GZIP_ONLY: Final = zlib.MAX_WBITS | 16


class InFlight:
    """Bytes of requests that were read but not yet answered, over all connections; beyond the limit a request is Overloaded.

    The limit is at least one request of the largest size: less would refuse that request for ever, as if it might pass later.
    """

    def __init__(self, limit_bytes: int | None, request_bytes_max: int) -> None:
        self.limit_bytes = max(limit_bytes or IN_FLIGHT_REQUESTS * request_bytes_max, request_bytes_max)
        self.held_bytes = 0

    def hold(self) -> Hold:
        """The share of one request; what it holds is given back when the block ends."""
        return Hold(self)


class Hold:
    """Bytes that one request holds."""

    __slots__ = ("_bytes", "_owner")

    def __init__(self, owner: InFlight) -> None:
        self._owner = owner
        self._bytes = 0

    def add(self, size_bytes: int) -> None:
        """Hold more; raises Overloaded where all requests together would hold too much."""
        owner = self._owner
        if owner.held_bytes + size_bytes > owner.limit_bytes:
            raise Overloaded(f"{owner.held_bytes} bytes in flight, the limit is {owner.limit_bytes} bytes")
        owner.held_bytes += size_bytes
        self._bytes += size_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._owner.held_bytes -= self._bytes


class Gunzip:
    """Inflates a gzip body piece by piece and stops at *limit_bytes*: one byte more is all that is ever inflated.

    A body may have several members (RFC 1952, 2.2). Byte indexes count compressed bytes, to the start of the piece at fault.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._engine = zlib.decompressobj(_GZIP_ONLY)
        self._size_bytes = 0
        self._at = 0

    def feed(self, piece: bytes) -> bytes:
        """What *piece* inflates to; raises TooLarge or MalformedPayload."""
        out = []
        rest = piece
        while rest:
            if self._engine.eof:
                self._engine = zlib.decompressobj(_GZIP_ONLY)
            out.append(self._inflate(rest))
            rest = self._engine.unused_data
        self._at += len(piece)
        return b"".join(out)

    def finish(self) -> None:
        """Raises MalformedPayload where the last member is not whole, be it that not one byte came."""
        if not self._engine.eof:
            raise MalformedPayload("gzip: the body ends too early", self._at)

    def _inflate(self, data: bytes) -> bytes:
        try:
            inflated = self._engine.decompress(data, self._limit_bytes - self._size_bytes + 1)
        except zlib.error:
            raise MalformedPayload("gzip: damaged data", self._at) from None
        self._size_bytes += len(inflated)
        if self._size_bytes > self._limit_bytes:
            raise TooLarge(self._limit_bytes, self._size_bytes)
        return inflated
