"""collector_config agrees with itself and with us. That the real programs take it is for tests/stack to show; this needs none of them."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from otel_ext.configfile import load
from otel_ext.exporters.declared import METRICS

ROOT = Path(__file__).parent.parent
CONFIG = ROOT / "collector_config"
KEYS = {"LANGFUSE_PUBLIC_KEY": "pk", "LANGFUSE_SECRET_KEY": "sk", "LANGFUSE_HOST": "https://lf.example", "LANGFUSE_PROJECT_ID": "p"}
KEYS |= {"POD_IP": "10.0.0.1"}
RULES = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((CONFIG / "prometheus" / "rules").glob("*.yml"))}
ALERTS = {rule["alert"]: rule for file in RULES.values() for group in file["groups"] for rule in group["rules"] if "alert" in rule}
RECORDED = {rule["record"] for file in RULES.values() for group in file["groups"] for rule in group["rules"] if "record" in rule}


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((CONFIG / "kubernetes" / name).read_text()))


KUBERNETES = {path.name: documents(path.name) for path in sorted((CONFIG / "kubernetes").glob("*.yaml"))}


# -- otel_ext's own files


def ours() -> Iterator[tuple[str, str]]:
    """Every configuration of otel_ext in there: name, text."""
    for path in sorted((CONFIG / "otel_ext").glob("*.yaml")):
        yield path.name, path.read_text()
    for name, each in KUBERNETES.items():
        for document in each:
            if "otel-ext.yaml" in document.get("data", {}):
                yield name, document["data"]["otel-ext.yaml"]


@pytest.mark.parametrize(("name", "text"), list(ours()), ids=[name for name, _ in ours()])
def test_our_configurations_load(name: str, text: str) -> None:
    """Without a fault; each delivers spans, and tells findings."""
    settings = load(text, KEYS)
    assert settings.exporters.tempo
    assert settings.exporters.alertmanager


# -- addresses


def defaults() -> dict[str, set[str]]:
    """Default values by environment variable, over all files of all programs."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in [
        *CONFIG.glob("otel_ext/*.yaml"),
        *CONFIG.glob("otelcol/*.yaml"),
        *CONFIG.glob("alloy/*.alloy"),
        *CONFIG.glob("tempo/*.yaml"),
    ]:
        text = path.read_text()
        for name, value in re.findall(r"\$\{(?:env:)?([A-Z_0-9]+):-([^}]*)\}", text):
            found[name].add(value)
        for name, value in re.findall(r'coalesce\(sys\.env\("([A-Z_0-9]+)"\), "([^"]*)"\)', text):
            found[name].add(value)
    return found


def test_one_variable_has_one_default() -> None:
    """In whichever program it is read; queues alone are kept where each program keeps its own."""
    assert {name: values for name, values in defaults().items() if len(values) > 1 and name != "QUEUE_DIRECTORY"} == {}


@pytest.mark.parametrize(
    ("sender", "listener"),
    [("SIDECAR_ENDPOINT", "SIDECAR_LISTEN"), ("SIDECAR_ENDPOINT_1", "SIDECAR_LISTEN"), ("TEMPO_OTLP_ENDPOINT", "TEMPO_OTLP_GRPC")],
)
def test_what_one_sends_to_another_listens_on(sender: str, listener: str) -> None:
    """With nothing set, the files fit together on one machine."""
    assert defaults()[sender] == defaults()[listener]


def test_nobody_listens_where_another_does() -> None:
    """All defaults side by side on one machine."""
    listening = ["OTLP_GRPC_LISTEN", "OTLP_HTTP_LISTEN", "SIDECAR_LISTEN", "SIDECAR_METRICS", "ENRICHED_LISTEN", "LLM_LISTEN"]
    listening += ["TEMPO_OTLP_GRPC", "TEMPO_OTLP_HTTP", "HEALTH_LISTEN", "SPAN_METRICS_LISTEN", "TELEMETRY_PORT", "TEMPO_HTTP_PORT"]
    ports = [next(iter(defaults()[name])).rpartition(":")[2] for name in listening]
    ports += [target.rpartition(":")[2] for target in targets("targets", "alertmanager")] + ["9095", "9090"]
    assert sorted(set(ports)) == sorted(ports)


def targets(folder: str, name: str) -> list[str]:
    groups = json.loads((CONFIG / "prometheus" / folder / f"{name}.json").read_text())
    return [target for group in groups for target in group["targets"]]


@pytest.mark.parametrize("folder", ["targets", "targets-compose"])
def test_every_file_of_targets_is_there(folder: str) -> None:
    """Those that prometheus.yml names, and no other."""
    named = set(re.findall(r"targets/(\w+)\.json", (CONFIG / "prometheus" / "prometheus.yml").read_text()))
    assert {path.stem for path in (CONFIG / "prometheus" / folder).glob("*.json")} == named


def test_prometheus_scrapes_where_others_expose() -> None:
    """The default addresses of the files beside it."""
    assert set(targets("targets", "otel_ext")) == defaults()["SIDECAR_METRICS"]
    assert set(targets("targets", "spanmetrics")) == defaults()["SPAN_METRICS_LISTEN"]
    assert {target.rpartition(":")[2] for target in targets("targets", "otelcol")} == defaults()["TELEMETRY_PORT"]
    assert {target.rpartition(":")[2] for target in targets("targets", "tempo")} == defaults()["TEMPO_HTTP_PORT"]


# -- delivery


def exporters() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every exporter of the Collector's files that sends spans somewhere."""
    for path in sorted((CONFIG / "otelcol").glob("*.yaml")):
        tree = yaml.safe_load(path.read_text())
        yield from ((f"{path.name} {name}", section) for name, section in tree["exporters"].items() if name != "prometheus")


@pytest.mark.parametrize(("name", "section"), list(exporters()), ids=[name for name, _ in exporters()])
def test_the_collectors_exporters_keep_what_they_hold(name: str, section: dict[str, Any]) -> None:
    """On disk, counted in bytes, and retried without end; behind Kafka, which is the queue itself, without a second one."""
    assert section["retry_on_failure"]["max_elapsed_time"] == "0s"
    if name.startswith("kafka-out"):
        assert section["sending_queue"] == {"enabled": False}
    else:
        assert (section["sending_queue"]["storage"], section["sending_queue"]["sizer"]) == ("file_storage/queue", "bytes")


def test_alloys_exporters_keep_what_they_hold() -> None:
    """Likewise."""
    for path in (CONFIG / "alloy").glob("*.alloy"):
        blocks = re.split(r"(?=otelcol\.exporter\.otlp)", path.read_text())[1:]
        for block in blocks:
            if block.startswith(("otelcol.exporter.otlp ", "otelcol.exporter.otlphttp ")):
                assert re.search(r"storage +=", block), path.name
                assert 'max_elapsed_time = "0s"' in block, path.name


def test_storage_is_synced() -> None:
    """Without fsync, the default of both programs, a power cut loses what was answered for."""
    for path in [*CONFIG.glob("otelcol/*.yaml"), *CONFIG.glob("alloy/*.alloy"), *CONFIG.glob("kubernetes/*.yaml")]:
        text = path.read_text()
        stores = len(re.findall(r"^\s*file_storage/\w+:|^\s*otelcol\.storage\.file ", text, re.MULTILINE))
        assert len(re.findall(r"fsync(?::| +=) true", text)) == stores, path.name


def test_both_halves_of_kafka_agree() -> None:
    """Topic, encoding, size and broker."""
    into = yaml.safe_load((CONFIG / "otelcol" / "kafka-in.yaml").read_text())["exporters"]["kafka"]
    out = yaml.safe_load((CONFIG / "otelcol" / "kafka-out.yaml").read_text())["receivers"]["kafka"]
    assert [into["traces"]["topic"]] == out["traces"]["topics"]
    assert into["traces"]["encoding"] == out["traces"]["encoding"] == "otlp_proto"
    assert into["brokers"] == out["brokers"]
    assert out["max_fetch_size"] >= into["producer"]["max_message_bytes"]
    assert into["partition_traces_by_id"]
    assert not out["autocommit"]["enable"]


# -- alerts

BUILT_IN = {"up", "process_start_time_seconds"}


def known_metrics() -> set[str]:
    names = {metric.exposed for metric in METRICS} | RECORDED | BUILT_IN
    histograms = [metric.exposed for metric in METRICS if metric.type == "histogram"]
    return names | {f"{name}_{suffix}" for name in histograms for suffix in ("bucket", "count", "sum")}


def used_metrics(expression: str) -> set[str]:
    """The names in an expression that look like metrics: with an underscore or a colon, outside of braces and of by (...)."""
    bare = re.sub(r"\{[^}]*\}|\b(?:by|on|without) ?\([^)]*\)|\"[^\"]*\"", " ", expression)
    words = set(re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", bare)) | ({"up"} & set(bare.split("{")[0].split("(")))
    functions = {"avg_over_time", "min_over_time", "histogram_quantile"}
    return {word for word in words if ("_" in word or ":" in word or word == "up")} - functions


@pytest.mark.parametrize("name", sorted(RULES))
def test_rules_use_metrics_that_exist(name: str) -> None:
    """Ours, recorded ones, or Prometheus' own."""
    for group in RULES[name]["groups"]:
        for rule in group["rules"]:
            assert used_metrics(rule["expr"]) <= known_metrics(), rule


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_every_alert_says_what_and_what_to_do(name: str) -> None:
    """A sentence, a severity of its own or its finding's, a page that answers the five questions."""
    alert = ALERTS[name]
    assert alert["annotations"]["summary"]
    assert alert.get("labels", {}).get("severity") in {"critical", "high", "medium", "low"} or "findings:increase5m" in alert["expr"]
    page = ROOT / alert["annotations"]["runbook"]
    assert page.name == f"{name}.md"
    headings = re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE)
    assert headings == ["Meaning", "Impact", "Causes", "Steps", "Remedy"]


def test_no_page_is_about_an_alert_that_is_gone() -> None:
    """AgentFinding is otel_ext's own."""
    assert {path.stem for path in (ROOT / "docs" / "runbooks").glob("*.md")} == {*ALERTS, "AgentFinding"}


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "runbooks").glob("*.md")), ids=lambda page: page.stem)
def test_runbooks_ask_for_metrics_that_exist(page: Path) -> None:
    """And link to pages that do."""
    text = page.read_text()
    names = set(re.findall(r"\b(?:otel_ext[_:]|otelcol_|llm_|mcp_)[a-z0-9_:]+", text))
    assert names <= known_metrics() | {"otel_ext_build_info"}
    assert all(page.with_name(link).exists() for link in re.findall(r"\]\((\w+\.md)\)", text))


def unit_tests() -> dict[str, list[bool]]:
    """Whether each alert shall fire, at the times of its unit test, in order."""
    cases: dict[str, list[bool]] = defaultdict(list)
    for path in sorted((CONFIG / "prometheus" / "tests").glob("*.yml")):
        for test in yaml.safe_load(path.read_text())["tests"]:
            for case in test["alert_rule_test"]:
                cases[case["alertname"]].append(bool(case.get("exp_alerts")))
    return cases


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_every_alert_is_tested(name: str) -> None:
    """Does not fire, fires, resolves."""
    assert unit_tests()[name] == [False, True, False]


def test_what_alertmanager_mutes_exists() -> None:
    """Names in its rules are alerts of ours."""
    tree = yaml.safe_load((CONFIG / "alertmanager" / "alertmanager.yml").read_text())
    matchers = [text for rule in tree["inhibit_rules"] for text in (*rule["source_matchers"], *rule["target_matchers"])]
    named = {name for text in matchers if text.startswith("alertname") for name in re.findall(r"\w+", text.split('"')[1])}
    assert named <= {*ALERTS, "AgentFinding"}
