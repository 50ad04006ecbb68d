"""compose.yaml and the Kubernetes files agree with the files they mount, with each other, and with the versions that were run."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from otel_ext.configfile import load
from tests.stack.programs import PROGRAMS
from tests.test_collector_config import CONFIG, KEYS, KUBERNETES, defaults, ours

COMPOSE = yaml.safe_load((CONFIG / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


# -- compose


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_images_are_pinned(name: str) -> None:
    """To a version: what was tested is what comes up. Our own is built from the working copy."""
    image = SERVICES[name]["image"]
    assert re.search(r":v?\d+\.\d+\.\d+$", image) or (image == "otel_ext:local" and "build" in SERVICES[name])


def test_images_are_those_that_were_run() -> None:
    """The versions of tests/stack, where it builds the program."""
    collectors = [
        container["image"]
        for each in KUBERNETES.values()
        for document in each
        for container in containers(document)
        if "collector" in container["image"]
    ]
    assert collectors == [f"otel/opentelemetry-collector-contrib:{PROGRAMS['collector'].version}"]
    alloys = {service["image"] for service in SERVICES.values() if "/alloy:" in service["image"]}
    assert alloys == {f"grafana/alloy:v{PROGRAMS['alloy'].version}"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_what_compose_mounts_is_there(name: str) -> None:
    """Files and folders of this repository, and volumes that are declared."""
    for volume in SERVICES[name].get("volumes", ()):
        source = volume.split(":")[0]
        assert (CONFIG / source).exists() if source.startswith(".") else source in COMPOSE["volumes"], volume


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_compose_runs_files_that_are_mounted(name: str) -> None:
    """Every path under /etc in a command is a file under a mount."""
    mounts = dict(reversed(volume.split(":")[:2]) for volume in SERVICES[name].get("volumes", ()))
    for path in re.findall(r"/etc/[\w./-]+", " ".join(map(str, SERVICES[name].get("command", ())))):
        target = next((target for target in mounts if path == target or path.startswith(f"{target}/")), "")
        assert target, path
        assert (CONFIG / mounts[target] / path.removeprefix(target).lstrip("/")).exists() or (CONFIG / mounts[target]).is_file(), path


def test_compose_talks_to_services_that_listen() -> None:
    """Every `name:port` in an environment is a service, and one that listens there."""
    said = {(name, key): str(value) for name, each in SERVICES.items() for key, value in each.get("environment", {}).items()}
    listening = {(name, value.rpartition(":")[2]) for (name, _), value in said.items() if value.startswith("0.0.0.0:")}
    listening |= {("prometheus", "9090"), ("alertmanager", "9093"), ("loki", "3100"), ("tempo", "3200"), ("grafana", "3000")}
    for (name, key), value in said.items():
        for host, port in re.findall(r"(?:^|//)([a-z_]+):(\d+)", value):
            assert host == "localhost" or (host in SERVICES and (host, port) in listening), (name, key, value)


def test_compose_sets_variables_that_are_read() -> None:
    """In our files or by the image."""
    read = {*defaults(), *KEYS, "GRAFANA_URL", "LANGFUSE_URL", "PROMETHEUS_URL", "TEMPO_URL", "LOKI_URL", "TEMPO_HTTP_ADDRESS"}
    for name, service in SERVICES.items():
        assert {key for key in service.get("environment", {}) if not key.startswith("GF_")} <= read, name


def test_ports_are_open_on_loopback_alone() -> None:
    """There is no authentication in this stack."""
    assert all(port.startswith("127.0.0.1:") for service in SERVICES.values() for port in service.get("ports", ()))


# -- kubernetes


def containers(document: dict[str, Any]) -> list[dict[str, Any]]:
    spec = document.get("spec", {}).get("template", {}).get("spec", {}) if document["kind"] in ("Deployment", "StatefulSet") else {}
    return [*spec.get("containers", ()), *spec.get("initContainers", ())]


WORKLOADS = [(name, document) for name, each in KUBERNETES.items() for document in each if containers(document)]


@pytest.mark.parametrize(("name", "workload"), WORKLOADS, ids=[f"{name} {workload['metadata']['name']}" for name, workload in WORKLOADS])
def test_containers_are_probed_and_limited(name: str, workload: dict[str, Any]) -> None:
    """Those of ours and the Collector's; liveness never asks about destinations, or their outage would restart us."""
    mine = [each for each in containers(workload) if "otel-ext" in each["image"] or "collector" in each["image"]]
    assert mine
    for container in mine:
        assert container["livenessProbe"]["httpGet"]["path"] in ("/health", "/")
        assert container["resources"]["limits"]["memory"]
        assert container["resources"]["requests"]["cpu"]
        assert container["securityContext"]["runAsNonRoot"]
        named = {port["name"] for port in container["ports"]}
        assert {probe["httpGet"]["port"] for key, probe in container.items() if key.endswith("Probe")} <= named


@pytest.mark.parametrize(("name", "workload"), WORKLOADS, ids=[f"{name} {workload['metadata']['name']}" for name, workload in WORKLOADS])
def test_containers_mount_what_they_read(name: str, workload: dict[str, Any]) -> None:
    """ConfigMaps exist in the same file, and hold the file that the command names."""
    maps = {document["metadata"]["name"]: document["data"] for document in KUBERNETES[name] if document["kind"] == "ConfigMap"}
    volumes = {volume["name"]: maps[volume["configMap"]["name"]] for volume in workload["spec"]["template"]["spec"]["volumes"]}
    for container in containers(workload):
        folders = {mount["mountPath"]: volumes.get(mount["name"], {}) for mount in container.get("volumeMounts", ())}
        for path in re.findall(r"/etc/[\w./-]+", " ".join(container.get("args", ()))):
            folder, _, file = path.rpartition("/")
            assert file in folders[folder], path


def test_selectors_select() -> None:
    """Services, budgets and workloads: each finds pods of its own file; a service's ports are a container's."""
    for each in KUBERNETES.values():
        pods = [document["spec"]["template"] for document in each if containers(document)]
        for document in each:
            selector = document.get("spec", {}).get("selector", {})
            wanted = selector.get("matchLabels", selector)
            if not wanted:
                continue
            found = [pod for pod in pods if wanted.items() <= pod["metadata"]["labels"].items()]
            assert found, document["metadata"]
            if document["kind"] == "Service":
                ports = {port["containerPort"] for pod in found for each in pod["spec"]["containers"] for port in each["ports"]}
                assert {port["port"] for port in document["spec"]["ports"]} <= ports


def test_the_gateway_has_budgets() -> None:
    """One pod of each kind at a time."""
    budgets = {document["metadata"]["name"] for document in KUBERNETES["gateway.yaml"] if document["kind"] == "PodDisruptionBudget"}
    assert budgets == {workload["metadata"]["name"] for name, workload in WORKLOADS if name == "gateway.yaml"}


def test_pods_have_time_to_deliver() -> None:
    """More than `shutdown_timeout`: the queue is in memory."""
    for name, workload in WORKLOADS:
        text = next((text for file, text in ours() if file == name), "")
        assert workload["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > load(text, KEYS).shutdown_timeout / 1e9
