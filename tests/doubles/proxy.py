"""A forward proxy: CONNECT tunnels, and plain requests in absolute form. It notes what it was asked, and forwards to where it is told."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class ProxyDouble:
    """`asked` holds the request lines. Whatever host is asked for, the bytes go to *target*, a port of this machine."""

    def __init__(self, target: int) -> None:
        self.asked: list[str] = []
        self._target = target
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """What HTTP_PROXY would be."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        line = head.split(b"\r\n", 1)[0].decode()
        self.asked.append(line)
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        if line.startswith("CONNECT "):
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            back.write(head)
        await asyncio.gather(_pipe(reader, back), _pipe(there, writer))


async def _pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()
    sink.close()
