"""Keys and prompts stay where they belong: never in logs, metrics, readiness, or answers, whatever goes wrong."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_ext import samples
from tests.e2e.app import App, encoded
from tests.e2e.kit import (
    PUBLIC_KEY,
    SECRET_KEY,
    Endpoints,
    Langfuse,
    Process,
    Stage,
    Tempo,
    command,
    config,
    new_trace,
    spans_of,
    started,
    until,
)

CANARY = "CANARY-51f0c2-prompt"
TOKEN = "tempo-token-9a8b7c"
BASIC = base64.b64encode(f"{PUBLIC_KEY}:{SECRET_KEY}".encode()).decode()
KEYS = (PUBLIC_KEY, SECRET_KEY, BASIC, TOKEN)


def saying(text: str) -> bytes:
    """A run in which users, models and tools say *text*, with a loop, a failing call, a skipped tool and one never called."""
    agent = samples.Agent(new_trace(), "planner", time.time_ns() - 10_000_000_000, expected=("calculate",))
    agent.ask(text)
    for _ in range(3):
        agent.call("search", {"q": text}, text)
    for _ in range(3):
        agent.call("book", {"q": text}, "", error="timeout")
    for _ in range(3):
        agent.chat(f"{text} is what I say")
    agent.chat(calls=[("call_z", "refund", {"why": text})])
    agent.chat(text, tokens=(100_000, 5))
    return agent.end()


class Said:
    """Everything that the sidecar said to anybody but its destinations."""

    def __init__(self, sidecar: Process) -> None:
        self.sidecar = sidecar
        self.answers: list[str] = []

    def post(self, body: bytes, media: str = "application/x-protobuf", **headers: str) -> int:
        """Send over HTTP and keep the answer."""
        status, answer, got = self.sidecar.post(body, media, **headers)
        self.answers += [answer.decode("latin-1"), str(got)]
        return status

    def call(self, body: bytes) -> None:
        """Send over gRPC and keep the answer."""
        try:
            self.answers.append(str(self.sidecar.call(body)))
        except grpc.RpcError as error:
            self.answers += [str(error), str(error.trailing_metadata())]

    def everywhere(self) -> dict[str, str]:
        """All of it, by place."""
        pages = {path: self.sidecar.get(path)[1] for path in ("/metrics", "/ready", "/health")}
        return {
            **pages,
            "openmetrics": self.sidecar.get("/metrics", "application/openmetrics-text")[1],
            "stderr": self.sidecar.stderr,
            "answers": "\n".join(self.answers),
        }


@pytest.fixture(scope="module")
def said(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Said]:
    """A sidecar through good days and bad ones: findings, refusals, damage, wrong keys, dead and talkative destinations, shutdown."""
    tempo, langfuse = Tempo(stage), Langfuse(stage)
    with started(stage, tempo, langfuse):
        tree = config(tempo, langfuse, shutdown_timeout="500ms")
        tree["exporters"]["tempo"]["headers"] = {"Authorization": f"Bearer {TOKEN}"}
        sidecar = Process(tmp_path_factory.mktemp("said"), tree)
        it = Said(sidecar)
        try:
            all_days(it, stage, tempo, langfuse)
            places = it.everywhere()
            sidecar.stop()
            it.everywhere = lambda: {**places, "stderr": sidecar.stderr}  # type: ignore[method-assign]
            yield it
        finally:
            sidecar.close()


def all_days(it: Said, stage: Stage, tempo: Tempo, langfuse: Langfuse) -> None:
    it.post(saying(CANARY))
    until(lambda: len(langfuse.scores) >= 5, "the findings")
    assert any(CANARY.encode() in body for body in tempo.bodies), "the canary must be in what is sent"
    damage(it)
    garbage(it)
    unusual(it)
    poisoned = saying(CANARY)
    tempo.poison, tempo.why = spans_of(ExportTraceServiceRequest.FromString(poisoned))[1].span_id, f"bad span: {CANARY}"
    tempo.fail_next(1, "UNAVAILABLE", message=f"try again: {CANARY} {TOKEN}")
    langfuse.fail_next(1, 500)
    it.call(poisoned)
    until(lambda: it.sidecar.value("otelcol_exporter_send_failed_spans_total", exporter="tempo") == 2, "both bad spans to be isolated")
    langfuse.secret_key = "another"
    it.call(saying(CANARY))
    until(lambda: it.sidecar.ready()[1]["langfuse"]["last_error"] == "unauthenticated", "the wrong key")
    stage.run(tempo.stop())
    it.call(saying(CANARY))
    until(lambda: not it.sidecar.ready()[1]["tempo"]["ready"], "trouble")


def damage(it: Said) -> None:
    """Requests that are cut, garbled, mislabelled."""
    data = saying(CANARY)
    for cut in (len(data) - 5, len(data) // 2, 200):
        assert it.post(data[:cut]) == 400
        it.call(data[:cut])
    at = data.index(CANARY.encode())
    assert it.post(data[:at] + b"\xff\xfe" + data[at + 2 :]) == 200  # no text, but only the destination minds: one bad span there
    text = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": CANARY, "name": CANARY, CANARY: 1}]}]}]})
    assert it.post(text.encode(), "application/json") == 200  # the span alone is refused
    assert it.post(text[:-3].encode(), "application/json") == 400
    assert it.post(data, f"text/{CANARY}") == 415
    assert it.post(data, **{"Content-Encoding": CANARY}) == 415
    assert it.post(data, **{"Content-Encoding": "gzip"}) == 400
    assert it.post(gzip.compress(data)[:-20], **{"Content-Encoding": "gzip", "Authorization": f"Basic {BASIC}"}) == 400
    it.answers += [str(it.sidecar.post(b"", path=f"/{CANARY}")), str(it.sidecar.get(f"/{CANARY}"))]


def garbage(it: Said) -> None:
    """Bytes that are no HTTP, on every port: libraries that read them have logs of their own."""
    for address in (it.sidecar.http, it.sidecar.grpc, it.sidecar.admin):
        host, port = address.rsplit(":", 1)
        for line in (
            CANARY,
            f"GET / HTTP/9.9 {CANARY}",
            f"POST / HTTP/1.1\r\n{CANARY}\0: x",
            f"GET /{CANARY} HTTP/1.1\r\nAuthorization:\0{SECRET_KEY}",
        ):
            with socket.create_connection((host, int(port))) as connection:
                connection.sendall(f"{line}\r\n\r\n".encode())
                connection.shutdown(socket.SHUT_WR)
                with contextlib.suppress(OSError):
                    while connection.recv(4096):
                        pass


def unusual(it: Said) -> None:
    """Prompts where rules, links and metrics read: texts as names of nothing, as conversation, as expectation, as Langfuse's id."""
    app = App()
    with app.agent(otel_ext__expected_tools=["calculate"], gen_ai__system_instructions=CANARY, langfuse__trace_id=f"{CANARY}\n"):
        with app.chat(CANARY, gen_ai__input__messages=f"[{CANARY}", error__type="x") as span:
            span.record_exception(ValueError(CANARY))
        with app.tool("search", "c1", CANARY, f'{{"isError": true, "text": "{CANARY}"}}'):
            pass
    it.call(encoded(app.finished))


@pytest.mark.parametrize("place", ["stderr", "/metrics", "openmetrics", "/ready", "/health", "answers"])
def test_no_key_is_ever_said(said: Said, place: str) -> None:
    """Neither the Langfuse keys, nor their header, nor the token for Tempo."""
    text = said.everywhere()[place]
    assert text
    assert [key for key in KEYS if key in text] == []


@pytest.mark.parametrize("place", ["stderr", "/metrics", "openmetrics", "/ready", "/health", "answers"])
def test_no_prompt_is_ever_said(said: Said, place: str) -> None:
    """Neither what users, models and tools said, nor what a damaged request or a destination's error quotes."""
    text = said.everywhere()[place]
    assert text
    assert CANARY not in text
    assert CANARY.lower() not in text.lower()


def test_every_log_line_is_json(said: Said) -> None:
    """Through all of it: one object a line, with time, level, logger and event, and no traceback."""
    lines = said.sidecar.log
    assert lines
    assert all({"time", "level", "logger", "event"} <= line.keys() for line in lines)
    assert not any("Traceback" in line["event"] for line in lines)


def test_the_bad_days_are_logged(said: Said) -> None:
    """Silence is no way to keep a secret: refusals and trouble each have a line."""
    text = said.everywhere()["stderr"]
    assert "langfuse: unauthenticated" in text
    assert "tempo: UNAVAILABLE" in text
    assert "tempo: bad_data" in text


def test_no_prompt_is_in_a_score(stage: Stage, destinations: tuple[Tempo, Langfuse], serve: Callable[..., Process]) -> None:
    """Scores quote names and numbers, not texts: whoever may see them need not be allowed to read prompts."""
    tempo, langfuse = destinations
    sidecar: Endpoints = serve(config(tempo, langfuse))
    sidecar.export(saying(CANARY))
    until(lambda: len(langfuse.scores) >= 5, "the findings")
    assert CANARY not in json.dumps(langfuse.score_posts)


@pytest.mark.parametrize("fault", ["public_key: [1]", "host: not-a-url", "timeout: 5", "secret: x"])
def test_a_fault_in_the_configuration_does_not_show_its_keys(tmp_path: Any, fault: str) -> None:
    """The message names the path of the fault; the key beside it is not said."""
    file = tmp_path / "c.yaml"
    file.write_text(f"exporters: {{langfuse: {{host: http://h, public_key: {PUBLIC_KEY}, secret_key: {SECRET_KEY}, {fault}}}}}")
    done = command("check-config", str(file))
    assert done.returncode == 2
    assert "exporters.langfuse" in done.stderr.decode()
    assert SECRET_KEY not in (done.stderr + done.stdout).decode()
