"""The admin port: /metrics, /health (are we alive), /ready (does every destination take what we send). Read-only, no authentication."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final, Protocol

from aiohttp import web
from aiohttp.typedefs import Handler

ERROR_LENGTH_MAX: Final = 256  # characters of a destination's last error
SHUTDOWN_S: Final = 1.0

_log = logging.getLogger(__name__)


class Page(Protocol):
    """Numbers of one moment, which any thread may encode."""

    def encode(self, accept: str) -> tuple[bytes, str]:
        """Body and content type for an Accept header."""
        ...


class Numbers(Protocol):
    """What /metrics shows."""

    def page(self) -> Page:
        """The numbers now; called on the event loop."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What runs. `status` is "ok" as long as we answer."""

    version: str
    codec: str
    status: str = "ok"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One destination. Ages in seconds, None: it never took anything; sizes in batches; `last_error` is a short label, never payload.

    Without one that is not `essential` we are ready all the same: a rate limit on scores must not keep spans away.
    """

    name: str
    ready: bool
    queue_size: int
    queue_capacity: int
    last_success_age_s: float | None = None
    last_error: str = ""
    essential: bool = True


class AdminServer:
    """Serves `host:port` (port 0: any free one). *now* is a monotonic clock in seconds, for the uptime, which runs from `start`.

    *health* and *ready* are called at every request, on the event loop; ready means that every essential row is.
    """

    def __init__(
        self,
        endpoint: str,
        metrics: Numbers,
        health: Callable[[], Health],
        ready: Callable[[], list[Row]],
        now: Callable[[], float],
    ) -> None:
        self._host, self._port = _split(endpoint)
        self._metrics = metrics
        self._health = health
        self._ready = ready
        self._now = now
        self._started_s = now()
        self._runner: web.AppRunner | None = None
        self._encoding = asyncio.Lock()

    async def start(self) -> int:
        """Listen; the port that was bound. Raises OSError where it cannot be."""
        app = web.Application(middlewares=[_answer_errors])
        app.router.add_get("/metrics", self._get_metrics)
        app.router.add_get("/health", self._get_health)
        app.router.add_get("/ready", self._get_ready)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        self._started_s = self._now()
        return int(runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening; open requests get SHUTDOWN_S. Idempotent."""
        runner, self._runner = self._runner, None
        if runner:
            await runner.cleanup()

    async def _get_metrics(self, request: web.Request) -> web.Response:
        # One page at a time, and off the loop: every metric at 2,000 series takes 0.4 s to write, and spans do not wait for that.
        async with self._encoding:
            page = self._metrics.page()
            body, content_type = await asyncio.to_thread(page.encode, ",".join(request.headers.getall("Accept", [])))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _get_health(self, _: web.Request) -> web.Response:
        health = self._health()
        uptime_s = round(self._now() - self._started_s, 3)
        return web.json_response({"status": health.status, "version": health.version, "uptime_s": uptime_s, "codec": health.codec})

    async def _get_ready(self, _: web.Request) -> web.Response:
        rows = self._ready()
        ready = all(row.ready for row in rows if row.essential)
        destinations = [asdict(row) | {"last_error": row.last_error[:ERROR_LENGTH_MAX]} for row in rows]
        return web.json_response({"ready": ready, "destinations": destinations}, status=200 if ready else 503)


@web.middleware
async def _answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every refusal as JSON; an error of ours as 500, its text in our log only."""
    try:
        return await handler(request)
    except web.HTTPException as refusal:
        headers = {"Allow": refusal.headers["Allow"]} if "Allow" in refusal.headers else None
        return web.json_response({"error": refusal.reason}, status=refusal.status, headers=headers)
    except Exception:
        _log.exception("%s %s failed", request.method, request.path)
        return web.json_response({"error": "Internal Server Error"}, status=500)


def _split(endpoint: str) -> tuple[str, int]:
    """`host:port` or `[v6]:port`; no host is the loopback, never all interfaces."""
    host, _, port = endpoint.rpartition(":")
    return host.strip("[]") or "127.0.0.1", int(port)
