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


@pytest.fixture(scope="module")
def shown(stack: Stack) -> Sent:
    """Traffic that every panel has something to say about, scraped."""
    if not stack.doors:
        need("collector")
    door = stack.doors.get("collector") or stack.doors["alloy"]
    sent = Sent()
    send_agents(door, sent, times=2)
    send_with_sdk(door, sent)
    send_stored(door, sent, limit=30)
    until(lambda: stack.prometheus.query("rate(llm_tokens_used_total[1m])"), "two scrapes", 120)
    return sent


@pytest.mark.parametrize("query", QUERIES, ids=name_of)
def test_a_panels_query_is_answered(query: Query, stack: Stack, shown: Sent) -> None:
    """Without an error; what a healthy stack has nothing of, it may answer with nothing."""
    if query.source == "tempo":
        stack.tempo.search(query.filled())
    else:
        stack.prometheus.query(query.filled())
