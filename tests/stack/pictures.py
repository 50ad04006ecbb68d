"""Pictures of the dashboards: agents' traffic through a real sidecar, a real Prometheus that scrapes it, every panel's query, an SVG each.

    python -m tests.stack.pictures --minutes 12 --prometheus /usr/bin/prometheus

Prometheus is Debian's package. Destinations are the strict doubles of the tests. Writes docs/pictures/*.svg.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from collector_config.grafana.draw import Series, drawn
from collector_config.grafana.queries import Query, dashboards, panels, queries
from tests.e2e.kit import ROOT, Langfuse, Process, Stage, Tempo, config, started, until
from tests.stack.traffic import request

SCRAPE_S = 2
WINDOW = "30s"
STEP_S = 5
PICTURES = ROOT / "docs" / "pictures"


class Prometheus:
    """A Prometheus process on loopback that scrapes one address."""

    def __init__(self, program: str, directory: Path, target: str) -> None:
        file = directory / "prometheus.yml"
        jobs = [{"job_name": "otel-ext", "static_configs": [{"targets": [target]}]}]
        file.write_text(json.dumps({"global": {"scrape_interval": f"{SCRAPE_S}s"}, "scrape_configs": jobs}))
        with socket.socket() as chosen:
            chosen.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{chosen.getsockname()[1]}"
        arguments = [f"--config.file={file}", f"--storage.tsdb.path={directory}/data", f"--web.listen-address={address}"]
        self._log = (directory / "prometheus.log").open("wb")
        self._process = subprocess.Popen([program, *arguments, "--enable-feature=exemplar-storage"], stderr=self._log)
        self._url = f"http://{address}/api/v1"
        until(self._ready, "Prometheus")

    def _ready(self) -> bool:
        assert self._process.poll() is None, "Prometheus ended"
        try:
            return bool(self.ask("query", query="vector(1)"))
        except OSError:
            return False

    def ask(self, path: str, **arguments: str) -> list[dict[str, Any]]:
        """The result of a query; raises URLError."""
        with urllib.request.urlopen(f"{self._url}/{path}?{urllib.parse.urlencode(arguments)}", timeout=20) as answer:  # loopback
            result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return result

    def series(self, query: Query, minutes: float, now: float) -> list[Series]:
        """What *query* gives: over the *minutes* up to *now*, or at the end where the panel wants one number."""
        step = query.step or f"{STEP_S}s"
        text = query.filled(__rate_interval=WINDOW, __range=f"{minutes * 60:.0f}s", __interval=step)
        if query.instant:
            found = self.ask("query", query=text, time=f"{now:.0f}")
            return [_series(query, each["metric"], [each["value"]]) for each in found]
        found = self.ask("query_range", query=text, start=f"{now - minutes * 60:.0f}", end=f"{now:.0f}", step=step)
        return [_series(query, each["metric"], each["values"]) for each in found]

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()
        self._log.close()


def _series(query: Query, labels: dict[str, str], points: list[list[Any]]) -> Series:
    name = query.legend
    for label, value in labels.items():
        name = name.replace("{{" + label + "}}", value)
    return Series(name, [(float(at), float(value)) for at, value in points], labels)


def send(sidecar: Process, minutes: float) -> None:
    """Traffic for that long, some runs a second, by dice that fall the same way every time."""
    dice = random.Random(7)
    end = time.monotonic() + minutes * 60
    while (left_s := end - time.monotonic()) > 0:
        sidecar.export(request(dice, time.time_ns()))
        if dice.random() < 0.02:
            sidecar.post(b"no request")
        if dice.random() < 0.05:
            pass_on(sidecar)
        time.sleep(min(left_s, dice.expovariate(2.0)))


def pass_on(sidecar: Process) -> None:
    """A request that is no spans, as an SDK sends it."""
    connection = http.client.HTTPConnection(sidecar.http, timeout=10)
    try:
        connection.request("GET", "/api/public/health")
        connection.getresponse().read()
    finally:
        connection.close()


def pictures(prometheus: Prometheus, minutes: float) -> None:
    """One file a dashboard."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    now = time.time()
    for name, dashboard in dashboards().items():
        data: dict[str, list[list[Series]]] = {}
        for query in queries(dashboard):
            if query.source == "prometheus":
                data.setdefault(query.panel, []).append(prometheus.series(query, minutes, now))
        (PICTURES / name.replace(".json", ".svg")).write_text(drawn(dashboard, panels(dashboard), data, (now - minutes * 60, now)))
        print(f"{dashboard['title']}: without data: {', '.join(title for title, found in data.items() if not any(found)) or 'none'}")


def main() -> None:
    """Run it all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--prometheus", default=shutil.which("prometheus") or "prometheus")
    chosen = parser.parse_args()
    stage = Stage()
    tempo, langfuse = Tempo(stage), Langfuse(stage)
    with tempfile.TemporaryDirectory() as directory, started(stage, tempo, langfuse):
        sidecar = Process(Path(directory), config(tempo, langfuse))
        prometheus = Prometheus(chosen.prometheus, Path(directory), sidecar.admin)
        try:
            send(sidecar, chosen.minutes)
            pictures(prometheus, chosen.minutes)
        finally:
            prometheus.stop()
            sidecar.close()
    stage.close()


if __name__ == "__main__":
    main()
