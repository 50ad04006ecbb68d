"""The floor: what grpcio itself costs. Takes OTLP over gRPC unread, and with --to hands the same bytes on before it answers."""

from __future__ import annotations

import argparse
from typing import Any

import grpc
import uvloop

from benchmarks.sinks import EXPORT, EXPORT_SERVICE, GRPC_OPTIONS, raw_handler


async def _serve(port: int, target: str) -> None:
    channel: Any = grpc.aio.insecure_channel(target, options=GRPC_OPTIONS) if target else None
    send = channel.unary_unary(EXPORT) if channel else None

    async def receive(_body: bytes, _context: object) -> bytes:
        return b""

    async def forward(body: bytes, _context: object) -> bytes:
        assert send is not None
        return bytes(await send(body))

    server = grpc.aio.server(options=GRPC_OPTIONS)
    handler = raw_handler(forward if send else receive)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(EXPORT_SERVICE, {"Export": handler}),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--to", default="", help="host:port to send on to; without it bytes end here")
    options = parser.parse_args()
    uvloop.run(_serve(options.port, options.to))


if __name__ == "__main__":
    main()
