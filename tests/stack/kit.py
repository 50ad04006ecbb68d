"""The stack's real programs on loopback: start, ask, stop, kill. Every file of collector_config is run as it is, its environment set."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.stack.programs import PROGRAMS

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "collector_config"
PATIENCE_S = 90.0
CLOSE_S = 5.0  # then it is killed: a test is over
KEYS = {"LANGFUSE_PUBLIC_KEY": "pk-lf-stack", "LANGFUSE_SECRET_KEY": "sk-lf-stack"}
GRAFANA, LANGFUSE_PROJECT = "http://grafana.example", "stack"


def need(*names: str) -> None:
    """Skip the test where one of these programs cannot be had, and say which."""
    missing = [name for name in names if not PROGRAMS[name].found]
    if missing:
        pytest.skip(f"NOT RUN: {', '.join(missing)} is not here; `make stack` gets it")


def binary(name: str) -> str:
    """The path of a program of the stack; skips where it is not here."""
    need(name)
    return str(PROGRAMS[name].found)


def until(condition: Callable[[], T], what: str, timeout_s: float = PATIENCE_S) -> T:
    """What *condition* gives once it is true; fails when that takes too long."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {timeout_s:g} s in vain for {what}"
        time.sleep(0.1)
    return value


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now; all open at once, so that they differ."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


def at(port: int) -> str:
    return f"127.0.0.1:{port}"


def get(url: str, accept: str = "*/*") -> tuple[int, bytes]:
    """Status and body; 0 where nobody answers."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": accept}), timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except (OSError, urllib.error.URLError) as error:
        return 0, str(error).encode()


def ask(url: str, **parameters: Any) -> Any:
    """The JSON answer to a GET that must succeed."""
    status, body = get(f"{url}?{urlencode(parameters)}" if parameters else url)
    assert status == 200, (url, parameters, status, body[:500])
    return json.loads(body)


class Running:
    """A program that runs; `ready` is a URL that answers 200 once it does."""

    def __init__(self, folder: Path, name: str, command: Sequence[str | Path], ready: str, environment: Mapping[str, str]) -> None:
        self.name, self._command, self._ready = name, [str(part) for part in command], ready
        self._log = folder / f"{name}.log"
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "LANGFUSE_", "HTTP", "http"))}
        self._environment = {**kept, **environment}
        self._folder = folder
        self.start()

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def start(self) -> None:
        """Start, and wait until it answers."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._folder, env=self._environment
            )
        try:
            until(self._answers, f"{self.name} to be ready: {self.log[-1500:]}")
        except BaseException:
            self.close()
            raise

    def _answers(self) -> bool:
        assert self.process.poll() is None, f"{self.name} ended with {self.process.returncode}: {self.log[-1500:]}"
        return get(self._ready)[0] == 200

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the signal and wait for the end; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(CLOSE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def folder_of(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Tempo(Running):
    """collector_config/tempo/tempo.yaml."""

    def __init__(self, parent: Path, write_url: str = "http://127.0.0.1:9/api/v1/write") -> None:
        http, grpc, otlp_grpc, otlp_http = free_ports(4)
        self.url, self.otlp, self.otlp_http = f"http://{at(http)}", at(otlp_grpc), at(otlp_http)
        folder = folder_of(parent, "tempo")
        environment = {
            "TEMPO_HTTP_PORT": str(http),
            "TEMPO_GRPC_PORT": str(grpc),
            "TEMPO_OTLP_GRPC": self.otlp,
            "TEMPO_OTLP_HTTP": at(otlp_http),
            "TEMPO_DATA": str(folder / "data"),
            "PROMETHEUS_WRITE_URL": write_url,
        }
        command = [binary("tempo"), f"-config.file={CONFIG / 'tempo' / 'tempo.yaml'}", "-config.expand-env=true"]
        super().__init__(folder, "tempo", command, f"{self.url}/ready", environment)

    def spans(self, trace_id: str) -> list[Span]:
        """The spans of a trace; none where Tempo has no such trace."""
        status, body = get(f"{self.url}/api/traces/{trace_id}", "application/protobuf")
        assert status in (200, 404), (status, body[:300])
        if status == 404:
            return []
        return [span for resource in TracesData.FromString(body).resource_spans for scope in resource.scope_spans for span in scope.spans]

    def search(self, query: str, limit: int = 5_000) -> set[str]:
        """Ids of the traces that a TraceQL query finds in the last hour."""
        now = int(time.time())
        found = ask(f"{self.url}/api/search", q=query, limit=limit, start=now - 3_600, end=now + 60)
        return {trace["traceID"].rjust(32, "0") for trace in found.get("traces") or []}

    def received(self) -> float:
        """Spans that its receivers took since it started."""
        return value_of(f"{self.url}/metrics", "tempo_distributor_spans_received_total")


def value_of(url: str, name: str, **labels: str) -> float:
    """The sum of the samples of a page of metrics whose labels hold *labels*."""
    status, body = get(url)
    assert status == 200, (url, status)
    samples = [sample for family in parse_text(body.decode()) for sample in family.samples]
    return float(sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items()))


class Sidecar(Running):
    """`otel-ext serve` with a file of collector_config/otel_ext."""

    def __init__(self, parent: Path, file: str, environment: Mapping[str, str], name: str = "otel_ext") -> None:
        port, admin = free_ports(2)
        self.otlp, self.admin = at(port), f"http://{at(admin)}"
        defaults = {
            "SIDECAR_LISTEN": self.otlp,
            "SIDECAR_METRICS": at(admin),
            "GRAFANA_URL": GRAFANA,
            "LANGFUSE_PROJECT_ID": LANGFUSE_PROJECT,
            "PYTHONPATH": str(ROOT),
        }
        command = [sys.executable, "-m", "otel_ext", "serve", "--config", CONFIG / "otel_ext" / file]
        super().__init__(folder_of(parent, name), name, command, f"{self.admin}/health", {**defaults, **KEYS, **environment})

    def value(self, name: str, **labels: str) -> float:
        return value_of(f"{self.admin}/metrics", name, **labels)

    def finding_spans(self) -> float:
        """Spans that it made: what it sent to Tempo less what it took."""
        return self.value("otelcol_exporter_sent_spans_total", exporter="tempo") - self.value("otelcol_receiver_accepted_spans_total")

    @property
    def is_delivered(self) -> bool:
        """Nothing waits for any destination."""
        return self.value("otelcol_exporter_queue_size") == 0


class Door(Running):
    """Where applications send to: a Collector or an Alloy."""

    grpc: str
    http: str


class Collector(Door):
    """Files of collector_config/otelcol, laid over each other."""

    def __init__(self, parent: Path, file: str, environment: Mapping[str, str], *more: str) -> None:
        grpc, http, health, telemetry = free_ports(4)
        self.grpc, self.http, self.telemetry = at(grpc), at(http), f"http://{at(telemetry)}/metrics"
        folder = folder_of(parent, "collector")
        ours = {
            "OTLP_GRPC_LISTEN": self.grpc,
            "OTLP_HTTP_LISTEN": self.http,
            "HEALTH_LISTEN": at(health),
            "TELEMETRY_PORT": str(telemetry),
            "QUEUE_DIRECTORY": str(folder / "queue"),
        }
        command = [binary("collector"), *(f"--config={CONFIG / 'otelcol' / name}" for name in (file, *more))]
        super().__init__(folder, "collector", command, f"http://{at(health)}/", {**ours, **environment})


class Alloy(Door):
    """A file of collector_config/alloy."""

    def __init__(self, parent: Path, file: str, environment: Mapping[str, str]) -> None:
        grpc, http, own = free_ports(3)
        self.grpc, self.http = at(grpc), at(http)
        folder = folder_of(parent, "alloy")
        ours = {"OTLP_GRPC_LISTEN": self.grpc, "OTLP_HTTP_LISTEN": self.http, "QUEUE_DIRECTORY": str(folder / "queue")}
        command = [binary("alloy"), "run", "--stability.level=public-preview", "--disable-reporting"]
        command += [f"--server.http.listen-addr={at(own)}", f"--storage.path={folder / 'data'}", str(CONFIG / "alloy" / file)]
        super().__init__(folder, "alloy", command, f"http://{at(own)}/-/ready", {**ours, **environment})


class Prometheus(Running):
    """collector_config/prometheus: the configuration and its rules as they are, the files of targets written anew."""

    FLAGS = ("--enable-feature=exemplar-storage", "--web.enable-remote-write-receiver")

    def __init__(self, parent: Path, targets: Mapping[str, Iterable[str]]) -> None:
        (port,) = free_ports(1)
        self.url = f"http://{at(port)}"
        folder = folder_of(parent, "prometheus")
        shutil.copytree(CONFIG / "prometheus", folder / "config", dirs_exist_ok=True)
        for name in (path.stem for path in (CONFIG / "prometheus" / "targets").glob("*.json")):
            content = [{"targets": list(targets.get(name, ()))}]
            (folder / "config" / "targets" / f"{name}.json").write_text(json.dumps(content))
        command = [binary("prometheus"), f"--config.file={folder / 'config' / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
        command += [f"--web.listen-address={at(port)}", *self.FLAGS]
        super().__init__(folder, "prometheus", command, f"{self.url}/-/ready", {})

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The result of an instant query."""
        result: list[dict[str, Any]] = ask(f"{self.url}/api/v1/query", query=expression)["data"]["result"]
        return result

    def exemplars(self, expression: str) -> list[dict[str, Any]]:
        """What query_exemplars has of the last hour."""
        now = time.time()
        result: list[dict[str, Any]] = ask(f"{self.url}/api/v1/query_exemplars", query=expression, start=now - 3_600, end=now + 60)["data"]
        return result

    def rules(self) -> list[dict[str, Any]]:
        """All rules with their state."""
        return [rule for group in ask(f"{self.url}/api/v1/rules")["data"]["groups"] for rule in group["rules"]]


class Alertmanager(Running):
    """collector_config/alertmanager: as it is, but for the webhook's address."""

    def __init__(self, parent: Path, webhook: str) -> None:
        (port,) = free_ports(1)
        self.url = f"http://{at(port)}"
        folder = folder_of(parent, "alertmanager")
        shutil.copytree(CONFIG / "alertmanager", folder / "config", dirs_exist_ok=True)
        file = folder / "config" / "alertmanager.yml"
        text = file.read_text()
        assert "http://127.0.0.1:9095/alerts" in text
        file.write_text(text.replace("http://127.0.0.1:9095/alerts", webhook))
        command = [binary("alertmanager"), f"--config.file={file}", f"--storage.path={folder / 'data'}"]
        command += [f"--web.listen-address={at(port)}", "--cluster.listen-address="]
        super().__init__(folder, "alertmanager", command, f"{self.url}/-/ready", {})

    def alerts(self) -> list[dict[str, Any]]:
        """What it holds now."""
        result: list[dict[str, Any]] = ask(f"{self.url}/api/v2/alerts")
        return result
