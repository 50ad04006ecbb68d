"""Deep links into both systems, from ids. Pure text; empty where the configuration does not say where a system lives."""

from __future__ import annotations

import json
from typing import Final
from urllib.parse import quote

from otel_ext.settings import Links

ID: Final = "{trace_id}"


def langfuse_template(links: Links) -> str:
    """The trace's page with `{trace_id}` in it. The long form: newer Langfuse servers leave the table empty that the short one reads."""
    if not links.langfuse_url:
        return ""
    project = f"/project/{quote(links.langfuse_project)}/traces/" if links.langfuse_project else "/trace/"
    return links.langfuse_url + project + ID


def tempo_template(links: Links) -> str:
    """Grafana Explore on the trace, with `{trace_id}` in it."""
    if not links.grafana_url:
        return ""
    source = {"type": "tempo", "uid": links.tempo_datasource}
    query = {"refId": "A", "datasource": source, "queryType": "traceql", "query": "TRACE"}
    panes = {"t": {"datasource": links.tempo_datasource, "queries": [query], "range": {"from": "now-24h", "to": "now"}}}
    quoted = quote(json.dumps(panes, separators=(",", ":")), safe="")
    return f"{links.grafana_url}/explore?schemaVersion=1&orgId=1&panes={quoted.replace('TRACE', ID)}"


def fill(template: str, trace_id: str) -> str:
    """The link to *trace_id*; "" where there is no template."""
    return template.replace(ID, quote(trace_id, safe=""))
