"""One whole stack for the tests that only ask it questions: both doors, one sidecar, every backend."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.langfuse import LangfuseDouble
from tests.e2e.kit import Stage
from tests.stack.kit import KEYS, Alertmanager, Alloy, Collector, Door, Prometheus, Running, Sidecar, Tempo, at, need
from tests.stack.programs import PROGRAMS


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("stack")


class Webhook:
    """What Alertmanager's webhook receiver posts to."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []
        taking = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                taking.bodies.append(body)
                if self.headers.get("Content-Type", "").startswith("application/json"):
                    taking.alerts += json.loads(body).get("alerts", [])
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://{at(self._server.server_port)}/alerts"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Stack:
    """What runs. Programs that cannot be had are None; a test asks for those it needs first."""

    sidecar: Sidecar
    langfuse: LangfuseDouble
    webhook: Webhook
    tempo: Tempo
    prometheus: Prometheus
    alertmanager: Alertmanager
    doors: dict[str, Door] = field(default_factory=dict)


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    it = Stage()
    yield it
    it.close()


@pytest.fixture(scope="session")
def langfuse(stage: Stage) -> Iterator[LangfuseDouble]:
    """Langfuse itself is a strict double: it has no single binary."""
    double = LangfuseDouble(public_key=KEYS["LANGFUSE_PUBLIC_KEY"], secret_key=KEYS["LANGFUSE_SECRET_KEY"])
    stage.run(double.start())
    yield double
    stage.run(double.stop())


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    it = Webhook()
    yield it
    it.close()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, langfuse: LangfuseDouble) -> Iterator[Stack]:
    """forward.alloy and forward.yaml, side by side in front of one sidecar."""
    need("tempo", "prometheus", "alertmanager")
    folder = tmp_path_factory.mktemp("stack")
    with ExitStack() as running:

        def started(program: Any) -> Any:
            running.callback(program.close)
            return program

        webhook = started(Webhook())
        alertmanager: Alertmanager = started(Alertmanager(folder, webhook.url))
        tempo: Tempo = started(Tempo(folder))
        environment = {"TEMPO_OTLP_ENDPOINT": tempo.otlp, "LANGFUSE_HOST": langfuse.host, "ALERTMANAGER_URL": alertmanager.url}
        sidecar: Sidecar = started(Sidecar(folder, "forward.yaml", environment))
        doors: dict[str, Door] = {}
        for name, kind, file in (("alloy", Alloy, "forward.alloy"), ("collector", Collector, "forward.yaml")):
            if PROGRAMS[name].found:
                doors[name] = started(kind(folder, file, {"SIDECAR_ENDPOINT": sidecar.otlp}))
        telemetry = [doors["collector"].telemetry] if isinstance(doors.get("collector"), Collector) else []
        targets = {
            "otel_ext": [host(sidecar.admin)],
            "alertmanager": [host(alertmanager.url)],
            "otelcol": [host(url) for url in telemetry],
            "tempo": [host(tempo.url)],
        }
        prometheus: Prometheus = started(Prometheus(folder, targets))
        yield Stack(sidecar, langfuse, webhook, tempo, prometheus, alertmanager, doors)


def host(url: str) -> str:
    """host:port of a URL."""
    return url.split("/")[2]


@pytest.fixture
def started() -> Iterator[Any]:
    """Programs of one test, closed in reverse order: `started(Tempo(...))`."""
    with ExitStack() as running:

        def keep(program: Running) -> Running:
            running.callback(program.close)
            return program

        yield keep


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Which programs ran, and loudly which did not."""
    for program in PROGRAMS.values():
        if not program.found:
            terminalreporter.write_line(f"{'!' * 20} {program.name} IS NOT HERE: what needs it did not run (`make stack`)", red=True)
