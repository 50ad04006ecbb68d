"""Every query of every dashboard panel, asked of the real Prometheus and Tempo."""

from __future__ import annotations

import pytest

from collector_config.grafana.queries import Query, dashboards, queries
from tests.stack.conftest import Stack
from tests.stack.kit import need, until
from tests.stack.sending import Sent, send_agents, send_stored, send_with_sdk

QUERIES = [query for dashboard in dashboards().values() for query in queries(dashboard)]


def name_of(query: Query) -> str:
    return f"{query.dashboard} / {query.panel} / {query.ref}"


# What a healthy stack that is a few minutes old has nothing of.
NOTHING_OF = {
    "offset 1d": "it did not run yesterday",
    "otel_ext_trace_cost_dollars": "a trace must have been quiet for five minutes",
    "otel_ext_unpriced_calls": "every model here has a price",
    "otel_ext_dropped": "nothing is given up",
    "otel_ext_series_overflow": "there is room for every label",
    "otel_ext_redacted": "redaction is off",
    "otel_ext_stand_in": "nothing stands in for Langfuse",
}


@pytest.fixture(scope="module")
def shown(stack: Stack) -> Sent:
    """Traffic that every panel has something to say about, before a scrape and after it: a rate needs both."""
    if not stack.doors:
        need("collector")
    door = stack.doors.get("collector") or stack.doors["alloy"]
    sent = Sent()
    for query in ("llm_tokens_used_total > 0", "sum(rate(llm_request_duration_seconds_count[1m])) > 0"):
        send_agents(door, sent, times=2)
        send_with_sdk(door, sent)
        send_stored(door, sent, limit=30, first=len(sent.named.get("stored", ())) // 2)
        until(lambda: stack.prometheus.query(query), query, 120)  # noqa: B023 -- called at once
    return sent


@pytest.mark.parametrize("query", QUERIES, ids=name_of)
def test_a_panels_query_is_answered(query: Query, stack: Stack, shown: Sent) -> None:
    """With data; with nothing, and no error, where there is nothing to tell."""
    text = query.filled()
    if any(word in text for word in NOTHING_OF):
        stack.prometheus.query(text)
    elif query.source == "tempo":
        assert until(lambda: stack.tempo.search(text), text, 30)
    else:
        assert until(lambda: stack.prometheus.query(text), text, 30)
