"""One stage for all tests, and one real sidecar process with both destinations a module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from otel_ext.wire import NATIVE
from tests.e2e.kit import Inside, Langfuse, Process, Stage, Tempo, config, started


@dataclass
class Rig:
    """A sidecar process between real senders and strict destinations."""

    tempo: Tempo
    langfuse: Langfuse
    sidecar: Process


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    it = Stage()
    yield it
    it.close()


@pytest.fixture(scope="module", params=["native", "python"])
def codec(request: pytest.FixtureRequest) -> str:
    """Both codecs, for modules that run over both."""
    if request.param == "native" and not NATIVE:
        pytest.skip("the native codec was not built")
    return str(request.param)


def make_rig(stage: Stage, directory: Any, protocol: str, **environ: str) -> Iterator[Rig]:
    tempo, langfuse = Tempo(stage), Langfuse(stage)
    with started(stage, tempo, langfuse):
        sidecar = Process(directory, config(tempo, langfuse, protocol=protocol), **environ)
        try:
            yield Rig(tempo, langfuse, sidecar)
        finally:
            sidecar.close()


@pytest.fixture(scope="module")
def rig(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """The native codec where it was built."""
    yield from make_rig(stage, tmp_path_factory.mktemp("rig"), "grpc")


@pytest.fixture(scope="module")
def both(stage: Stage, tmp_path_factory: pytest.TempPathFactory, codec: str) -> Iterator[Rig]:
    """A rig a codec: Tempo over gRPC with the native one, over HTTP with the pure one."""
    protocol = "grpc" if codec == "native" else "http"
    yield from make_rig(stage, tmp_path_factory.mktemp(codec), protocol, OTEL_EXT_CODEC="" if codec == "native" else "python")


@pytest.fixture
def destinations(stage: Stage) -> Iterator[tuple[Tempo, Langfuse]]:
    """Strict destinations for one test."""
    tempo, langfuse = Tempo(stage), Langfuse(stage)
    with started(stage, tempo, langfuse):
        yield tempo, langfuse


@pytest.fixture
def inside(stage: Stage) -> Iterator[Callable[[dict[str, Any]], Inside]]:
    """Sidecars in this process, by configuration."""
    running: list[Inside] = []

    def start(tree: dict[str, Any]) -> Inside:
        running.append(Inside(stage, tree))
        return running[-1]

    yield start
    for sidecar in running:
        sidecar.close()


@pytest.fixture
def serve(tmp_path: Any) -> Iterator[Callable[..., Process]]:
    """Sidecar processes, by configuration."""
    running: list[Process] = []

    def start(tree: dict[str, Any] | None, **environ: str) -> Process:
        running.append(Process(tmp_path, tree, **environ))
        return running[-1]

    yield start
    for sidecar in running:
        sidecar.close()
