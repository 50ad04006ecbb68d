"""The backends that every contender sends to: an OTLP gRPC sink (Tempo) and an HTTP sink (Langfuse), in a process of their own.

They read nothing while the clock runs: a request is counted, stamped and kept, and only `POST /dump` parses what came.
`GET /stats` says what came so far.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, cast

import grpc
import numpy as np
import uvloop
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

EXPORT_SERVICE: Final = "opentelemetry.proto.collector.trace.v1.TraceService"
EXPORT: Final = f"/{EXPORT_SERVICE}/Export"
GRPC_OPTIONS: Final = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),
)
LANGFUSE_TRACES: Final = b"/api/public/otel/v1/traces"
LANGFUSE_SCORES: Final = b"/api/public/scores"

# One row a span that arrived. `own` marks spans that a contender made itself (findings).
ARRIVED: Final = np.dtype([("trace", "S16"), ("span", "<u8"), ("at_ns", "<i8"), ("own", "?")])


class Store:
    """What came to one sink. `keep` is off where only the contender's memory is measured."""

    def __init__(self, *, keep: bool) -> None:
        self.keep = keep
        self.requests = 0
        self.bytes = 0
        self._bodies: list[tuple[int, bytes, bool]] = []

    def take(self, body: bytes, *, gzipped: bool = False) -> None:
        """Count and stamp one request, unread."""
        self.requests += 1
        self.bytes += len(body)
        if self.keep:
            self._bodies.append((time.monotonic_ns(), body, gzipped))

    def rows(self) -> np.ndarray:
        """ARRIVED rows of everything kept, parsed now."""
        rows = []
        for at_ns, body, gzipped in self._bodies:
            request = ExportTraceServiceRequest.FromString(gzip.decompress(body) if gzipped else body)
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    rows += [(s.trace_id, int.from_bytes(s.span_id, "little"), at_ns, s.name.startswith("otel_ext ")) for s in scope.spans]
        return np.array(rows, dtype=ARRIVED)


class Sinks:
    """Both stores, the count of scores, and the commands of the runner."""

    def __init__(self, *, keep: bool) -> None:
        self.tempo = Store(keep=keep)
        self.langfuse = Store(keep=keep)
        self.scores = 0

    def stats(self) -> bytes:
        """Counts as JSON."""
        counts = {
            "tempo_requests": self.tempo.requests,
            "tempo_bytes": self.tempo.bytes,
            "langfuse_requests": self.langfuse.requests,
            "langfuse_bytes": self.langfuse.bytes,
            "scores": self.scores,
        }
        return json.dumps(counts).encode()

    def dump(self, folder: Path) -> bytes:
        """Write tempo.npy and langfuse.npy to *folder*."""
        np.save(folder / "tempo.npy", self.tempo.rows())
        np.save(folder / "langfuse.npy", self.langfuse.rows())
        return b"{}"

    def answer(self, method: bytes, path: bytes, headers: bytes, body: bytes) -> tuple[int, bytes, bytes]:
        """Status, content type and body for one HTTP request."""
        if path == LANGFUSE_TRACES:
            self.langfuse.take(body, gzipped=b"content-encoding: gzip" in headers)
            return 200, b"application/x-protobuf", b""
        if path == LANGFUSE_SCORES:
            self.scores += 1
            return 200, b"application/json", b'{"id":"bench"}'
        if path == b"/stats":
            return 200, b"application/json", self.stats()
        if path == b"/dump" and method == b"POST":
            return 200, b"application/json", self.dump(Path(body.decode()))
        return 404, b"application/json", b"{}"


class HttpSink(asyncio.Protocol):
    """As little HTTP/1.1 as a client with Content-Length needs: a full server would cost more than some contenders."""

    def __init__(self, sinks: Sinks) -> None:
        self._sinks = sinks
        self._chunks: list[bytes] = []
        self._have = 0
        self._need = 0
        self._head: tuple[bytes, bytes, bytes] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport for answers."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it

    def data_received(self, data: bytes) -> None:
        """Collect, and answer whatever is whole."""
        self._chunks.append(data)
        self._have += len(data)
        if self._have < self._need:
            return
        buffer = b"".join(self._chunks)
        while buffer and (rest := self._one(buffer)) is not None:
            buffer = rest
        self._chunks, self._have = [buffer] if buffer else [], len(buffer)

    def _one(self, buffer: bytes) -> bytes | None:
        """Answer the request that *buffer* begins with and return the rest, or None where it is not whole yet."""
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            self._need = len(buffer) + 1
            return None
        line, _, headers = buffer[:end].partition(b"\r\n")
        headers = headers.lower()
        method, path, _ = line.split(b" ", 2)
        size = _content_length(headers)
        if size is None:
            self._write(411, b"text/plain", b"Content-Length is required here")
            return b""
        self._need = end + 4 + size
        if len(buffer) < self._need:
            return None
        body, rest = buffer[end + 4 : self._need], buffer[self._need :]
        self._need = 0
        self._write(*self._sinks.answer(method, path, headers, body))
        return rest

    def _write(self, status: int, kind: bytes, body: bytes) -> None:
        assert self._transport is not None
        self._transport.write(b"HTTP/1.1 %d .\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n%b" % (status, kind, len(body), body))


def _content_length(headers: bytes) -> int | None:
    if b"transfer-encoding:" in headers:
        return None
    _, found, tail = headers.partition(b"content-length:")
    return int(tail.partition(b"\r\n")[0]) if found else 0


def raw_handler(serve: Callable[[bytes, object], Awaitable[bytes]]) -> Any:
    """Export as bytes in, bytes out: no message is ever built."""
    return grpc.unary_unary_rpc_method_handler(serve, request_deserializer=None, response_serializer=None)


async def _serve(options: argparse.Namespace) -> None:
    sinks = Sinks(keep=not options.discard)

    async def export(body: bytes, _context: object) -> bytes:
        sinks.tempo.take(body)
        return b""

    server = grpc.aio.server(options=GRPC_OPTIONS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(EXPORT_SERVICE, {"Export": raw_handler(export)}),))
    server.add_insecure_port(f"127.0.0.1:{options.grpc}")
    await server.start()
    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: HttpSink(sinks), "127.0.0.1", options.http)
    await server.wait_for_termination()


def main() -> None:
    """Serve both sinks until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grpc", type=int, required=True, help="port of the OTLP gRPC sink")
    parser.add_argument("--http", type=int, required=True, help="port of the HTTP sink")
    parser.add_argument("--discard", action="store_true", help="count only, keep nothing")
    uvloop.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
