"""What the end-to-end tests share: a real sidecar (a process of its own, or in this one), strict destinations, real senders, polling.

Tests are plain functions, as senders are; destinations live on an event loop in a thread of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import grpc
import yaml
from aiohttp import web
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from otel_ext.app import Sidecar
from otel_ext.configfile import load
from otel_ext.exporters.base import Runtime
from otel_ext.receivers.grpc import EXPORT
from tests.doubles.langfuse import LangfuseDouble, StoredSpan
from tests.doubles.tempo import TempoDouble

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
PATIENCE_S = 15.0
SETTLE_S = 0.3
FREE = "127.0.0.1:0"
PUBLIC_KEY, SECRET_KEY = "pk-lf-e2e-4711", "sk-lf-e2e-0815"
LINKS = {"langfuse_url": "https://lf.example", "langfuse_project": "proj", "grafana_url": "https://grafana.example"}
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def until(condition: Callable[[], T], what: str = "", timeout_s: float = PATIENCE_S) -> T:
    """What *condition* gives once it is true; fails when that takes too long."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what or condition}"
        time.sleep(0.01)
    return value


class Stage:
    """An event loop in a thread, for destinations and for sidecars inside of this process."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run *work* to its end."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE_S * 2)

    def close(self) -> None:
        """Stop the loop."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class Tempo(TempoDouble):
    """The strict double, and the bodies as they came."""

    def __init__(self, stage: Stage, **options: Any) -> None:
        super().__init__(**options)
        self.stage = stage
        self.bodies: list[bytes] = []
        self.poison: bytes = b""  # id of a span that is refused, and the push with it
        self.why = "one of these spans is poison"

    async def _push(self, transport: str, body: bytes, headers: dict[str, str]) -> bytes:
        self.bodies.append(body)
        return await super()._push(transport, body, headers)

    def _validate(self, spans: list[tuple[dict[str, str], Span]]) -> None:
        super()._validate(spans)
        if self.poison and any(span.span_id == self.poison for _, span in spans):
            self.fail_next(1, "INVALID_ARGUMENT", message=self.why)
            raise self._failures.pop()

    def of(self, trace_id: str) -> dict[str, Span]:
        """The spans of a trace by span id; finding spans too."""
        return {span.span_id.hex(): span for span in list(self.spans) if span.trace_id.hex() == trace_id}

    def named(self, trace_id: str, name: str) -> list[Span]:
        return [span for span in list(self.spans) if span.trace_id.hex() == trace_id and span.name == name]

    def counts(self, trace_id: str) -> Counter[str]:
        """How often each span of a trace was accepted."""
        return Counter(span.span_id.hex() for span in list(self.spans) if span.trace_id.hex() == trace_id)


class Langfuse(LangfuseDouble):
    """The strict double, and the spans as they came, duplicate keys included."""

    def __init__(self, stage: Stage, **options: Any) -> None:
        super().__init__(public_key=PUBLIC_KEY, secret_key=SECRET_KEY, **options)
        self.stage = stage
        self.wire: list[Span] = []

    def _take_spans(self, request: web.Request, body: bytes) -> tuple[int, dict[str, Any]]:
        answer = super()._take_spans(request, body)
        self.wire.extend(spans_of(ExportTraceServiceRequest.FromString(body)))
        return answer

    def of(self, trace_id: str) -> dict[str, StoredSpan]:
        return {span_id: span for (trace, span_id), span in list(self.spans.items()) if trace == trace_id}

    def counts(self, trace_id: str) -> Counter[str]:
        return Counter({span_id: count for (trace, span_id), count in list(self.arrivals.items()) if trace == trace_id})

    def scores_of(self, trace_id: str) -> list[dict[str, Any]]:
        return [score for score in list(self.scores.values()) if score.get("traceId") == trace_id]


def spans_of(request: ExportTraceServiceRequest) -> list[Span]:
    return [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]


def keys_of(span: Span) -> list[str]:
    return [pair.key for pair in span.attributes]


def attributes_of(span: Any) -> dict[str, Any]:
    """Attributes as Python values; of lists the strings."""
    values: dict[str, Any] = {}
    for pair in span.attributes:
        kind = pair.value.WhichOneof("value")
        value = getattr(pair.value, kind) if kind else None
        values[pair.key] = [item.string_value for item in value.values] if kind == "array_value" else value
    return values


def trace_id_of(data: bytes) -> str:
    return spans_of(ExportTraceServiceRequest.FromString(data))[0].trace_id.hex()


def new_trace() -> bytes:
    return secrets.token_bytes(16)


# -- the sidecar


def config(tempo: Tempo | None = None, langfuse: Langfuse | None = None, *, protocol: str = "grpc", **sections: Any) -> dict[str, Any]:
    """A configuration on free ports. *sections* are merged into it, two levels deep."""
    exporters: dict[str, Any] = {"prometheus": {}}
    if tempo:
        exporters["tempo"] = {"endpoint": tempo.grpc_endpoint if protocol == "grpc" else tempo.http_endpoint, "protocol": protocol}
    if langfuse:
        exporters["langfuse"] = {"host": langfuse.host, "public_key": PUBLIC_KEY, "secret_key": SECRET_KEY}
    tree: dict[str, Any] = {
        "receivers": {"grpc": {"endpoint": FREE}, "http": {"endpoint": FREE}},
        "admin": {"endpoint": FREE},
        "links": dict(LINKS),
        "detect": {"tool_skipping": {"settle": f"{SETTLE_S}s"}},
        "exporters": exporters,
    }
    for name, section in sections.items():
        if not isinstance(section, dict):
            tree[name] = section
            continue
        for key, value in section.items():
            known = tree.setdefault(name, {}).get(key)
            tree[name][key] = {**known, **value} if isinstance(known, dict) and isinstance(value, dict) else value
    return tree


def environment(**extra: str) -> dict[str, str]:
    """The environment of this process, less what would change a sidecar or a sender."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "LANGFUSE_"))}
    return {**kept, **extra}


def command(*arguments: str, data: bytes | None = None, **extra: str) -> subprocess.CompletedProcess[bytes]:
    """One `otel-ext` command to its end."""
    line = [sys.executable, "-m", "otel_ext", *arguments]
    return subprocess.run(line, input=data, capture_output=True, cwd=ROOT, env=environment(**extra), timeout=60, check=False)


class Endpoints:
    """Addresses of a running sidecar, and ways to talk to it."""

    grpc: str
    http: str
    admin: str

    def get(self, path: str, accept: str = "") -> tuple[int, str]:
        """Status and body of a page of the admin port."""
        connection = http.client.HTTPConnection(self.admin, timeout=PATIENCE_S)
        try:
            connection.request("GET", path, headers={"Accept": accept} if accept else {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def ready(self) -> tuple[int, dict[str, Any]]:
        """Status, and the rows of /ready by destination."""
        status, body = self.get("/ready")
        return status, {row["name"]: row for row in json.loads(body)["destinations"]}

    def samples(self, name: str, **labels: str) -> list[Any]:
        """Samples of /metrics in OpenMetrics whose labels hold *labels*."""
        families = parse_openmetrics(self.get("/metrics", OPENMETRICS)[1])
        return [s for family in families for s in family.samples if s.name == name and labels.items() <= s.labels.items()]

    def value(self, name: str, **labels: str) -> float:
        """The sum of those samples."""
        return float(sum(sample.value for sample in self.samples(name, **labels)))

    def post(
        self, body: bytes, media: str = "application/x-protobuf", path: str = "/v1/traces", **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        """One request over HTTP: status, body, headers."""
        connection = http.client.HTTPConnection(self.http, timeout=PATIENCE_S)
        try:
            connection.request("POST", path, body=body, headers={"Content-Type": media, **headers})
            answer = connection.getresponse()
            return answer.status, answer.read(), dict(answer.getheaders())
        finally:
            connection.close()

    def ask(self, method: str, path: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        """One request without a body over HTTP: status, body, headers."""
        connection = http.client.HTTPConnection(self.http, timeout=PATIENCE_S)
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read(), dict(answer.getheaders())
        finally:
            connection.close()

    def export(self, body: bytes, media: str = "application/x-protobuf") -> None:
        """One request over HTTP that must be taken whole."""
        status, answer, _ = self.post(body, media)
        assert (status, answer) == (200, b"{}" if "json" in media else b""), answer

    def call(self, body: bytes) -> ExportTraceServiceResponse:
        """One request over gRPC; raises grpc.RpcError."""
        with grpc.insecure_channel(self.grpc) as channel:
            return ExportTraceServiceResponse.FromString(channel.unary_unary(EXPORT)(body, timeout=PATIENCE_S))


def status_of(error: grpc.RpcError) -> Status:
    """The google.rpc.Status in the trailers of *error*."""
    details = dict(error.trailing_metadata() or ())
    return Status.FromString(details["grpc-status-details-bin"])


class Process(Endpoints):
    """`python -m otel_ext serve`, listening."""

    def __init__(self, directory: Path, tree: dict[str, Any] | None, **extra: str) -> None:
        self._stderr = directory / f"stderr-{secrets.token_hex(4)}.log"
        arguments = []
        self.file = directory / f"config-{secrets.token_hex(4)}.yaml"
        if tree is not None:
            self.file.write_text(yaml.safe_dump(tree))
            arguments = ["--config", str(self.file)]
        with self._stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "otel_ext", "serve", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                cwd=ROOT,
                env=environment(**extra),
            )
        try:
            hello = until(lambda: self.process.poll() is not None or re.search(r"OTLP/gRPC [^\"]*", self.stderr), "the sidecar to listen")
            assert isinstance(hello, re.Match), f"the sidecar ended: {self.stderr}"
            at = dict(re.findall(r"(OTLP/gRPC|OTLP/HTTP|admin) (\S+?:\d+)", hello[0]))
            self.grpc, self.http, self.admin = at["OTLP/gRPC"], at["OTLP/HTTP"], at["admin"]
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    @property
    def stderr(self) -> str:
        return self._stderr.read_text()

    @property
    def log(self) -> list[dict[str, Any]]:
        """Log lines so far; a line that is not JSON fails."""
        lines = self.stderr.splitlines()
        assert all(line.startswith("{") for line in lines), [line for line in lines if not line.startswith("{")]
        return [json.loads(line) for line in lines]

    def findings(self, trace_id: str) -> list[dict[str, Any]]:
        """Log lines about findings in a trace."""
        return [line for line in self.log if line["logger"] == "otel_ext.findings" and line["trace_id"] == trace_id]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the signal and wait; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Inside(Endpoints):
    """A sidecar in this process, on the stage's loop: its clock can be moved, and its backoff is short."""

    def __init__(self, stage: Stage, tree: dict[str, Any]) -> None:
        self._stage = stage
        self._ahead_ns = 0
        runtime = Runtime(now_ns=lambda: time.time_ns() + self._ahead_ns, sleep=asyncio.sleep, random=lambda: 0.05)
        self.sidecar = stage.run(self._start(tree, runtime))
        at = self.sidecar.addresses
        self.grpc, self.http, self.admin = at["OTLP/gRPC"], at["OTLP/HTTP"], at["admin"]
        self._open = True

    async def _start(self, tree: dict[str, Any], runtime: Runtime) -> Sidecar:
        sidecar = Sidecar(load(yaml.safe_dump(tree), {}), runtime)
        await sidecar.start()
        return sidecar

    def pass_time(self, seconds: float) -> None:
        """Move the sidecar's clock on, and let it give the verdicts that are due."""
        self._ahead_ns += int(seconds * 1e9)
        self._stage.run(self._settle())

    async def _settle(self) -> None:
        self.sidecar.settle()

    def delivered(self) -> bool:
        """Nothing waits for any destination."""
        told = any(lane.queue_size for lane in self.sidecar.lanes)
        return not told and not any(output.delivery.queue_size for output in self.sidecar.outputs)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._stage.run(self.sidecar.stop())


@contextlib.contextmanager
def started(stage: Stage, *doubles: Tempo | Langfuse) -> Iterator[None]:
    """The destinations, listening."""
    for double in doubles:
        stage.run(double.start())
    try:
        yield
    finally:
        for double in doubles:
            stage.run(double.stop())
