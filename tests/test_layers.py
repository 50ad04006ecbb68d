"""The house stays in order: imports go down only, siblings at the edge do not know each other, third-party names stay in their room."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "otel_ext"

# Longest prefix wins.
LAYERS = {
    "bounds": 0,
    "configadvice": 0,
    "configfile": 0,
    "configlines": 0,
    "detection": 0,
    "errors": 0,
    "model": 0,
    "semconv": 0,
    "settings": 0,
    "dialects": 1,
    "wire": 1,
    "correlate": 2,
    "detectors": 2,
    "findings": 2,
    "prices": 2,
    "redact": 2,
    "rules": 2,
    "unknown_scopes": 2,
    "arithmetic": 3,
    "arrivals": 3,
    "hearing": 3,
    "giving": 3,
    "judge": 3,
    "ledger": 3,
    "pipeline": 3,
    "samples": 3,
    "tracebook": 3,
    "verdicts": 3,
    "admin": 4,
    "baselinestore": 4,
    "exporters": 4,
    "intake": 4,
    "linkstore": 4,
    "logs": 4,
    "offline": 4,
    "pricelist": 4,
    "receivers": 4,
    "calibrate": 4,
    "explain": 4,
    "report": 4,
    "ruleload": 4,
    "sdk": 4,
    "__init__": 5,
    "__main__": 5,
    "app": 5,
    "reload": 5,
    "footprint": 5,
    "cli": 5,
    "demo": 5,
    "doctor": 5,
    "fanout": 5,
    "inprocess": 5,
    "langfuse": 5,
    "outputs": 5,
    "pricecommands": 5,
    "selfreport": 5,
    "stores": 5,
    "tenants": 5,
    "testing": 5,
}
EDGE = 4
OWNERS = {
    "grpc": {"receivers/grpc.py", "exporters/otlp.py", "exporters/retry.py"},
    "aiohttp": {
        "receivers/http.py",
        "receivers/body.py",
        "receivers/standin.py",
        "exporters/http.py",
        "admin.py",
        "langfuse/http.py",
        "doctor/web.py",
    },
    "uvloop": {"app.py"},
    "prometheus_client": {"exporters/prometheus.py", "exporters/series.py"},
    "yaml": {"configlines.py"},
    "xxhash": {"wire/"},
    "opentelemetry.proto": {"wire/", "receivers/", "exporters/"},
    "opentelemetry.sdk": {"sdk/"},
    "opentelemetry.exporter": {"sdk/"},
    "structlog": set(),
    "mcp": set(),
    "google": {"receivers/", "exporters/"},
}
# What says the time, rolls dice or does I/O by itself: nothing below the edge may.
IMPURE = {"time", "random", "socket", "asyncio", "threading", "logging", "secrets", "uuid", "subprocess"}

FILES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))


def imports(file: str) -> Iterator[str]:
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(name: str) -> str:
    return name.removeprefix("otel_ext").strip(".").split(".")[0] or "__init__"


def home(file: str) -> str:
    return file.removesuffix(".py").split("/")[0]


@pytest.mark.parametrize("file", FILES)
def test_imports_go_down_only(file: str) -> None:
    """A room imports rooms of its own layer or below; at the edge, only its own."""
    here = home(file)
    for name in imports(file):
        if not name.startswith("otel_ext.") or name == "otel_ext.__version__":
            continue
        there = room(name)
        assert LAYERS[there] <= LAYERS[here], f"{file} imports {name}, which is above it"
        if LAYERS[here] == EDGE and LAYERS[there] == EDGE and there not in ("logs", "report", "explain"):
            assert there == here, f"{file} imports {name}: rooms at the edge do not know each other"


@pytest.mark.parametrize("file", FILES)
def test_third_party_names_stay_in_their_room(file: str) -> None:
    """A library is imported where it is owned, nowhere else."""
    for name in imports(file):
        for package, owners in OWNERS.items():
            if name == package or name.startswith(package + "."):
                assert any(file == owner or (owner.endswith("/") and file.startswith(owner)) for owner in owners), f"{file} imports {name}"


@pytest.mark.parametrize("file", [file for file in FILES if LAYERS[home(file)] < EDGE])
def test_nothing_below_the_edge_reads_a_clock_or_does_io(file: str) -> None:
    """Time, ids and randomness come in as arguments."""
    taken = {name.split(".")[0] for name in imports(file)} & IMPURE
    assert not taken, f"{file} imports {taken}"


def test_the_table_of_layers_is_complete() -> None:
    """Every room has a layer, and every layer entry a room."""
    assert {home(file) for file in FILES} == {name for name in LAYERS if (ROOT / name).is_dir() or (ROOT / f"{name}.py").exists()}
