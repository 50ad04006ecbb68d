"""What the dashboards ask Prometheus and Tempo, read from their JSON: for tests that run every query for real, and for pictures.

Needs nothing but the standard library.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
FOLDER: Final = HERE / "dashboards"
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::\w+)?\}|(\w+))")
# What Grafana would put in for a range of an hour of data scraped every 15 s, with every variable on "All".
DEFAULTS: Final[Mapping[str, str]] = {"__rate_interval": "1m", "__range": "1h", "__interval": "1m", "__range_s": "3600"}


@dataclass(frozen=True, slots=True)
class Query:
    """One target of one panel. `source` is prometheus or tempo; `instant` asks for one moment; `kind` is the panel's."""

    dashboard: str
    panel: str
    kind: str
    ref: str
    source: str
    text: str
    legend: str
    instant: bool
    exemplars: bool
    step: str  # the panel's least time from point to point, "" for Grafana's choice

    def filled(self, **values: str) -> str:
        """The text with every variable replaced: by *values*, by DEFAULTS, else by `.*`, which is "All"."""
        known = {**DEFAULTS, **values}
        return _VARIABLE.sub(lambda match: known.get(match[1] or match[2], ".*"), self.text)


def dashboards() -> dict[str, dict[str, Any]]:
    """The committed dashboards by file name."""
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}


def panels(dashboard: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every panel, those in rows too; rows themselves are left out."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel.get("panels", ())
        else:
            yield panel


def queries(dashboard: Mapping[str, Any]) -> list[Query]:
    """Every target of every panel, in order."""
    return [_query(dashboard, panel, target) for panel in panels(dashboard) for target in panel.get("targets", ())]


def _query(dashboard: Mapping[str, Any], panel: Mapping[str, Any], target: Mapping[str, Any]) -> Query:
    return Query(
        dashboard=dashboard["title"],
        panel=panel["title"],
        kind=panel["type"],
        ref=target["refId"],
        source=target["datasource"]["type"],
        text=target.get("expr") or target["query"],
        legend=target.get("legendFormat", ""),
        instant=bool(target.get("instant")),
        exemplars=bool(target.get("exemplar")),
        step=panel.get("interval") or "",
    )


def label_queries(dashboard: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(variable, series selector, label) of every variable that is filled from Prometheus."""
    found = []
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            selector, label = variable["query"]["query"].removeprefix("label_values(").removesuffix(")").rsplit(", ", 1)
            found.append((variable["name"], selector, label))
    return found
