"""From a loop in an agent to a person: metric with exemplar, alert at Alertmanager, notification with a link that opens the trace."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.stack.conftest import Stack
from tests.stack.kit import need, until
from tests.stack.sending import Sent, send_agents

SCRAPES_S = 120.0  # of 15 s each, and rules after them


@pytest.fixture(scope="module")
def sent(stack: Stack) -> Sent:
    """Sample agents through the Collector, or Alloy where it is not here."""
    if not stack.doors:
        need("collector")
    sent = Sent()
    send_agents(stack.doors.get("collector") or stack.doors["alloy"], sent, times=2)
    return sent


def traceql_of(url: str) -> str:
    """The query that a link to Grafana's Explore opens."""
    panes = json.loads(parse_qs(urlsplit(url).query)["panes"][0])
    ((query,),) = [pane["queries"] for pane in panes.values()]
    assert {pane["datasource"] for pane in panes.values()} == {"tempo"}
    return str(query["query"])


def named(alerts: list[dict[str, Any]], name: str, **labels: str) -> list[dict[str, Any]]:
    return [alert for alert in alerts if alert["labels"].items() >= {"alertname": name, **labels}.items()]


LOOP = {"agent": "travel-planner", "type": "loop", "rule": "loop/identical_calls", "severity": "critical"}


def test_a_loop_is_an_alert_with_a_link_that_opens_the_trace(stack: Stack, sent: Sent) -> None:
    """otel_ext tells Alertmanager itself: before Prometheus has scraped."""
    (alert,) = until(lambda: named(stack.alertmanager.alerts(), "AgentFinding", **LOOP), "the alert of the loop", 15)
    told = alert["annotations"]
    assert traceql_of(told["tempo_url"]) == told["trace_id"]
    assert until(lambda: stack.tempo.spans(told["trace_id"]), "the trace behind the link")
    assert alert["generatorURL"] == told["tempo_url"]
    assert told["langfuse_url"].startswith(stack.langfuse.host)
    assert any(trace_id == told["trace_id"] for trace_id, _ in list(stack.langfuse.spans))


def test_it_reaches_the_webhook(stack: Stack, sent: Sent) -> None:
    """With the same links, a second after Alertmanager has it."""
    told = until(lambda: named(stack.webhook.alerts, "AgentFinding", **LOOP), "the webhook to be called", 30)[0]
    assert stack.tempo.spans(traceql_of(told["annotations"]["tempo_url"]))
    assert told["annotations"]["langfuse_url"]


def test_a_skipped_tool_is_an_alert(stack: Stack, sent: Sent) -> None:
    """Of its own, beside the loop."""
    assert until(lambda: named(stack.alertmanager.alerts(), "AgentFinding", agent="fact-checker", type="tool_skipping"), "the alert", 15)


def test_quiet_runs_raise_nothing(stack: Stack, sent: Sent) -> None:
    """Alerts name no agent that did nothing wrong."""
    until(lambda: named(stack.alertmanager.alerts(), "AgentFinding", **LOOP), "the alert of the loop")
    agents = {alert["labels"].get("agent") for alert in named(stack.alertmanager.alerts(), "AgentFinding", service="demo")}
    assert agents == {"travel-planner", "fact-checker"}


def test_prometheus_sees_the_first_finding(stack: Stack, sent: Sent) -> None:
    """A series that begins at 1 has no increase; the rule counts it all the same. Its link's search finds the traces."""
    rule = until(lambda: firing(stack, "AgentLooping"), "AgentLooping to fire", SCRAPES_S)
    (alert,) = [alert for alert in rule["alerts"] if alert["labels"]["agent"] == "travel-planner"]
    query = traceql_of(alert["annotations"]["traces_url"])
    assert until(lambda: stack.tempo.search(query) >= sent.traces("looping"), query)
    assert not stack.tempo.search(query) & sent.traces("healthy", "skipping", "spiking", "slow", "forgetful")


def firing(stack: Stack, name: str) -> dict[str, Any] | None:
    rules = [rule for rule in stack.prometheus.rules() if rule["name"] == name and rule["state"] == "firing"]
    return rules[0] if rules else None


def test_one_loop_is_not_told_twice(stack: Stack, sent: Sent) -> None:
    """Prometheus' alert about it reaches Alertmanager, and is muted by the one that has the trace."""
    looping = until(lambda: named(stack.alertmanager.alerts(), "AgentLooping", agent="travel-planner"), "Prometheus' alert", SCRAPES_S)
    (finding,) = named(stack.alertmanager.alerts(), "AgentFinding", **LOOP)
    assert until(lambda: named(stack.alertmanager.alerts(), "AgentLooping")[0]["status"]["inhibitedBy"], "the inhibition", 30) == [
        finding["fingerprint"]
    ]
    assert looping[0]["labels"]["rule"] == LOOP["rule"]


def test_every_rule_evaluates(stack: Stack, sent: Sent) -> None:
    """Recordings and alerts: after their first round each is in order, none has failed."""
    rules = until(lambda: all(rule["health"] != "unknown" for rule in stack.prometheus.rules()) and stack.prometheus.rules(), "a round")
    assert len(rules) > 25
    assert {(rule["name"], rule["health"], rule.get("lastError", "")) for rule in rules if rule["health"] != "ok"} == set()


def test_every_expression_is_a_query(stack: Stack, sent: Sent) -> None:
    """As a person would ask it."""
    for rule in stack.prometheus.rules():
        stack.prometheus.query(rule["query"])


def test_nothing_is_wrong_with_a_healthy_stack(stack: Stack, sent: Sent) -> None:
    """No alert about otel_ext itself."""
    until(lambda: stack.prometheus.query('up{job="otel_ext"} == 1'), "a scrape")
    until(lambda: stack.prometheus.query("otel_ext:accepted_spans:rate5m"), "a recording", SCRAPES_S)
    loud = {rule["name"] for rule in stack.prometheus.rules() if rule.get("alerts")}
    assert not {name for name in loud if name.startswith(("OtelExt", "Collector", "NoAgent"))}


@pytest.mark.parametrize(
    "metric",
    ["llm_request_duration_seconds_bucket", "mcp_tool_duration_seconds_bucket", "llm_tokens_used_total", "otel_ext_findings_total"],
)
def test_an_exemplar_is_a_trace_that_tempo_has(metric: str, stack: Stack, sent: Sent) -> None:
    """From a number to the trace behind it."""
    series = until(lambda: stack.prometheus.exemplars(metric), f"exemplars of {metric}", SCRAPES_S)
    ids = {exemplar["labels"]["trace_id"] for each in series for exemplar in each["exemplars"]}
    assert ids
    for trace_id in ids:
        assert stack.tempo.spans(trace_id), trace_id


def test_an_exemplar_of_a_finding_is_a_trace_with_that_finding(stack: Stack, sent: Sent) -> None:
    """The alert's own way from Prometheus to a trace."""
    expression = 'otel_ext_findings_total{rule="loop/identical_calls", agent="travel-planner"}'
    series = until(lambda: stack.prometheus.exemplars(expression), "an exemplar of the finding", SCRAPES_S)
    looping = stack.tempo.search('{ span.otel_ext.findings = "loop/identical_calls" }')
    assert {exemplar["labels"]["trace_id"] for each in series for exemplar in each["exemplars"]} <= looping


def test_the_costs_and_tokens_are_there(stack: Stack, sent: Sent) -> None:
    """What the cost alerts look at."""
    until(lambda: stack.prometheus.query('sum(llm_tokens_used_total{model="gpt-4o"}) > 0'), "tokens", SCRAPES_S)
    assert time.time() - float(stack.prometheus.query("timestamp(llm_tokens_used_total)")[0]["value"][1]) < 60
