"""Traces with a critical finding in a Langfuse annotation queue, for people to look at: one item a trace.

The server takes the same trace as often as it is told, so what was queued is remembered here, within bounds.
"""

from __future__ import annotations

import json
from typing import Final
from urllib.parse import quote

from otel_ext.exporters.base import Runtime
from otel_ext.exporters.scores import LangfuseScores, ScoreOptions
from otel_ext.model import Finding, Severity
from otel_ext.settings import ClientTls

ITEMS_PATH: Final = "/api/public/annotation-queues/{}/items"
ITEMS_MAX: Final = 10_000


class LangfuseReviews(LangfuseScores):
    """POST /api/public/annotation-queues/ID/items, on a lane of its own. The last *items_max* traces are not queued again."""

    def __init__(
        self,
        host: str,
        public_key: str,
        secret_key: str,
        runtime: Runtime,
        queue_id: str,
        options: ScoreOptions,
        tls: ClientTls | None = None,
        proxy: bool = False,
        *,
        items_max: int = ITEMS_MAX,
    ) -> None:
        super().__init__(host, public_key, secret_key, runtime, options, tls, proxy, path=ITEMS_PATH.format(quote(queue_id, safe="")))
        self._items_max = items_max
        self._queued: dict[str, None] = {}

    def submit(self, finding: Finding) -> bool:
        """Queue the trace of a critical *finding*, once; False when the lane is full, which is counted in `overflow`."""
        trace_id = finding.langfuse_trace_id or finding.trace_id.hex()
        if finding.withdrawn or finding.severity != Severity.CRITICAL or trace_id in self._queued:
            return True
        if not self._put(trace_id, json.dumps({"objectId": trace_id, "objectType": "TRACE"}).encode()):
            return False
        self._queued[trace_id] = None
        if len(self._queued) > self._items_max:
            del self._queued[next(iter(self._queued))]
        return True

    async def _post(self, body: bytes) -> None:
        self.stats.in_flight += 1
        try:
            await self._client.post(body)
        finally:
            self.stats.in_flight -= 1
