"""The real programs of the stack, at pinned versions: `python -m tests.stack.programs [name ...]` gets those that are missing.

Prometheus and Alertmanager are Debian's packages, unpacked into the cache: nothing is installed, no service is started. The others are
built with Go from the module proxy. Their go.mod have replace lines, which `go install` refuses; so a module of ours takes over their
requirements and replacements, and builds their command. Each program that cannot be had is left out, and said so.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CACHE: Final = Path(os.environ.get("STACK_CACHE") or Path.home() / ".cache" / "otel_ext" / "stack")
SOURCES: Final = Path(__file__).parent / "go"
DEBIAN: Final = CACHE / "debian"
TEMPLATES: Final = Path("/usr/share/prometheus/alertmanager")
BUILD_TIMEOUT_S: Final = 3 * 3600


class MissingError(Exception):
    """A program cannot be had here; the text says why and what would help."""


@dataclass(frozen=True)
class Program:
    """`get` puts the program into the cache; `minutes` is what that takes on two cores with nothing cached."""

    name: str
    version: str
    path: Path
    get: Callable[[Program], None]
    minutes: int
    needs: tuple[Path, ...] = ()  # files that it cannot do without

    @property
    def found(self) -> Path | None:
        """The binary: of STACK_<NAME> in the environment, else the cached one, else of the PATH for Debian's."""
        named = os.environ.get(f"STACK_{self.name.upper()}")
        if named:
            return Path(named)
        if self.path.exists() and all(needed.exists() for needed in self.needs):
            return self.path
        installed = shutil.which(self.path.name) if self.get is from_debian else None
        return Path(installed) if installed else None


@dataclass(frozen=True)
class Module:
    """A Go program of somebody else's: module, version, the package with its command, and the hash of what we looked at."""

    path: str
    version: str
    command: str
    sums: tuple[str, str]


# The commit of 2025-05-29, in the 2.8 line. The hash was compared with the repository's tree; the checksum database does not know it.
TEMPO: Final = Module(
    "github.com/grafana/tempo",
    "v1.5.1-0.20250529124718-87c2dc380cec",
    "github.com/grafana/tempo/cmd/tempo",
    ("h1:wnzJov9RhSHGaTYGzTygL4qq986fLen8xSqnQgaMd28=", "h1:j1IY7J2rUz7TcTjFVVx6HCpyTlYOJPtXuGRZ7sI+vSo="),
)
ALLOY: Final = Module(
    "github.com/grafana/alloy",
    "v1.19.0",
    ".",
    ("h1:FwqKfTqcYSEMwrQhorCymWjnSkb+tFkyLdBL26HiDSY=", "h1:owEtu2vMiI/gL04FEhlKO6DvNYHZDVY4OvKGsr3THqQ="),
)


def from_debian(program: Program) -> None:
    """Download and unpack both packages."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise MissingError(f"install prometheus and prometheus-alertmanager, or name the binary in STACK_{program.name.upper()}")
    folder = CACHE / "packages"
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["apt-get", "download", "-q", "prometheus", "prometheus-alertmanager"], cwd=folder, capture_output=True, text=True
    )
    if done.returncode:
        raise MissingError(f"apt-get download failed, `apt-get update` may help: {done.stderr.strip()[-200:]}")
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, DEBIAN], check=True)
    if program.name == "alertmanager":
        _place_templates()


def _place_templates() -> None:
    """Debian's Alertmanager reads its default templates from where its package would put them, and nowhere else."""
    if (TEMPLATES / "default.tmpl").exists():
        return
    try:
        shutil.copytree(DEBIAN / TEMPLATES.relative_to("/"), TEMPLATES, dirs_exist_ok=True)
    except OSError as error:
        raise MissingError(f"its templates belong into {TEMPLATES} ({error.strerror}); install prometheus-alertmanager as root") from None


def from_our_module(program: Program) -> None:
    """Build the Collector of go/collector: a main of ours with the components that collector_config uses."""
    build(SOURCES / program.name, ".", program.path)


def from_tempo(program: Program) -> None:
    """Build Tempo's own command."""
    build(derived(TEMPO, program), TEMPO.command, program.path, f"-X main.Version={program.version}")


def from_alloy(program: Program) -> None:
    """Build Alloy with all its components; the main is ours, its package flowcmd is the command."""
    build(derived(ALLOY, program), ALLOY.command, program.path)


def derived(module: Module, program: Program) -> Path:
    """A module of ours that requires *module* and takes over its requirements, replacements and checksums."""
    folder = CACHE / "modules" / f"{program.name}-{program.version}"
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{module.path} {module.version} {module.sums[0]}", f"{module.path} {module.version}/go.mod {module.sums[1]}"]
    (folder / "go.sum").write_text("\n".join(lines) + "\n")
    (folder / "go.mod").write_text(f"module example.invalid/stack/{program.name}\n")
    download = go(folder, "mod", "download", "-json", f"{module.path}@{module.version}")
    got = json.loads(download)
    theirs = [line for line in Path(got["GoMod"]).read_text().splitlines() if "=> ./" not in line]
    ours = re.sub(r"^module .*", f"module example.invalid/stack/{program.name}", "\n".join(theirs), count=1, flags=re.MULTILINE)
    (folder / "go.mod").write_text(f"{ours}\n\nrequire {module.path} {module.version}\n")
    (folder / "go.sum").write_text("\n".join(lines) + "\n" + (Path(got["Dir"]) / "go.sum").read_text())
    main = SOURCES / program.name / "main.go"
    if main.exists():
        shutil.copy(main, folder)
    return folder


def build(folder: Path, package: str, path: Path, ldflags: str = "") -> None:
    """`go build`, with nothing half-written where the result belongs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    go(folder, "build", "-trimpath", "-ldflags", f"-s -w {ldflags}", "-o", str(fresh), package)
    fresh.rename(path)


def go(folder: Path, *arguments: str) -> str:
    """What `go` prints; at the lowest priority, for a build takes all cores for a while."""
    if not shutil.which("go"):
        raise MissingError("Go is needed to build it: https://go.dev/doc/install")
    flags = f"-mod=mod {os.environ.get('GOFLAGS', '')}".strip()
    command = ["nice", "-n", "19", "go", *arguments]
    environment = {**os.environ, "GOFLAGS": flags}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if not line.startswith("go: downloading")]
        raise MissingError("; ".join(said[-3:])[-400:])
    return done.stdout


def _cached(name: str, version: str, get: Callable[[Program], None], minutes: int) -> Program:
    return Program(name, version, CACHE / f"{name}-{version}" / name, get, minutes)


def _packaged(name: str, binary: str, *needs: Path) -> Program:
    return Program(name, "Debian's", DEBIAN / "usr" / "bin" / binary, from_debian, 1, needs)


PROGRAMS: Final = {
    program.name: program
    for program in (
        _packaged("prometheus", "prometheus"),
        _packaged("promtool", "promtool"),
        _packaged("alertmanager", "prometheus-alertmanager", TEMPLATES / "default.tmpl"),
        _packaged("amtool", "amtool"),
        _cached("collector", "0.159.0", from_our_module, 5),
        _cached("tempo", "87c2dc380cec", from_tempo, 6),
        _cached("alloy", "1.19.0", from_alloy, 30),
    )
}


def get(names: Sequence[str]) -> int:
    """Get what is missing of *names*; the number of programs that cannot be had."""
    missing = 0
    for program in (PROGRAMS[name] for name in names):
        if program.found:
            print(f"{program.name} {program.version}: {program.found}")
            continue
        print(f"{program.name} {program.version}: about {program.minutes} min ...", flush=True)
        started = time.monotonic()
        try:
            program.get(program)
        except (MissingError, OSError, subprocess.SubprocessError) as error:
            missing += 1
            print(f"{'!' * 20} {program.name} CANNOT BE HAD, what needs it is skipped: {error}", flush=True)
        else:
            print(f"{program.name} {program.version}: {program.path}, took {time.monotonic() - started:.0f} s")
    return missing


if __name__ == "__main__":
    get(sys.argv[1:] or list(PROGRAMS))
