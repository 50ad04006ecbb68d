"""Every file of collector_config is accepted by the program it is for; rules do what their unit tests say. Nothing is started."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.stack.kit import CONFIG, KEYS, binary

PROMETHEUS, ALERTMANAGER = CONFIG / "prometheus", CONFIG / "alertmanager"


def run(*command: str | Path, **environment: str) -> str:
    """What the program prints; it must exit with 0."""
    line = [str(part) for part in command]
    done = subprocess.run(line, capture_output=True, text=True, timeout=300, check=False, env={**os.environ, **environment})
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def files(folder: str, pattern: str) -> list[Path]:
    return sorted((CONFIG / folder).glob(pattern))


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


def test_promtool_accepts_the_configuration_with_its_rules() -> None:
    """`promtool check config`, which reads every rule file."""
    assert "SUCCESS" in run(binary("promtool"), "check", "config", PROMETHEUS / "prometheus.yml")


RULE_TESTS = files("prometheus", "tests/*.yml")


@pytest.mark.parametrize("path", RULE_TESTS, ids=names(RULE_TESTS))
def test_every_alert_fires_when_it_must(path: Path) -> None:
    """Does not fire, fires, resolves; tests/test_collector_config.py sees that no alert is without such a test."""
    assert "FAILED" not in run(binary("promtool"), "test", "rules", path)


def test_a_broken_expectation_is_noticed(tmp_path: Path) -> None:
    """The unit tests can fail: one that expects an alert which does not come."""
    text = RULE_TESTS[0].read_text().replace("../rules", str(PROMETHEUS / "rules"))
    tree = yaml.safe_load(text)
    case = next(case for case in tree["tests"][0]["alert_rule_test"] if case.get("exp_alerts"))
    case["exp_alerts"][0]["exp_labels"]["severity"] = "other"
    (tmp_path / "broken.yml").write_text(yaml.safe_dump(tree))
    done = subprocess.run([binary("promtool"), "test", "rules", tmp_path / "broken.yml"], capture_output=True, timeout=300, check=False)
    assert done.returncode != 0


def test_amtool_accepts_the_configuration() -> None:
    """With its templates."""
    assert "1 templates" in run(binary("amtool"), "check-config", ALERTMANAGER / "alertmanager.yml")


@pytest.mark.parametrize(
    ("severity", "receivers"), [("critical", "record,page"), ("high", "record,channel"), ("medium", "record,channel"), ("low", "record")]
)
def test_alerts_are_routed_by_severity(severity: str, receivers: str) -> None:
    """Critical ones page, low ones are recorded."""
    command = [
        "config",
        "routes",
        "test",
        f"--config.file={ALERTMANAGER / 'alertmanager.yml'}",
        f"severity={severity}",
        "alertname=AgentLooping",
    ]
    assert receivers in run(binary("amtool"), *command)


COLLECTOR = files("otelcol", "*.yaml")
# Its receiver is no part of the Collector that is built here; tests/test_collector_config.py compares it with the other half.
UNCHECKED = "kafka-out.yaml"


@pytest.mark.parametrize("path", [path for path in COLLECTOR if path.name != UNCHECKED], ids=lambda path: path.name)
def test_the_collector_accepts_its_files(path: Path, tmp_path: Path) -> None:
    """`otelcol validate`: unknown keys and components are errors."""
    below = ["--config", path.with_name("roundtrip.yaml")] if path.name == "spanmetrics.yaml" else []  # it is laid over that one
    run(binary("collector"), "validate", *below, "--config", path, QUEUE_DIRECTORY=str(tmp_path / "queue"), LANGFUSE_BASIC_AUTH="eDp5")


ALLOY = files("alloy", "*.alloy")


@pytest.mark.parametrize("path", ALLOY, ids=names(ALLOY))
def test_alloy_accepts_its_files(path: Path) -> None:
    """Formatted as Alloy formats, and valid."""
    run(binary("alloy"), "fmt", "--test", path)
    if path.name != "otel_ext.alloy":  # a module: it is validated where it is imported
        run(binary("alloy"), "validate", "--stability.level=public-preview", path, **KEYS)


def test_tempo_accepts_its_file(tmp_path: Path) -> None:
    """And warns of nothing in it."""
    run(
        binary("tempo"),
        f"-config.file={CONFIG / 'tempo' / 'tempo.yaml'}",
        "-config.expand-env=true",
        "-config.verify=true",
        TEMPO_DATA=str(tmp_path),
    )


def test_the_collector_accepts_the_gateways_file(tmp_path: Path) -> None:
    """As it stands in Kubernetes' ConfigMap."""
    documents = yaml.safe_load_all((CONFIG / "kubernetes" / "gateway.yaml").read_text())
    (text,) = [document["data"]["collector.yaml"] for document in documents if "collector.yaml" in document.get("data", {})]
    file = tmp_path / "collector.yaml"
    file.write_text(text.replace("/var/lib/otelcol", str(tmp_path)))
    run(binary("collector"), "validate", "--config", file, POD_IP="127.0.0.1")
