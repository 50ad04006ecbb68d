"""The commands as a user runs them: exit codes, what stands on standard output, what on standard error."""

from __future__ import annotations

import base64
import gzip
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_ext import samples
from otel_ext.cli import STARTERS
from tests.e2e.app import App, encoded, shop_trace
from tests.e2e.kit import command, new_trace, trace_id_of

CANARY = "CANARY-7f3a-scan"
CODECS = ["", "python"]
NOW_NS = time.time_ns() - 3_600_000_000_000


def json_line(data: bytes) -> bytes:
    """A request as the Collector's file exporter writes it: one line, ids in hex."""
    tree = json_format.MessageToDict(ExportTraceServiceRequest.FromString(data), use_integers_for_enums=True)
    for span in (span for resource in tree["resourceSpans"] for scope in resource["scopeSpans"] for span in scope["spans"]):
        for key in {"traceId", "spanId", "parentSpanId"} & span.keys():
            span[key] = base64.b64decode(span[key]).hex()
    return json.dumps(tree).encode() + b"\n"


@pytest.fixture(scope="module")
def runs() -> list[bytes]:
    """A healthy run, a looping one, one that skips a tool, in separate requests."""
    return [make(new_trace(), NOW_NS) for make in (samples.healthy, samples.looping, samples.skipping)]


def lengths(runs: list[bytes]) -> bytes:
    return b"".join(len(run).to_bytes(4, "big") + run for run in runs)


FORMS: dict[str, Callable[[list[bytes]], bytes]] = {
    "traces.jsonl": lambda runs: b"".join(map(json_line, runs)),
    "traces.jsonl.gz": lambda runs: gzip.compress(b"".join(map(json_line, runs))),
    "with-empty-lines.jsonl": lambda runs: b"\n" + b"\n\n".join(map(json_line, runs)) + b"\n",
    "traces.pb": lambda runs: b"".join(runs),
    "traces.pb.gz": lambda runs: gzip.compress(b"".join(runs)),
    "collector.pb": lengths,
    "collector.pb.gz": lambda runs: gzip.compress(lengths(runs)),
}


def found_in(stdout: bytes) -> list[tuple[str, str]]:
    return [(record["trace_id"], record["rule"]) for record in map(json.loads, stdout.splitlines())]


def expected(runs: list[bytes]) -> list[tuple[str, str]]:
    return [(trace_id_of(runs[1]), "loop/identical_calls"), (trace_id_of(runs[2]), "tool_skipping/expected")]


@pytest.mark.parametrize("form", FORMS)
def test_scan_reads_what_is_stored(tmp_path: Path, runs: list[bytes], form: str) -> None:
    """JSON lines, protobuf, the Collector's framing, and .gz of each: the same findings, one JSON object a line."""
    file = tmp_path / form
    file.write_bytes(FORMS[form](runs))
    done = command("scan", str(file), "--format", "json")
    assert (done.returncode, done.stderr) == (0, b"")
    assert sorted(found_in(done.stdout)) == sorted(expected(runs))


@pytest.mark.parametrize("form", ["traces.jsonl", "traces.jsonl.gz", "traces.pb"])
def test_scan_reads_standard_input(runs: list[bytes], form: str) -> None:
    """`-` is standard input, packed or not."""
    done = command("scan", "-", "--format", "json", data=FORMS[form](runs))
    assert (done.returncode, done.stderr) == (0, b"")
    assert sorted(found_in(done.stdout)) == sorted(expected(runs))


@pytest.mark.parametrize("codec", CODECS)
def test_scan_reads_several_files_as_one_input(tmp_path: Path, runs: list[bytes], codec: str) -> None:
    """A trace that goes on in the next file is one trace, with either codec; the table counts spans and traces."""
    files = []
    for number, run in enumerate(runs):
        files.append(tmp_path / f"{number}.jsonl")
        files[-1].write_bytes(json_line(run))
    done = command("scan", *map(str, files), OTEL_EXT_CODEC=codec)
    text = done.stdout.decode()
    assert done.returncode == 0
    assert "2 findings in 22 spans of 3 traces" in text
    assert all(trace_id in text for trace_id, _ in expected(runs))


def test_scan_says_that_nothing_was_found(tmp_path: Path, runs: list[bytes]) -> None:
    """Exit 0, and a sentence."""
    file = tmp_path / "good.pb"
    file.write_bytes(runs[0])
    done = command("scan", str(file))
    assert done.returncode == 0
    assert "nothing found" in done.stdout.decode()


def test_scan_uses_the_expectations_of_a_configuration(tmp_path: Path) -> None:
    """`--config` holds for stored traces as for live ones."""
    app = App()
    shop_trace(app)
    traces, settings = tmp_path / "t.pb", tmp_path / "c.yaml"
    traces.write_bytes(encoded(app.finished))
    settings.write_text("detect: {tool_skipping: {expectations: [{agent: plan*, require: [calculate]}]}}")
    done = command("scan", str(traces), "--format", "json", "--config", str(settings))
    assert [rule for _, rule in found_in(done.stdout)] == ["tool_skipping/expected"]


def canary_run() -> bytes:
    agent = samples.Agent(new_trace(), "planner", NOW_NS)
    agent.ask(CANARY)
    agent.chat(CANARY)
    return agent.end()


BROKEN: dict[str, Callable[[], tuple[bytes, str]]] = {
    "broken.jsonl": lambda: (json_line(canary_run()) + json_line(canary_run())[:-40], "line 2"),
    "after-empty-lines.jsonl": lambda: (b"\n\n" + json_line(canary_run()) + b'{"resourceSpans": "' + CANARY.encode() + b'"}', "line 4"),
    "broken.jsonl.gz": lambda: (gzip.compress(json_line(canary_run()) + b'{"' + CANARY.encode()), "line 2"),
    "broken.pb": lambda: (canary_run()[:-10], "at byte"),
    "broken-second.pb": lambda: (lengths([canary_run()]) + (9).to_bytes(4, "big") + b"\x0a\x07\x12\x09CANA", "at byte"),
    "cut.pb": lambda: (lengths([canary_run(), canary_run()])[:-10], "at byte"),
    "cut.jsonl.gz": lambda: (gzip.compress(json_line(canary_run()) * 50)[:-20], ""),
    "damaged.jsonl.gz": lambda: (gzip.compress(json_line(canary_run()))[:60] + b"\xff" * 200, ""),
    "text.log": lambda: (f"hello {CANARY}\n".encode(), ""),
}


@pytest.mark.parametrize("name", BROKEN)
def test_scan_says_where_a_file_is_broken(tmp_path: Path, name: str) -> None:
    """Exit 1, one line with the file and the line or byte; never a traceback, never what the file says."""
    data, where = BROKEN[name]()
    file = tmp_path / name
    file.write_bytes(data)
    done = command("scan", str(file), "--format", "json")
    text = done.stderr.decode()
    assert done.returncode == 1
    assert "Traceback" not in text
    assert str(file) in text
    assert where in text
    assert CANARY not in text
    assert len(text.splitlines()) == 1


def test_scan_names_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Exit 1, with its path."""
    done = command("scan", str(tmp_path / "none.pb"))
    assert done.returncode == 1
    assert "none.pb" in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


@pytest.mark.parametrize("codec", CODECS)
def test_demo_names_the_three_bad_runs(codec: str) -> None:
    """Exit 0: a real sidecar found the loop, the skipped tool and the spike, in their traces, and nothing in the healthy run."""
    done = command("demo", OTEL_EXT_CODEC=codec)
    text = done.stdout.decode()
    assert done.returncode == 0, done.stderr
    ids = dict(re.findall(r"^(healthy|looping|skipping|token spike): .*?([0-9a-f]{32})", text, re.MULTILINE))
    assert len(ids) == 4
    table = text[text.index("what happened") :]
    assert re.search(rf"loop/identical_calls .*{ids['looping']}", table)
    assert re.search(rf"tool_skipping/expected .*{ids['skipping']}", table)
    assert re.search(rf"token_spike/run .*{ids['token spike']}", table)
    assert ids["healthy"] not in table


def test_check_config_says_good(tmp_path: Path) -> None:
    """Exit 0."""
    file = tmp_path / "c.yaml"
    file.write_text("exporters: {tempo: {endpoint: http://tempo:4317}}")
    done = command("check-config", str(file))
    assert (done.returncode, done.stderr) == (0, b"")


def test_check_config_names_every_fault_at_once(tmp_path: Path) -> None:
    """Exit 2, a line a fault."""
    file = tmp_path / "c.yaml"
    file.write_text("shutdown_timeout: soon\nexporters: {tempo: {endpoint: tempo, protocol: udp}}\nadmin: {endpoint: here}")
    done = command("check-config", str(file))
    paths = [line.split(":")[0] for line in done.stderr.decode().splitlines()]
    assert done.returncode == 2
    assert sorted(paths) == ["admin.endpoint", "exporters.tempo.endpoint", "exporters.tempo.protocol", "shutdown_timeout"]


def test_check_config_warns_of_what_is_unwise(tmp_path: Path) -> None:
    """Exit 0 and a line each; with --strict, exit 2."""
    file = tmp_path / "c.yaml"
    file.write_text("exporters:\n  tempo: {endpoint: https://t, tls: {ca_file: /nowhere/ca.pem}}\nadmin: {endpoint: 0.0.0.0:1}")
    done = command("check-config", str(file))
    warnings = [line.removeprefix("warning: ") for line in done.stderr.decode().splitlines()]
    assert done.returncode == 0
    assert done.stdout.decode() == f"{file}: good, 2 warnings\n"
    assert [line.split(":")[0] for line in warnings] == ["admin.endpoint", "exporters.tempo.tls.ca_file"]
    assert [line.rpartition("(")[2] for line in warnings] == ["line 3)", "line 2)"]
    assert command("check-config", "--strict", str(file)).returncode == 2


def test_check_config_finds_a_rule_that_cannot_be_imported(tmp_path: Path) -> None:
    """`serve` would not start with it."""
    file = tmp_path / "c.yaml"
    file.write_text("detect: {rules: ['nowhere.to:Befound']}")
    done = command("check-config", str(file))
    assert done.returncode == 2
    assert done.stderr.startswith(b"detect.rules: nowhere.to:Befound: cannot be imported")


@pytest.mark.parametrize("place", STARTERS)
def test_init_writes_a_configuration_without_faults_or_warnings(tmp_path: Path, place: str) -> None:
    """Once the variables that it names without a default are set; a file that is there is left alone."""
    file = tmp_path / "otel-ext.yaml"
    assert command("init", place, "--output", str(file)).returncode == 0
    written = file.read_text()
    assert written.startswith("# otel-ext ")
    done = command("check-config", "--strict", str(file), LANGFUSE_PUBLIC_KEY="pk", LANGFUSE_SECRET_KEY="sk")
    assert (done.returncode, done.stderr) == (0, b"")
    again = command("init", place, "--output", str(file))
    assert (again.returncode, file.read_text()) == (2, written)
    assert "is there already" in again.stderr.decode()
    assert command("init", place, "--output", "-").stdout.decode() == written


@pytest.mark.parametrize("codec", CODECS)
def test_version_names_the_codec(codec: str) -> None:
    """Version, codec in use, optional parts."""
    done = command("version", OTEL_EXT_CODEC=codec)
    text = done.stdout.decode()
    assert done.returncode == 0
    assert re.match(r"otel-ext \d+\.\d+\.\d+\ncodec +(native|python)\n", text)
    assert codec != "python" or "codec    python" in text
    assert "uvloop" in text


@pytest.mark.parametrize("arguments", [[], ["fly"], ["scan"], ["scan", "x", "--format", "xml"]])
def test_bad_arguments_are_an_exit_with_two(arguments: list[str]) -> None:
    """And a line that says what is wrong."""
    done = command(*arguments)
    assert done.returncode == 2
    assert b"usage:" in done.stderr


def test_a_reader_that_has_enough_is_no_fault(tmp_path: Path) -> None:
    """`otel-ext scan ... | head -1` ends quietly."""
    stored = tmp_path / "traces.otlp"
    stored.write_bytes(b"".join(samples.looping(number.to_bytes(16, "big"), 10**18) for number in range(1, 2_000)))
    command = f"{sys.executable} -m otel_ext scan {stored} --format json | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
