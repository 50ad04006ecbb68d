"""What the documentation says is true: commands exist, configuration loads and serves, examples run, tables are complete."""

from __future__ import annotations

import dataclasses
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from otel_ext import settings
from otel_ext.cli import _parser
from otel_ext.configfile import load
from otel_ext.exporters.declared import METRICS
from otel_ext.settings import Settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAGES = sorted((ROOT / "docs").glob("*.md"))
IN_PROCESS = (ROOT / "docs" / "in-process.md").read_text()
KEYS = {"LANGFUSE_PUBLIC_KEY": "pk", "LANGFUSE_SECRET_KEY": "sk"}


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"(?:`|^)make ([a-z]+)", README, re.MULTILINE))))
def test_make_targets_exist(target: str) -> None:
    """Every `make` that the README names is in the Makefile."""
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_every_command_is_documented() -> None:
    """And none that is documented is missing."""
    known = next(action.choices for action in _parser()._actions if action.choices)
    assert known is not None
    written = README + "".join(page.read_text() for page in PAGES)
    assert set(re.findall(r"(?:`|^)otel-ext ([a-z-]+)", written, re.MULTILINE)) == set(known)


CONFIGURATIONS = [
    text
    for page in [ROOT / "README.md", ROOT / "docs" / "prices.md", ROOT / "docs" / "rules.md"]
    for text in blocks(page.read_text(), "yaml")
]


@pytest.mark.parametrize("text", CONFIGURATIONS)
def test_configurations_load(text: str) -> None:
    """Every YAML block is a configuration without faults."""
    assert isinstance(load(text, KEYS), Settings)


@pytest.mark.parametrize("text", CONFIGURATIONS)
def test_configurations_serve(text: str, tmp_path: Path) -> None:
    """The sidecar starts with it, and stops when told to."""
    address = "{endpoint: '127.0.0.1:0'}"
    free = f"receivers: {{grpc: {address}, http: {address}}}\nadmin: {address}\nshutdown_timeout: 1s\n"
    config = tmp_path / "otel-ext.yaml"
    config.write_text(free + text)
    command = [sys.executable, "-m", "otel_ext", "serve", "--config", str(config)]
    serving = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**KEYS, "PYTHONPATH": str(ROOT)}, cwd=tmp_path)
    assert serving.stderr is not None
    assert "OTLP/gRPC" in serving.stderr.readline()
    time.sleep(0.2)
    serving.send_signal(signal.SIGTERM)
    assert serving.wait(20) == 0


def test_settings_in_the_table_exist() -> None:
    """Each key of the settings table is a key of the configuration."""
    table = README.split("### Settings")[1].split("##")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    sections = [kind for kind in vars(settings).values() if dataclasses.is_dataclass(kind)]
    known = {field.name for kind in sections for field in dataclasses.fields(kind)}
    for key in (name for row in rows for name in re.findall(r"`([a-z_.*]+)`", row)):
        assert key.split(".")[-1] in known or key.endswith("*"), key


def test_every_rule_is_documented() -> None:
    """A rule that can alarm somebody is in the README."""
    source = "".join(path.read_text() for path in (ROOT / "otel_ext" / "detectors").glob("*.py"))
    rules = set(re.findall(r'"((?:loop|tool_skipping|token_spike|latency_spike|anomaly|degraded_output)/[a-z_]+)"', source))
    assert len(rules) >= 8
    assert {rule for rule in rules if f"`{rule}`" not in README} == set()


def test_metric_names_are_those_promised() -> None:
    """The names that dashboards and alerts are written with."""
    assert {metric.exposed for metric in METRICS} >= {
        "llm_tokens_used_total",
        "llm_cost_dollars_total",
        "llm_request_duration_seconds",
        "mcp_tool_duration_seconds",
        "otel_ext_findings_total",
        "otel_ext_open_traces",
        "otel_ext_process_seconds",
        "otelcol_receiver_accepted_spans_total",
        "otelcol_receiver_refused_spans_total",
        "otelcol_exporter_sent_spans_total",
        "otelcol_exporter_send_failed_spans_total",
        "otelcol_exporter_queue_size",
        "otelcol_exporter_queue_capacity",
    }


RULES = (ROOT / "docs" / "rules.md").read_text()
EXAMPLES = [*blocks(README, "python"), blocks(IN_PROCESS, "python")[0], *blocks(RULES, "python")]


@pytest.mark.parametrize("text", EXAMPLES)
def test_examples_run(text: str) -> None:
    """The Python examples work as they stand."""
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["README.md", "docs/in-process.md", "docs/rules.md", "docs/grafana.md", "DECISIONS.md"])
def test_links_lead_somewhere(name: str) -> None:
    """Every relative link is a file."""
    page = ROOT / name
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), target
