"""What is shipped for Grafana agrees with its source, with our metrics and with our links."""

from __future__ import annotations

import http.server
import importlib.util
import json
import logging
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from collector_config.grafana.queries import HERE, Query, dashboards, label_queries, panels, queries
from otel_ext.correlate import urls
from otel_ext.exporters.declared import METRICS
from otel_ext.logs import JsonFormatter
from otel_ext.model import Finding, Severity
from otel_ext.settings import Links

SDK = "grafana_foundation_sdk"
COMMON_LABELS = {"job", "instance"}
LABELS_OF = {metric.exposed: {*metric.labels, *COMMON_LABELS} for metric in METRICS}
LABELS_OF |= {
    f"{m.exposed}_{part}": {*m.labels, *COMMON_LABELS, "le"}
    for m in METRICS
    if m.type == "histogram"
    for part in ("bucket", "count", "sum")
}
LABELS_OF |= dict.fromkeys(("process_cpu_seconds_total", "process_resident_memory_bytes"), COMMON_LABELS)
SERIES = re.compile(r"([a-z_]+)\{([^}]*)\}")
EVERY_QUERY = [query for dashboard in dashboards().values() for query in queries(dashboard)]


def source() -> dict[str, Any]:
    """The data sources by uid."""
    tree = yaml.safe_load((HERE / "provisioning" / "datasources" / "otel-ext.yaml").read_text())
    return {each["uid"]: each for each in tree["datasources"]}


def test_dashboards_are_what_their_source_makes() -> None:
    """Nobody edits the JSON by hand; `python -m collector_config.grafana.generate` writes it."""
    if importlib.util.find_spec(SDK) is None:
        warnings.warn(f"{SDK} is not installed: the dashboards were NOT compared with their source", stacklevel=1)
        pytest.skip(f"{SDK} is not installed; pip install -e '.[dev]' does")
    from collector_config.grafana.generate import generated

    committed = {path.name: path.read_text() for path in (HERE / "dashboards").iterdir()}
    assert committed == generated()


def test_there_are_four() -> None:
    """By their titles."""
    assert {each["title"] for each in dashboards().values()} == {
        "Silent failures",
        "LLM cost and tokens",
        "Agents and tools",
        "Pipeline health",
    }


@pytest.mark.parametrize("name", dashboards())
def test_every_panel_says_what_it_shows(name: str) -> None:
    """A title of its own, a description, a query, a place that overlaps no other."""
    shown = list(panels(dashboards()[name]))
    assert len({panel["title"] for panel in shown}) == len(shown)
    assert all(panel["description"] and panel["targets"] for panel in shown)
    taken = [(x, y) for p in shown for x in range(p["gridPos"].get("x", 0), p["gridPos"].get("x", 0) + p["gridPos"]["w"])
             for y in range(p["gridPos"].get("y", 0), p["gridPos"].get("y", 0) + p["gridPos"]["h"])]  # fmt: skip
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24


def names(query: Query) -> Iterator[tuple[str, set[str]]]:
    for metric, selector in SERIES.findall(query.text):
        yield metric, set(re.findall(r'(\w+)(?:=~|!=|=)"', selector))


@pytest.mark.parametrize("query", [each for each in EVERY_QUERY if each.source == "prometheus"], ids=lambda q: f"{q.panel}-{q.ref}")
def test_queries_name_metrics_and_labels_that_exist(query: Query) -> None:
    """Of the table of declared metrics; what is grouped by is a label of the metric too."""
    found = dict(names(query))
    assert found
    for metric, chosen in found.items():
        assert chosen <= LABELS_OF[metric], metric
    grouped = {label.strip() for group in re.findall(r"by \(([^)]*)\)", query.text) for label in group.split(",")}
    assert all(grouped <= LABELS_OF[metric] | {"le"} for metric in found)
    assert set(re.findall(r"\{\{(\w+)\}\}", query.legend)) <= grouped


def test_all_metrics_of_ours_are_shown_somewhere() -> None:
    """What nobody looks at need not be measured."""
    text = " ".join(query.text for query in EVERY_QUERY)
    assert {metric.exposed for metric in METRICS if metric.exposed not in text} == set()


def test_variables_are_filled_from_metrics_that_exist() -> None:
    """And every variable that a query uses is one of its dashboard's."""
    for dashboard in dashboards().values():
        assert all(label in LABELS_OF[selector] for _, selector, label in label_queries(dashboard))
        known = {variable["name"] for variable in dashboard["templating"]["list"]}
        text = json.dumps(dashboard["panels"])
        assert set(re.findall(r"\$\{?([a-z]\w*)", text)) <= known


def test_data_sources_lead_to_each_other() -> None:
    """Every uid that is named is one of theirs; it is the one that our links and dashboards take by default."""
    known = source()
    text = (HERE / "provisioning" / "datasources" / "otel-ext.yaml").read_text()
    assert set(re.findall(r"(?:datasourceUid|uid): (\w+)", text)) == set(known)
    assert Links().tempo_datasource in known
    chosen = {v["current"]["value"] for each in dashboards().values() for v in each["templating"]["list"] if v["type"] == "datasource"}
    assert chosen <= set(known)


def test_exemplars_lead_to_tempo_and_to_langfuse() -> None:
    """By the label that our exemplars carry, to the page that our links name."""
    tempo, langfuse = source()["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert (tempo["name"], tempo["datasourceUid"]) == ("trace_id", "tempo")
    filled = (
        langfuse["url"].replace("${LANGFUSE_URL}", "https://lf").replace("${LANGFUSE_PROJECT_ID}", "p").replace("$${__value.raw}", "{}")
    )
    assert filled.format("ab") == urls.fill(urls.langfuse_template(Links(langfuse_url="https://lf", langfuse_project="p")), "ab")


def test_spans_lead_to_metrics_by_names_that_exist() -> None:
    """The attributes that we add become the labels that we count by."""
    to_metrics = source()["tempo"]["jsonData"]["tracesToMetrics"]
    labels = {tag["value"] for tag in to_metrics["tags"]}
    for query in to_metrics["queries"]:
        (metric,) = re.findall(r"([a-z_]+)\{\$\$__tags\}", query["query"])
        assert labels & LABELS_OF[metric]


def test_log_lines_lead_to_traces() -> None:
    """The expressions of the Loki data source find both ids in a line as we log it."""
    finding = Finding(
        time_unix_nano=0, trace_id=b"\x01" * 16, span_id=b"\x02" * 8, type="loop", rule="loop/cycle", severity=Severity.HIGH,
        message="m", langfuse_trace_id="run-7",
    )  # fmt: skip
    record = logging.makeLogRecord({"name": "otel_ext.findings", "msg": "m", "finding": finding})
    line = JsonFormatter().format(record)
    tempo, langfuse = (re.search(each["matcherRegex"], line) for each in source()["loki"]["jsonData"]["derivedFields"])
    assert tempo is not None
    assert langfuse is not None
    assert (tempo[1], langfuse[1]) == ("01" * 16, "run-7")


class Grafana(http.server.BaseHTTPRequestHandler):
    """The part of its API that keeps correlations."""

    kept: list[dict[str, Any]] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self._answer(200 if self.kept else 404, self.kept)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.headers["Authorization"] == "Bearer hush"
        self.kept.append(body)
        self._answer(200, {"result": body})

    def _answer(self, status: int, body: object) -> None:
        assert self.path == "/api/datasources/uid/tempo/correlations"
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        pass


def test_the_button_on_spans_is_added_once() -> None:
    """As its API takes it; the address is the one that our links name."""
    server = http.server.HTTPServer(("127.0.0.1", 0), Grafana)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    script = [
        sys.executable,
        str(HERE / "correlations.py"),
        "--grafana",
        f"http://127.0.0.1:{server.server_port}",
        "--langfuse",
        "https://lf/",
        "--project",
        "p",
    ]
    said = [subprocess.run(script, capture_output=True, text=True, check=True, env={"GRAFANA_TOKEN": "hush"}).stdout for _ in range(2)]
    server.shutdown()
    assert said == ["Open in Langfuse: added to tempo\n", "Open in Langfuse: is there already\n"]
    (kept,) = Grafana.kept
    page = urls.langfuse_template(Links(langfuse_url="https://lf", langfuse_project="p"))
    assert kept["config"]["target"]["url"] == urls.fill(page, "ID").replace("ID", "${traceID}")


def test_the_folder_is_complete() -> None:
    """The provisioned path is where its comment says that the files go."""
    tree = yaml.safe_load((Path(HERE) / "provisioning" / "dashboards" / "otel-ext.yaml").read_text())
    assert [each["options"]["path"] for each in tree["providers"]] == ["/var/lib/grafana/dashboards/otel-ext"]
