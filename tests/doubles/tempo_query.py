"""Tempo's query API over the spans of a TempoDouble, on a port of its own, as far as a trace is read back by its id."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, TracesData

from tests.doubles.tempo import TempoDouble


@dataclass(slots=True)
class TempoQuery:
    """`blind` reads see nothing yet; with `token` every API but echo demands it."""

    tempo: TempoDouble
    blind: int = 0
    token: str = ""
    port: int = 0
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/api/echo", self._echo),
                web.get("/api/status/buildinfo", self._buildinfo),
                web.get("/api/traces/{id}", self._trace),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Die at once."""
        if self._runner is not None:
            await self._runner.cleanup()

    def _refuses(self, request: web.Request) -> bool:
        return bool(self.token) and request.headers.get("Authorization") != f"Bearer {self.token}"

    async def _echo(self, request: web.Request) -> web.Response:
        return web.Response(status=401) if self._refuses(request) else web.Response(text="echo\n")

    async def _buildinfo(self, _: web.Request) -> web.Response:
        return web.json_response({"version": "2.8.0"})

    async def _trace(self, request: web.Request) -> web.Response:
        wanted = bytes.fromhex(request.match_info["id"])
        spans = [span for span in self.tempo.spans if span.trace_id == wanted]
        if self.blind or not spans:
            self.blind = max(self.blind - 1, 0)
            return web.Response(status=404)
        data = TracesData(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=spans)])])
        return web.Response(body=data.SerializeToString(), content_type="application/protobuf")
