"""The lane of alerts: told at once, one alert whatever the number of traces, links that open the trace, over when it is over."""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator
from datetime import datetime
from urllib.parse import unquote

import pytest

from otel_ext.exporters.alerts import AlertmanagerAlerts, AlertOptions
from otel_ext.exporters.base import Runtime
from otel_ext.exporters.retry import Backoff
from otel_ext.model import Finding, Severity
from otel_ext.settings import Links
from tests.doubles.alertmanager import AlertmanagerDouble

RUNTIME = Runtime(now_ns=time.time_ns, sleep=asyncio.sleep, random=lambda: 0.5)
LINKS = Links(langfuse_url="https://lf.example", langfuse_project="proj", grafana_url="https://grafana.example")


@pytest.fixture
async def alertmanager() -> AsyncIterator[AlertmanagerDouble]:
    double = AlertmanagerDouble()
    await double.start()
    yield double
    await double.stop()


def finding(trace: int = 1, **changes: object) -> Finding:
    found = Finding(
        time_unix_nano=time.time_ns(),
        trace_id=trace.to_bytes(16, "big"),
        span_id=b"\x01" * 8,
        type="loop",
        rule="loop/identical_calls",
        severity=Severity.CRITICAL,
        message="search called 4 times",
        agent="planner",
        service="shop",
    )
    return dataclasses.replace(found, **changes)  # type: ignore[arg-type]


async def lane(double: AlertmanagerDouble, runtime: Runtime = RUNTIME, **options: object) -> AlertmanagerAlerts:
    chosen = AlertOptions(**{"backoff": Backoff(initial_s=0.02, max_s=0.05), "interval_s": 0.2, **options})  # type: ignore[arg-type]
    alerts = AlertmanagerAlerts(double.url, LINKS, runtime, chosen, headers={"X-Scope-OrgID": "t"})
    await alerts.start()
    return alerts


async def test_a_finding_becomes_an_alert_with_links_to_its_trace(alertmanager: AlertmanagerDouble) -> None:
    """Labels say what, annotations where; ids are no labels."""
    alerts = await lane(alertmanager, runbook_url="https://docs.example/AgentFinding")
    assert alerts.submit(finding(0xABC))
    assert (await alerts.drain(5)).records == 0
    (post,) = alertmanager.posts
    assert post["labels"] == {
        "alertname": "AgentFinding",
        "severity": "critical",
        "type": "loop",
        "rule": "loop/identical_calls",
        "agent": "planner",
        "service": "shop",
    }
    told, trace_id = post["annotations"], f"{0xABC:032x}"
    assert (told["trace_id"], told["traces"], told["description"]) == (trace_id, "1", "search called 4 times")
    assert told["langfuse_url"] == f"https://lf.example/project/proj/traces/{trace_id}"
    assert trace_id in unquote(told["tempo_url"])
    assert told["tempo_url"].startswith("https://grafana.example/explore?")
    assert post["generatorURL"] == told["tempo_url"]
    assert told["runbook_url"] == "https://docs.example/AgentFinding"
    assert alertmanager.headers[0]["X-Scope-OrgID"] == "t"


async def test_it_is_told_at_once_and_lasts_for_hold(alertmanager: AlertmanagerDouble) -> None:
    """No batch interval before the first; its end is `hold` from the post, so that it resolves by itself."""
    alerts = await lane(alertmanager, interval_s=3_600, hold_s=120)
    alerts.submit(finding())
    await asyncio.wait_for(alertmanager.arrived.wait(), 10)
    starts, ends = (datetime.fromisoformat(alertmanager.posts[0][key]) for key in ("startsAt", "endsAt"))
    assert 119 < (ends - starts).total_seconds() < 121
    await alerts.drain(5)


async def test_many_traces_are_one_alert_told_at_most_every_interval(alertmanager: AlertmanagerDouble) -> None:
    """A flood of findings is a handful of posts; the last one tells of the newest trace and of how many there are."""
    alerts = await lane(alertmanager, interval_s=0.2)
    for number in range(1, 101):
        alerts.submit(finding(number))
        await asyncio.sleep(0.002)
    await alerts.drain(5)
    assert len(alertmanager.alerts) == 1
    assert len(alertmanager.posts) <= 6
    assert alertmanager.posts[-1]["annotations"]["traces"] == "100"
    assert alertmanager.posts[-1]["annotations"]["trace_id"] == f"{100:032x}"


async def test_another_revision_of_a_trace_is_not_another_trace(alertmanager: AlertmanagerDouble) -> None:
    """A fact told twice counts once."""
    alerts = await lane(alertmanager)
    alerts.submit(finding(1))
    alerts.submit(finding(1, message="search called 5 times"))
    await alerts.drain(5)
    assert alertmanager.posts[-1]["annotations"]["traces"] == "1"
    assert alertmanager.posts[-1]["annotations"]["description"] == "search called 5 times"


async def test_rule_agent_and_severity_make_alerts_of_their_own(alertmanager: AlertmanagerDouble) -> None:
    """And they leave in one request."""
    alerts = await lane(alertmanager)
    alerts.submit(finding(1))
    alerts.submit(finding(1, rule="loop/cycle"))
    alerts.submit(finding(1, agent="support"))
    alerts.submit(finding(1, severity=Severity.HIGH))
    await alerts.drain(5)
    assert (len(alertmanager.alerts), alertmanager.requests) == (4, 1)


async def test_quiet_findings_wake_nobody(alertmanager: AlertmanagerDouble) -> None:
    """Below `min_severity` nothing is posted, and nothing counts as lost."""
    alerts = await lane(alertmanager)
    assert not alerts.submit(finding(severity=Severity.MEDIUM))
    await alerts.drain(5)
    assert (alertmanager.requests, alerts.overflow) == (0, 0)


async def test_what_is_taken_back_ends_at_once(alertmanager: AlertmanagerDouble) -> None:
    """While another trace stands, it stays and tells of that one."""
    alerts = await lane(alertmanager, interval_s=0.05, hold_s=600)
    alerts.submit(finding(1))
    alerts.submit(finding(2))
    alerts.submit(finding(2, withdrawn=True))
    await asyncio.sleep(0.2)
    assert alertmanager.posts[-1]["annotations"]["trace_id"] == f"{1:032x}"
    alerts.submit(finding(1, withdrawn=True))
    await alerts.drain(5)
    assert datetime.fromisoformat(alertmanager.posts[-1]["endsAt"]).timestamp() <= time.time()


async def test_taking_back_what_was_never_told_tells_nothing(alertmanager: AlertmanagerDouble) -> None:
    """There is no alert to end."""
    alerts = await lane(alertmanager)
    assert not alerts.submit(finding(1, withdrawn=True))
    await alerts.drain(5)
    assert not alertmanager.requests


async def test_an_outage_delays_the_alert_and_does_not_lose_it(alertmanager: AlertmanagerDouble) -> None:
    """Even one longer than `hold`: the end counts from the post."""
    alertmanager.fail_next(20, 503)
    alerts = await lane(alertmanager, hold_s=0.3)
    alerts.submit(finding())
    await asyncio.wait_for(alertmanager.arrived.wait(), 10)
    (post,) = alertmanager.posts
    assert datetime.fromisoformat(post["endsAt"]).timestamp() > time.time()
    assert (alerts.stats.retries, alerts.stats.sent_spans) == (20, 1)
    await alerts.drain(5)


async def test_retry_after_is_obeyed(alertmanager: AlertmanagerDouble) -> None:
    """The pause that was asked for is a minimum."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        await asyncio.sleep(0.01)

    alertmanager.fail_next(1, 429, retry_after="7")
    alerts = await lane(alertmanager, Runtime(now_ns=time.time_ns, sleep=sleep, random=lambda: 0.5))
    alerts.submit(finding())
    await asyncio.wait_for(alertmanager.arrived.wait(), 10)
    assert max(waited) >= 7
    await alerts.drain(5)


async def test_a_refused_alert_takes_no_other_with_it(alertmanager: AlertmanagerDouble) -> None:
    """They are posted one by one then; the bad one is counted by reason."""
    alertmanager.refuse_message = "poison"
    alerts = await lane(alertmanager)
    alerts.submit(finding(1))
    alerts.submit(finding(2, rule="loop/cycle", message="poison"))
    alerts.submit(finding(3, agent="support"))
    assert (await alerts.drain(5)).records == 0
    assert len(alertmanager.alerts) == 2
    assert alerts.stats.failed_spans == {"bad_data": 1}


async def test_the_lane_is_bounded_and_alerts_that_are_over_make_room(alertmanager: AlertmanagerDouble) -> None:
    """What finds no room is counted."""
    alerts = await lane(alertmanager, alerts_max=2, hold_s=0.1)
    assert [alerts.submit(finding(agent=f"agent {number}")) for number in range(4)] == [True, True, False, False]
    assert (alerts.overflow, alerts.queue_capacity) == (2, 2)
    await asyncio.sleep(0.3)
    assert alerts.submit(finding(agent="agent 9"))
    await alerts.drain(5)
    assert len(alertmanager.alerts) == 3


async def test_an_alert_that_was_over_starts_anew(alertmanager: AlertmanagerDouble) -> None:
    """Its count begins again."""
    alerts = await lane(alertmanager, hold_s=0.1, interval_s=0.05)
    alerts.submit(finding(1))
    await asyncio.sleep(0.3)
    alerts.submit(finding(2))
    await alerts.drain(5)
    first, second = alertmanager.posts
    assert second["annotations"]["traces"] == "1"
    assert second["startsAt"] > first["endsAt"]


async def test_shutdown_says_what_was_not_told(alertmanager: AlertmanagerDouble) -> None:
    """Within its time."""
    alertmanager.fail_next(10_000, 503)
    alerts = await lane(alertmanager)
    alerts.submit(finding())
    assert (await alerts.drain(0.2)).records == 1
