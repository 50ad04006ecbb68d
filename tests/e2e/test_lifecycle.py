"""How the process begins and ends: exit codes, messages, draining. Real processes, real signals."""

from __future__ import annotations

import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
import yaml
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from otel_ext import samples
from tests.e2e.app import App, exporter_to, shop_trace
from tests.e2e.kit import FREE, Langfuse, Process, Stage, Tempo, command, config, new_trace, until

Serve = Callable[..., Process]
Pair = tuple[Tempo, Langfuse]
FREE_PORTS = {f"OTEL_EXT_{name}__ENDPOINT": FREE for name in ("RECEIVERS__GRPC", "RECEIVERS__HTTP", "ADMIN")}


def now_ns() -> int:
    return time.time_ns() - 10_000_000_000


def events(sidecar: Process) -> list[str]:
    return [line["event"] for line in sidecar.log]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_zero(serve: Serve, number: int) -> None:
    """SIGTERM and SIGINT: exit 0, and the last line says that it stopped."""
    sidecar = serve(config())
    assert sidecar.stop(number) == 0
    assert events(sidecar)[-1] == "stopped"


def test_what_was_taken_is_delivered_before_the_end(serve: Serve, destinations: Pair) -> None:
    """SIGTERM right after a hundred requests: every span they held is in both destinations, once."""
    tempo, langfuse = destinations
    sidecar = serve(config(tempo, langfuse))
    ids = [new_trace() for _ in range(100)]
    for trace_id in ids:
        sidecar.export(samples.healthy(trace_id, now_ns()))
    assert sidecar.stop() == 0
    for double in destinations:
        assert {tuple(double.counts(trace_id.hex()).values()) for trace_id in ids} == {(1,) * 6}


def test_a_batch_processor_of_the_sdk_survives_our_end(serve: Serve, destinations: Pair) -> None:
    """Whatever a sender was told is taken has been delivered; what it was not told is its own to send again."""
    tempo, langfuse = destinations
    sidecar = serve(config(tempo, langfuse))
    processor = BatchSpanProcessor(exporter_to(sidecar, "grpc"), schedule_delay_millis=20)
    app = App(processor)
    trace_id = shop_trace(app)
    assert processor.force_flush()
    assert sidecar.stop() == 0
    processor.shutdown()
    assert set(tempo.counts(trace_id).values()) == {1}
    assert len(tempo.of(trace_id)) == 10


def test_verdicts_that_wait_are_given_at_the_end(serve: Serve, destinations: Pair) -> None:
    """A run whose requested tool never came, stopped before it settled: finding span, score and log line are delivered."""
    tempo, langfuse = destinations
    sidecar = serve(config(tempo, langfuse, detect={"tool_skipping": {"settle": "1h"}}))
    trace_id = new_trace()
    agent = samples.Agent(trace_id, "careless", now_ns())
    agent.chat(calls=[("call_a", "refund", {"order": 1})])
    agent.chat("Refunded.")
    sidecar.export(agent.end())
    assert sidecar.stop() == 0
    assert tempo.named(trace_id.hex(), "otel_ext finding tool_skipping/requested_not_executed")
    assert langfuse.scores_of(trace_id.hex())
    assert sidecar.findings(trace_id.hex())


def test_a_dead_destination_does_not_hold_the_end_up(stage: Stage, serve: Serve, destinations: Pair) -> None:
    """After `shutdown_timeout` it ends with 0, and says for whom how many batches and spans were left; the other one has all."""
    tempo, langfuse = destinations
    sidecar = serve(config(tempo, langfuse, shutdown_timeout="500ms"))
    stage.run(tempo.stop())
    trace_id = new_trace()
    sidecar.export(samples.healthy(trace_id, now_ns()))
    assert sidecar.stop() == 0
    left = [event for event in events(sidecar) if re.match(r"tempo: 1 batches with 6 spans .*not delivered", event)]
    assert len(left) == 1
    assert not any(event.startswith("langfuse:") for event in events(sidecar))
    assert len(langfuse.of(trace_id.hex())) == 6


def test_a_second_signal_changes_nothing(stage: Stage, serve: Serve, destinations: Pair) -> None:
    """Draining goes on, and ends with 0."""
    tempo, langfuse = destinations
    sidecar = serve(config(tempo, langfuse, shutdown_timeout="20s"))
    tempo.delay_s = 1.0
    trace_id = new_trace()
    sidecar.export(samples.healthy(trace_id, now_ns()))
    until(lambda: tempo.requests, "Tempo to be asked")
    for _ in range(3):
        sidecar.process.send_signal(signal.SIGTERM)
    assert sidecar.stop() == 0
    assert set(tempo.counts(trace_id.hex()).values()) == {1}
    assert len(tempo.of(trace_id.hex())) == 6


def test_a_destination_that_comes_back_while_draining_gets_its_spans(stage: Stage, serve: Serve, destinations: Pair) -> None:
    """The time to shut down is used: what waits is delivered once the destination answers."""
    tempo, langfuse = destinations
    sidecar = serve(config(tempo, langfuse, protocol="http", shutdown_timeout="30s"))
    stage.run(tempo.stop())
    trace_id = new_trace()
    sidecar.export(samples.healthy(trace_id, now_ns()))
    until(lambda: sidecar.ready()[0] == 503, "trouble")
    sidecar.process.send_signal(signal.SIGTERM)
    stage.run(tempo.start())
    assert sidecar.process.wait(30) == 0
    assert set(tempo.counts(trace_id.hex()).values()) == {1}


def test_nothing_is_taken_once_it_stops(stage: Stage, serve: Serve, destinations: Pair) -> None:
    """While it drains, a sender is refused or finds nobody: it is never told that its data was taken."""
    tempo, langfuse = destinations
    sidecar = serve(config(tempo, langfuse, shutdown_timeout="20s"))
    tempo.delay_s = 1.0
    sidecar.export(samples.healthy(new_trace(), now_ns()))
    until(lambda: tempo.requests, "Tempo to be asked")
    sidecar.process.send_signal(signal.SIGTERM)

    def closed() -> bool:
        try:
            return sidecar.post(b"")[0] == 503
        except OSError:
            return True

    until(closed, "the receiver to close")
    assert sidecar.process.wait(20) == 0


def test_senders_that_hang_do_not_hold_the_end_up(serve: Serve) -> None:
    """A request that never gets complete, and idle connections: it ends with 0 all the same."""
    sidecar = serve(config(shutdown_timeout="1s"))
    host, port = sidecar.http.rsplit(":", 1)
    with socket.create_connection((host, int(port))) as half, socket.create_connection((host, int(port))), grpc_connection(sidecar):
        half.sendall(b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 1000\r\n\r\nhalf")
        assert sidecar.stop() == 0


def grpc_connection(sidecar: Process) -> grpc.Channel:
    channel = grpc.insecure_channel(sidecar.grpc)
    grpc.channel_ready_future(channel).result(10)
    return channel


@pytest.fixture
def taken() -> Iterator[str]:
    """An address that somebody else listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield f"127.0.0.1:{other.getsockname()[1]}"


@pytest.mark.parametrize("section", ["receivers.grpc", "receivers.http", "admin"])
def test_a_port_in_use_is_an_exit_with_one(tmp_path: Any, taken: str, section: str) -> None:
    """It says what could not listen where and why, in one line for people, without a traceback."""
    tree = config()
    place = tree
    for name in section.split("."):
        place = place[name]
    place["endpoint"] = taken
    file = tmp_path / "c.yaml"
    file.write_text(yaml.safe_dump(tree))
    done = command("serve", "--config", str(file))
    text = done.stderr.decode()
    assert done.returncode == 1
    assert "Traceback" not in text
    (line,) = [line for line in text.splitlines() if line.startswith("otel-ext: ")]
    assert taken in line
    assert "in use" in line


BAD_CONFIGS = {
    "exporters: {tempo: {endpoint: 'not a url'}}": "exporters.tempo.endpoint: ",
    "exporters: {tempo: {}}": "exporters.tempo.endpoint: is missing",
    "detect: {loop: {max_iterations: many}}": "detect.loop.max_iterations: ",
    "detect: {tool_skipping: {settle: 5}}": "detect.tool_skipping.settle: ",
    "recievers: {}": "recievers: is not a setting, did you mean receivers?",
    "exporters: {langfuse: {host: 'http://h', public_key: '${env:E2E_NOT_SET}', secret_key: x}}": "exporters.langfuse.public_key: ",
    "a: [": "line 1: not valid YAML",
}


@pytest.mark.parametrize("text", BAD_CONFIGS)
@pytest.mark.parametrize("verb", ["serve", "check-config"])
def test_a_bad_configuration_is_an_exit_with_two(tmp_path: Any, verb: str, text: str) -> None:
    """Each fault has the path of its key, what is wrong, and what would be right."""
    file = tmp_path / "c.yaml"
    file.write_text(text)
    done = command(verb, *(["--config"] if verb == "serve" else []), str(file))
    assert (done.returncode, done.stdout) == (2, b"")
    assert BAD_CONFIGS[text] in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


def test_a_file_that_is_not_there_is_an_exit_with_two() -> None:
    """It names the file."""
    done = command("serve", "--config", "/nowhere/c.yaml")
    assert done.returncode == 2
    assert "/nowhere/c.yaml" in done.stderr.decode()


def test_without_a_configuration_it_is_useful(serve: Serve) -> None:
    """It receives, judges, counts and logs, says that it forwards nowhere, and is ready."""
    sidecar = serve(None, **FREE_PORTS)
    assert any("forwarded nowhere" in event for event in events(sidecar))
    trace_id = new_trace()
    sidecar.export(samples.looping(trace_id, now_ns()))
    assert until(lambda: sidecar.findings(trace_id.hex()), "the finding")
    assert sidecar.value("otel_ext_findings_total", rule="loop/identical_calls") == 1
    assert sidecar.ready() == (200, {})
    assert sidecar.stop() == 0


def test_it_says_what_it_is_and_where_it_listens(serve: Serve, destinations: Pair) -> None:
    """The first lines: version, codec, three addresses, and the destinations."""
    sidecar = serve(config(*destinations))
    until(lambda: len(events(sidecar)) >= 2, "two lines")
    first, second = events(sidecar)[:2]
    assert re.match(r"otel-ext \d+\.\d+\.\d+, (native|python) codec", first)
    assert all(address in first for address in (sidecar.grpc, sidecar.http, sidecar.admin))
    assert second == "sending to tempo, langfuse"


def test_the_environment_overrides_the_file(serve: Serve, destinations: Pair) -> None:
    """`OTEL_EXT_EXPORTERS__TEMPO__ENDPOINT` wins over what the file says."""
    tempo, langfuse = destinations
    tree = config(tempo, langfuse)
    tree["exporters"]["tempo"]["endpoint"] = "http://127.0.0.1:9"
    sidecar = serve(tree, OTEL_EXT_EXPORTERS__TEMPO__ENDPOINT=tempo.grpc_endpoint)
    trace_id = new_trace()
    sidecar.export(samples.healthy(trace_id, now_ns()))
    until(lambda: tempo.of(trace_id.hex()), "Tempo")


def test_the_pure_codec_is_announced(serve: Serve) -> None:
    """OTEL_EXT_CODEC=python: it says so where it starts, and at /health."""
    sidecar = serve(config(), OTEL_EXT_CODEC="python")
    assert "python codec" in events(sidecar)[0]
    assert '"codec": "python"' in sidecar.get("/health")[1]
