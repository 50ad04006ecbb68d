"""Findings as alerts at an Alertmanager (API v2): told at once, with links that open the trace.

A Prometheus alert can only carry labels, and a trace id is no label. Rules: one alert for each (rule, severity, agent, service), whatever
the number of traces; its annotations show the newest trace and how many there are. It resolves by itself when nothing new was found for
`hold`, and at once when all that it stood for was taken back. The first finding leaves at once, later ones of the same alert at most
every `interval`. The lane is bounded; what does not fit is counted and lost, spans are not.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from otel_ext.correlate import urls
from otel_ext.errors import Refused, RetryableError
from otel_ext.exporters.base import Runtime, Undelivered
from otel_ext.exporters.http import BAD_DATA, REASONS, HttpClient, StatusTable
from otel_ext.exporters.retry import DEFAULT_BACKOFF, NS_PER_S, Backoff, cancel, sleep_unless
from otel_ext.exporters.stats import DeliveryStats
from otel_ext.model import Finding, Severity
from otel_ext.settings import ClientTls, Links

ALERTS_PATH: Final = "/api/v2/alerts"
ALERT_NAME: Final = "AgentFinding"
TABLE: Final = StatusTable(retry=frozenset({429, *range(500, 600)}), reasons=REASONS, bad_data=BAD_DATA)
POSTED_MAX: Final = 64  # alerts in one request
TRACES_MAX: Final = 16  # standing traces that one alert remembers, for withdrawals
TEXT_CHARS_MAX: Final = 1_000

log = logging.getLogger(__name__)
Key = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertOptions:
    """`hold_s`: how long an alert lasts after its newest finding. `interval_s`: between two posts of one alert."""

    min_severity: Severity = Severity.HIGH
    hold_s: float = 300.0
    interval_s: float = 30.0
    alerts_max: int = 1_000
    timeout_s: float = 10.0
    runbook_url: str = ""
    backoff: Backoff = DEFAULT_BACKOFF


@dataclass(slots=True)
class _Alert:
    """One alert: `standing` are its newest traces, `traces` counts all, `shown` is the finding that its annotations tell of.

    Its newest state is not posted yet while it is `dirty`, and may be from `due_ns` on. What was posted last ends at `until_ns`.
    """

    shown: Finding
    started_ns: int
    until_ns: int = 0
    due_ns: int = 0
    traces: int = 0
    dirty: bool = False
    standing: OrderedDict[bytes, Finding] = field(default_factory=OrderedDict)

    def add(self, finding: Finding, now_ns: int) -> None:
        """One more finding. After its end the alert starts anew."""
        if not self.dirty and self.until_ns <= now_ns:
            self.started_ns, self.due_ns, self.traces = now_ns, 0, 0
            self.standing.clear()
        self.traces += finding.trace_id not in self.standing
        self.standing[finding.trace_id] = self.shown = finding
        self.dirty = True
        if len(self.standing) > TRACES_MAX:
            self.standing.popitem(last=False)

    def take_back(self, finding: Finding) -> bool:
        """One finding less, if it was one of ours."""
        if self.standing.pop(finding.trace_id, None) is None:
            return False
        self.traces -= 1
        self.shown = next(reversed(self.standing.values()), finding)
        self.dirty = True
        return True


class AlertmanagerAlerts:
    """POST /api/v2/alerts. `start` once, `submit` often, `drain` once; all inside one running loop."""

    def __init__(
        self,
        url: str,
        links: Links,
        runtime: Runtime,
        options: AlertOptions | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        tls: ClientTls | None = None,
        proxy: bool = False,
    ) -> None:
        self.stats = DeliveryStats()
        self.overflow = 0
        self._options = options or AlertOptions()
        self.relink(links)
        sent = {**(headers or {}), "Content-Type": "application/json"}
        endpoint = url.rstrip("/").removesuffix(ALERTS_PATH) + ALERTS_PATH
        self._client = HttpClient(endpoint, sent, TABLE, runtime, timeout_s=self._options.timeout_s, tls=tls, proxy=proxy)
        self._runtime = runtime
        self._alerts: dict[Key, _Alert] = {}
        self._on_the_way = 0
        self._wake = asyncio.Event()
        self._draining = asyncio.Event()
        self._idle = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None

    def relink(self, links: Links) -> None:
        """Link to other addresses from the next telling on."""
        self._templates = (urls.tempo_template(links), urls.langfuse_template(links))

    @property
    def name(self) -> str:
        """The label."""
        return "alertmanager"

    @property
    def queue_size(self) -> int:
        """Alerts whose newest state is not at the Alertmanager yet."""
        return sum(alert.dirty for alert in self._alerts.values()) + self._on_the_way

    @property
    def queue_capacity(self) -> int:
        """The bound of alerts that are remembered."""
        return self._options.alerts_max

    def submit(self, finding: Finding) -> bool:
        """Raise or renew the alert of *finding*; False when it is too quiet for one, or when there is no room, which `overflow` counts."""
        if finding.severity.rank > self._options.min_severity.rank:
            return False
        key = tuple(labels_of(finding).values())
        if finding.withdrawn:
            taken = key in self._alerts and self._alerts[key].take_back(finding)
            self._wake.set()
            return taken
        alert = self._alerts.get(key) or self._room_for(key, finding)
        if alert is None:
            self.overflow += 1
            return False
        alert.add(finding, self._runtime.now_ns())
        self._wake.set()
        return True

    def _room_for(self, key: Key, finding: Finding) -> _Alert | None:
        """A new alert; those that are over make room."""
        now_ns = self._runtime.now_ns()
        if len(self._alerts) >= self._options.alerts_max:
            over = [each for each, alert in self._alerts.items() if alert.until_ns <= now_ns and not alert.dirty]
            for each in over:
                del self._alerts[each]
            if not over:
                return None
        return self._alerts.setdefault(key, _Alert(finding, now_ns))

    async def start(self) -> None:
        """Open the connections and start the worker."""
        await self._client.start()
        self._worker = asyncio.create_task(self._work(), name=self.name)

    async def drain(self, timeout_s: float) -> Undelivered:
        """Send what waits, at most *timeout_s* long, then stop; returns what was not confirmed, as records."""
        self._draining.set()
        self._wake.set()
        self._idle.clear()
        if self.queue_size:
            await sleep_unless(self._idle, timeout_s, self._runtime)
        left = Undelivered(self.name, self.queue_size, 0)
        await cancel([self._worker] if self._worker else [])
        await self._client.close()
        if left.records:
            log.warning("%s: %d alerts not delivered at shutdown", self.name, left.records)
        return left

    async def _work(self) -> None:
        attempt = 0
        while True:
            due = await self._due()
            try:
                await self._post(due)
                attempt = 0
            except RetryableError as error:
                self._again(due, str(error))
                await self._pause(self._options.backoff.delay_s(attempt, error.retry_after_s, self._runtime.random))
                attempt += 1
            except Exception as error:  # the one guard of this task: a fault of ours must not stop the lane
                self._lose("internal", len(due))
                log.error("%s: fault in delivery: %s", self.name, type(error).__name__)
            if not self.queue_size:
                self._idle.set()

    async def _due(self) -> list[_Alert]:
        """What may be posted now; waits for the first."""
        while True:
            now_ns = self._runtime.now_ns()
            dirty = [alert for alert in self._alerts.values() if alert.dirty]
            # A clock that was set back must not hold an alert: nothing waits longer than `interval`.
            wait_ns = int(self._options.interval_s * NS_PER_S)
            due = [alert for alert in dirty if self._draining.is_set() or not 0 < alert.due_ns - now_ns <= wait_ns]
            if due:
                return due[:POSTED_MAX]
            self._wake.clear()
            if dirty:
                await sleep_unless(self._wake, min(alert.due_ns - now_ns for alert in dirty) / NS_PER_S, self._runtime)
            else:
                await self._wake.wait()

    async def _post(self, alerts: Sequence[_Alert]) -> None:
        """One request; one that is refused for good is sent alert by alert, so that a bad one takes no other with it."""
        bodies = [self._body(alert) for alert in alerts]
        self._on_the_way = len(alerts)
        try:
            await self._client.post(json.dumps(bodies, ensure_ascii=False).encode())
        except Refused as refusal:
            if refusal.bad_data and len(alerts) > 1:
                for alert in alerts:
                    await self._post([alert])
                return
            self._lose(refusal.reason, len(alerts))
        else:
            self.stats.sent(len(alerts), self._runtime.now_ns())
        finally:
            self._on_the_way = 0

    def _body(self, alert: _Alert) -> dict[str, object]:
        # The end counts from now, not from the finding: after an outage of the Alertmanager it must still be told.
        now_ns = self._runtime.now_ns()
        alert.until_ns = now_ns + int(self._options.hold_s * NS_PER_S) if alert.standing else now_ns
        alert.dirty, alert.due_ns = False, now_ns + int(self._options.interval_s * NS_PER_S)
        body = alert_body(alert.shown, self._templates, alert.traces, self._options.runbook_url)
        return {**body, "startsAt": _iso(min(alert.started_ns, alert.until_ns)), "endsAt": _iso(alert.until_ns)}

    def _again(self, alerts: Sequence[_Alert], label: str) -> None:
        """What did not arrive is due at once, in its newest state."""
        for alert in alerts:
            alert.dirty, alert.due_ns = True, 0
        if self.stats.healthy:
            log.warning("%s: %s, will be tried again", self.name, label)
        self.stats.retries += 1
        self.stats.trouble(label)

    async def _pause(self, pause_s: float) -> None:
        if self._draining.is_set():
            await self._runtime.sleep(pause_s)
        else:
            await sleep_unless(self._draining, pause_s, self._runtime)

    def _lose(self, reason: str, alerts: int) -> None:
        if reason not in self.stats.failed_spans:
            log.warning("%s: alerts refused for good: %s", self.name, reason)
        self.stats.failed(reason, alerts)
        self.stats.last_error = reason


def labels_of(finding: Finding) -> dict[str, str]:
    """What makes two findings one alert. No ids: an alert a trace would be a page a trace."""
    return {
        "alertname": ALERT_NAME,
        "severity": str(finding.severity),
        "type": finding.type,
        "rule": finding.rule,
        "agent": finding.agent,
        "service": finding.service,
    }


def alert_body(finding: Finding, templates: tuple[str, str], traces: int, runbook_url: str = "") -> dict[str, object]:
    """Labels, annotations and source link of an alert; empty ones are left out, as Alertmanager would.

    `templates` are the links to Tempo and Langfuse with `{trace_id}` in them, `traces` is how many traces the alert stands for.
    """
    trace_id = finding.trace_id.hex()
    tempo = urls.fill(templates[0], trace_id)
    langfuse = urls.fill(templates[1], finding.langfuse_trace_id or trace_id)
    annotations = {
        "summary": f"{finding.agent or finding.service or 'an agent'}: {finding.rule}",
        "description": finding.message[:TEXT_CHARS_MAX],
        "trace_id": trace_id,
        "tempo_url": tempo,
        "langfuse_url": langfuse,
        "traces": str(max(traces, 1)),
        "runbook_url": runbook_url,
    }
    body: dict[str, object] = {"labels": _filled(labels_of(finding)), "annotations": _filled(annotations)}
    return {**body, "generatorURL": tempo or langfuse} if tempo or langfuse else body


def _filled(texts: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in texts.items() if text}


def _iso(time_unix_nano: int) -> str:
    return datetime.fromtimestamp(time_unix_nano / NS_PER_S, UTC).isoformat(timespec="milliseconds")
