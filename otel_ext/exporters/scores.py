"""Findings as Langfuse scores, on a lane of their own: a rate limit or a flood here never delays a span.

Rules: one score a POST; its id comes from (trace, span, rule), so that sending twice, or a withdrawal, changes one score instead of adding
one. A newer revision of a finding replaces the one that still waits. The lane is bounded; what does not fit is counted and lost, spans are
not.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from otel_ext.errors import Refused, RetryableError
from otel_ext.exporters.base import Runtime, Undelivered
from otel_ext.exporters.http import Answer, HttpClient
from otel_ext.exporters.langfuse import SCORES_PATH, TABLE, base_url, basic_auth
from otel_ext.exporters.retry import DEFAULT_BACKOFF, NS_PER_S, Backoff, Gate, cancel, sleep_unless
from otel_ext.exporters.stats import DeliveryStats
from otel_ext.model import Finding
from otel_ext.semconv import SCOPE
from otel_ext.settings import ClientTls

SCORES_MAX: Final = 10_000
COMMENT_CHARS_MAX: Final = 2_000
ID_HEX_CHARS: Final = 32
SEPARATOR: Final = b"\x00"
MULTI_STATUS: Final = 207
NO_CONFIGS: Final[Mapping[str, str]] = MappingProxyType({})

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreOptions:
    """`scores_max` findings wait at most. `environment` must be that of the spans: the UI's filter hides the score otherwise.

    `configs`: ids of score configs by the name of the score. A server drops, without a word, a score that does not fit its config.
    """

    name: str = "langfuse_scores"
    environment: str = "default"
    configs: Mapping[str, str] = field(default_factory=dict)
    scores_max: int = SCORES_MAX
    concurrency: int = 2
    timeout_s: float = 10.0
    backoff: Backoff = DEFAULT_BACKOFF


class LangfuseScores:
    """POST /api/public/scores. `start` once, `submit` often, `drain` once; all inside one running loop."""

    def __init__(
        self,
        host: str,
        public_key: str,
        secret_key: str,
        runtime: Runtime,
        options: ScoreOptions | None = None,
        tls: ClientTls | None = None,
        proxy: bool = False,
        *,
        path: str = SCORES_PATH,
    ) -> None:
        self.stats = DeliveryStats()
        self.overflow = 0
        self._options = options or ScoreOptions()
        headers = {"Authorization": basic_auth(public_key, secret_key), "Content-Type": "application/json"}
        url = base_url(host) + path
        self._client = HttpClient(url, headers, TABLE, runtime, timeout_s=self._options.timeout_s, tls=tls, proxy=proxy)
        self._runtime = runtime
        self._gate = Gate(runtime)
        self._waiting: dict[str, bytes] = {}
        self._busy: set[str] = set()
        self._arrays = False
        self._wake = asyncio.Event()
        self._draining = asyncio.Event()
        self._idle = asyncio.Event()
        self._workers: list[asyncio.Task[None]] = []

    @property
    def name(self) -> str:
        """The label."""
        return self._options.name

    @property
    def queue_size(self) -> int:
        """Scores that wait or are on their way."""
        return len(self._waiting) + len(self._busy)

    @property
    def queue_capacity(self) -> int:
        """The bound of those that wait."""
        return self._options.scores_max

    def submit(self, finding: Finding) -> bool:
        """Queue the score of *finding*; False when the lane is full, which is counted in `overflow`."""
        return self._put(score_id(finding), score_body(finding, self._options.environment, self._options.configs))

    def _put(self, key: str, body: bytes) -> bool:
        if key not in self._waiting and len(self._waiting) >= self._options.scores_max:
            self.overflow += 1
            return False
        self._waiting[key] = body
        self._wake.set()
        return True

    async def start(self) -> None:
        """Open the connections and start the workers."""
        await self._client.start()
        self._workers = [asyncio.create_task(self._work(), name=self.name) for _ in range(self._options.concurrency)]

    async def drain(self, timeout_s: float) -> Undelivered:
        """Send what waits, at most *timeout_s* long, then stop; returns what was not confirmed, as records."""
        self._draining.set()
        self._idle.clear()
        if self.queue_size:
            await sleep_unless(self._idle, timeout_s, self._runtime)
        left = Undelivered(self.name, self.queue_size, 0)
        await cancel(self._workers)
        await self._client.close()
        if left.records:
            log.warning("%s: %d scores not delivered at shutdown", self.name, left.records)
        return left

    async def _work(self) -> None:
        while True:
            key, body = await self._next()
            try:
                await self._deliver(key, body)
            except Refused as refusal:
                self._lose(refusal.reason)
            except Exception as error:  # the one guard of this task: a fault of ours must not stop the lane
                self._lose("internal")
                log.error("%s: fault in delivery: %s", self.name, type(error).__name__)
            self._busy.discard(key)
            self._wake.set()
            if not self.queue_size:
                self._idle.set()

    async def _next(self) -> tuple[str, bytes]:
        while True:
            # Two revisions of one score never travel together: the later one must be the last to arrive.
            key = next((key for key in self._waiting if key not in self._busy), None)
            if key is not None:
                self._busy.add(key)
                return key, self._waiting.pop(key)
            self._wake.clear()
            await self._wake.wait()

    async def _deliver(self, key: str, body: bytes) -> None:
        attempt = 0
        while True:
            await self._gate.pass_through()
            try:
                await self._post(body)
            except RetryableError as error:
                pause_s = self._options.backoff.delay_s(attempt, error.retry_after_s, self._runtime.random)
                if error.retry_after_s is not None:
                    self._gate.close_for(pause_s)
                self.stats.retries += 1
                self.stats.trouble(str(error))
            else:
                self.stats.sent(1, self._runtime.now_ns())
                return
            attempt = 0 if await self._pause(pause_s) else attempt + 1
            body = self._waiting.pop(key, body)

    async def _post(self, body: bytes) -> None:
        """One score in the form that the server takes. Servers of the 4.16 kind take an object, those of SDK 5 an array."""
        self.stats.in_flight += 1
        try:
            try:
                answer = await self._client.post(_form(body, self._arrays))
            except Refused as refusal:
                if refusal.reason != "bad_data":
                    raise
                answer = await self._client.post(_form(body, not self._arrays))
                self._arrays = not self._arrays
        finally:
            self.stats.in_flight -= 1
        if answer.status == MULTI_STATUS and _was_rejected(answer):
            raise Refused("rejected", "HTTP 207")

    async def _pause(self, pause_s: float) -> bool:
        if self._draining.is_set():
            await self._runtime.sleep(pause_s)
            return False
        return await sleep_unless(self._draining, pause_s, self._runtime)

    def _lose(self, reason: str) -> None:
        if reason not in self.stats.failed_spans:
            log.warning("%s: scores refused for good: %s", self.name, reason)
        self.stats.failed(reason, 1)
        self.stats.last_error = reason


def score_id(finding: Finding) -> str:
    """32 hex characters from trace, span and rule: the same fact has the same id in every process and after every restart."""
    fact = SEPARATOR.join((finding.trace_id, finding.span_id, finding.rule.encode()))
    return hashlib.sha256(fact).hexdigest()[:ID_HEX_CHARS]


def score_body(finding: Finding, environment: str, configs: Mapping[str, str] = NO_CONFIGS) -> bytes:
    """The JSON of one score: a BOOLEAN, 1 for a finding, 0 for one that was withdrawn.

    It hangs on the trace as Langfuse knows it. Where that is not the trace's own id, the span at fault is not one of its observations.

    A withdrawal must carry the finding's own time, or newer servers keep both.
    """
    own_id = finding.trace_id.hex()
    score: dict[str, object] = {
        "id": score_id(finding),
        "name": f"{SCOPE}.{finding.type}",
        "value": 0 if finding.withdrawn else 1,
        "dataType": "BOOLEAN",
        "traceId": finding.langfuse_trace_id or own_id,
        "comment": finding.message[:COMMENT_CHARS_MAX],
        "environment": environment,
        # Part of the key that an update must repeat, on servers that read it; older ones ignore it.
        "timestamp": _iso(finding.time_unix_nano),
        "metadata": {
            "rule": finding.rule,
            "severity": str(finding.severity),
            "agent": finding.agent,
            "service": finding.service,
            "conversation": finding.conversation,
            "evidence": dict(finding.evidence),
            "complete": finding.complete,
            "tempo_trace_id": own_id,
            "tempo_span_id": finding.span_id.hex(),
        },
    }
    if config := configs.get(str(score["name"])):
        score["configId"] = config
    if score["traceId"] == own_id:
        score["observationId"] = finding.span_id.hex()
    return json.dumps(score, ensure_ascii=False).encode()


def _iso(time_unix_nano: int) -> str:
    return datetime.fromtimestamp(time_unix_nano / NS_PER_S, UTC).isoformat(timespec="milliseconds")


def _form(body: bytes, array: bool) -> bytes:
    return b"[" + body + b"]" if array else body


def _was_rejected(answer: Answer) -> bool:
    try:
        verdict = json.loads(answer.body)
    except ValueError:
        return False
    return isinstance(verdict, dict) and bool(verdict.get("rejected") or verdict.get("errors"))
