"""A strict Alertmanager: what its API v2 demands of a post, and what it shows afterwards. Keyed by label set, as the real one."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime
from typing import Any

from aiohttp import web

LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class AlertmanagerDouble:
    """`posts` are the accepted alerts in order of arrival, `alerts` the newest of each label set."""

    def __init__(self) -> None:
        self.posts: list[dict[str, Any]] = []
        self.requests = 0
        self.arrived = asyncio.Event()
        self.headers: list[dict[str, str]] = []
        self.delay_s = 0.0
        self.refuse_message = ""  # alerts with this description are refused, and the post with them
        self._failures: list[tuple[int, str]] = []
        self._runner: web.AppRunner | None = None
        self.url = ""

    def fail_next(self, times: int, status: int, retry_after: str = "") -> None:
        """Answer the next *times* posts with *status*."""
        self._failures += [(status, retry_after)] * times

    @property
    def alerts(self) -> dict[tuple[tuple[str, str], ...], dict[str, Any]]:
        return {tuple(sorted(post["labels"].items())): post for post in self.posts}

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/am/api/v2/alerts", self._post)
        app.router.add_get("/am/api/v2/status", self._status)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/am"

    async def stop(self) -> None:
        if self._runner:
            await self._runner.cleanup()

    async def _status(self, _: web.Request) -> web.Response:
        if self._failures:
            return web.Response(status=self._failures.pop(0)[0])
        return web.json_response({"cluster": {"status": "ready"}, "versionInfo": {"version": "0.28.1"}, "uptime": "", "config": {}})

    async def _post(self, request: web.Request) -> web.Response:
        self.requests += 1
        self.headers.append(dict(request.headers))
        alerts = await request.json()
        await asyncio.sleep(self.delay_s)
        if self._failures:
            status, retry_after = self._failures.pop(0)
            return web.Response(status=status, headers={"Retry-After": retry_after} if retry_after else {})
        if not all(map(self._is_valid, alerts)):
            return web.json_response("bad alert", status=400)
        self.posts += alerts
        self.arrived.set()
        return web.Response()

    def _is_valid(self, alert: dict[str, Any]) -> bool:
        texts = {**alert["labels"], **alert["annotations"]}
        return (
            request_is_json(alert)
            and all(LABEL_NAME.fullmatch(name) and isinstance(text, str) and text for name, text in texts.items())
            and datetime.fromisoformat(alert["startsAt"]) <= datetime.fromisoformat(alert["endsAt"])
            and (not self.refuse_message or alert["annotations"]["description"] != self.refuse_message)
        )


def request_is_json(alert: object) -> bool:
    return isinstance(alert, dict) and {"labels", "annotations", "startsAt", "endsAt"} <= set(alert)
