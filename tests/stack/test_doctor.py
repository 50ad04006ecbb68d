"""`otel-ext doctor` against the real Tempo and Alertmanager, and beside a sidecar that runs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.e2e.kit import command
from tests.stack.conftest import Stack


def examined(stack: Stack, folder: Path, tempo: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    """With the stack's destinations, on the sidecar's own ports."""
    langfuse = {"host": stack.langfuse.host, "public_key": stack.langfuse.public_key, "secret_key": stack.langfuse.secret_key}
    tree = {
        "receivers": {"grpc": {"endpoint": stack.sidecar.otlp}, "http": None},
        "admin": {"endpoint": stack.sidecar.admin.removeprefix("http://")},
        "exporters": {"tempo": tempo, "langfuse": langfuse, "alertmanager": {"url": stack.alertmanager.url}},
    }
    file = folder / "doctor.yaml"
    file.write_text(yaml.safe_dump(tree))
    return command("doctor", "--config", str(file), "--deadline", "30")


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_everything_works(stack: Stack, tmp_path: Path, protocol: str) -> None:
    """The trace is taken over either transport, and read back from both; the running sidecar is recognised."""
    endpoint = f"http://{stack.tempo.otlp if protocol == 'grpc' else stack.tempo.otlp_http}"
    done = examined(stack, tmp_path, {"endpoint": endpoint, "protocol": protocol, "query_url": stack.tempo.url})
    text = done.stdout.decode()
    assert done.returncode == 0, text
    assert "everything works" in text
    assert "skipped" not in text
    assert "runs, its metrics can be scraped" in text
    assert "Alertmanager 0." in text
    trace_id = next(line.split()[-1] for line in text.splitlines() if line.startswith("tempo") and "takes a trace" in line)
    assert [span.name for span in stack.tempo.spans(trace_id)] == ["otel_ext doctor"]


def test_the_wrong_port(stack: Stack, tmp_path: Path) -> None:
    """To the query port over gRPC: that row fails, the others do not."""
    done = examined(stack, tmp_path, {"endpoint": stack.tempo.url})
    text = done.stdout.decode()
    assert done.returncode == 1
    assert "1 of 11 checks failed" in text
    assert "grpc: 4317, http: 4318" in text
