"""Who is measured: a contender is a program with a start command, ports and a sign that it is ready. Nothing of it is imported here."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
START_S_MAX: Final = 20.0
STOP_S_MAX: Final = 15.0
_DIRECT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class NotThere(Exception):
    """The contender could not be started; the message says why in one line."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Free ports of one run: the contender's own, and those of the sinks."""

    grpc: int
    http: int
    admin: int
    tempo: int
    langfuse: int

    @classmethod
    def free(cls) -> Ports:
        """Five ports that nobody listens on now."""
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(5)]
        ports = [each.getsockname()[1] for each in sockets]
        for each in sockets:
            each.close()
        return cls(*ports)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One row of the table. `sinks` are those that must hold every span afterwards."""

    name: str
    about: str
    command: Callable[[Ports, Path], list[str]]
    sinks: tuple[str, ...] = ("tempo",)
    env: Mapping[str, str] = field(default_factory=dict)
    ready_path: str = ""  # on the admin port; without one, an open gRPC port is the sign
    finds: bool = False  # must report the looping trace of the warm-up, and no healthy one
    load: float = 1.0  # share of the load that it gets: a slow one is as exact with little
    less: tuple[str, ...] = ()  # symbols whose share of the CPU time is taken off (benchmarks.profiler)


def _floor(*, forward: bool) -> Callable[[Ports, Path], list[str]]:
    def command(ports: Ports, _folder: Path) -> list[str]:
        to = ["--to", f"127.0.0.1:{ports.tempo}"] if forward else []
        return [sys.executable, "-m", "benchmarks.floor", "--port", str(ports.grpc), *to]

    return command


def rotel_binary() -> Path:
    """The program inside the rotel wheel; raises NotThere."""
    spec = find_spec("rotel")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        binary = Path(folder) / "rotel-agent"
        if binary.exists():
            return binary
    raise NotThere("rotel is not installed: pip install rotel (wheels for CPython 3.11 on Linux)")


def _rotel(*flags: str) -> Callable[[Ports, Path], list[str]]:
    def command(ports: Ports, folder: Path) -> list[str]:
        exporter = () if "--exporter" in flags else ("--exporter", "otlp", "--otlp-exporter-endpoint", f"http://127.0.0.1:{ports.tempo}")
        return [
            *(str(rotel_binary()), "start"),
            *("--pid-file", str(folder / "rotel.pid"), "--log-file", str(folder / "rotel.log")),
            *("--otlp-grpc-endpoint", f"127.0.0.1:{ports.grpc}", "--otlp-http-endpoint", f"127.0.0.1:{ports.http}"),
            *("--otlp-exporter-compression", "none"),
            *exporter,
            *flags,
        ]

    return command


_OURS: Final = """\
receivers:
  grpc: {{endpoint: 127.0.0.1:{ports.grpc}}}
  http: {{endpoint: 127.0.0.1:{ports.http}}}
admin: {{endpoint: 127.0.0.1:{ports.admin}}}
links:
  langfuse_url: http://127.0.0.1:{ports.langfuse}
  langfuse_project: clx123
  grafana_url: https://grafana.example
  tempo_datasource: tempo
detect:
  tool_skipping:
    expectations:
      - {{agent: "planner*", require: [search, calculate]}}
  loop: {{max_iterations: 10, identical_calls: 3, cycle_period: 3, cycle_repeats: 3}}
  token_spike: {{multiplier: 3.0, baseline_tokens: 2000, min_samples: 10}}
traces: {{idle_timeout: {idle_timeout}, max_traces: 100000}}
exporters:
  tempo: {{endpoint: "http://127.0.0.1:{ports.tempo}", protocol: grpc, compression: {compression}}}
"""
_OURS_MORE: Final = """\
  langfuse: {{host: "http://127.0.0.1:{ports.langfuse}", public_key: pk-lf-bench, secret_key: sk-lf-bench, scores: true}}
  prometheus: {{max_series_per_metric: 2000}}
"""


def ours_config(ports: Ports, *, all_destinations: bool = True, idle_timeout: str = "5m", compression: str = "none") -> str:
    """The sidecar's configuration file."""
    text = _OURS + (_OURS_MORE if all_destinations else "")
    return text.format(ports=ports, idle_timeout=idle_timeout, compression=compression)


def _ours(**settings: Any) -> Callable[[Ports, Path], list[str]]:
    def command(ports: Ports, folder: Path) -> list[str]:
        config = folder / "otel-ext.yaml"
        config.write_text(ours_config(ports, **settings))
        return [sys.executable, "-m", "otel_ext", "serve", "--config", str(config)]

    return command


def _sidecar(
    name: str, about: str, *, all_destinations: bool, idle_timeout: str = "5m", compression: str = "none", codec: str = ""
) -> Contender:
    return Contender(
        name=name,
        about=about,
        command=_ours(all_destinations=all_destinations, idle_timeout=idle_timeout, compression=compression),
        sinks=("tempo", "langfuse") if all_destinations else ("tempo",),
        env={"OTEL_EXT_CODEC": codec} if codec else {},
        ready_path="/ready",
        finds=True,
        load=0.1 if codec == "python" else 1.0,
    )


# rotel 0.0.1a15 compresses what it sends whatever --otlp-exporter-compression says: 49.2 MB of spans were 5.5 MB on the wire with `none`.
# So it is shown as it is, beside ours with gzip; with the symbols of its zlib taken off by perf; and receiving only.
ZLIB_SYMBOLS: Final = (
    *("longest_match", "deflate_", "insert_string", "quick_insert_string", "compress_block", "pqdownheap", "slide_hash", "fill_window"),
    *("build_tree", "send_tree", "scan_tree", "gen_codes", "gen_bitlen", "read_buf", "flush_pending", "crc32", "zng_", "init_block"),
)

CONTENDERS: Final = {
    each.name: each
    for each in (
        Contender(name="floor-receive", about="grpc.aio + uvloop takes the bytes unread", command=_floor(forward=False), sinks=()),
        Contender(name="floor-forward", about="the same, and sends them on before it answers", command=_floor(forward=True)),
        Contender(
            name="rotel",
            about="OTLP gRPC in and out, no processor, batching as by default (8192 spans or 200 ms); always sends gzip",
            command=_rotel(),
        ),
        Contender(
            name="rotel-less-gzip",
            about="the same, less the share of CPU time that perf finds in its zlib",
            command=_rotel(),
            less=ZLIB_SYMBOLS,
        ),
        Contender(
            name="rotel-receive", about="receives, decodes, drops (blackhole exporter)", command=_rotel("--exporter", "blackhole"), sinks=()
        ),
        Contender(name="rotel-unbatched", about="as rotel, with --disable-batching", command=_rotel("--disable-batching")),
        _sidecar("ours", "links, rules, metrics, Tempo by gRPC + Langfuse by HTTP + Prometheus", all_destinations=True),
        _sidecar("ours-tempo", "links, rules, Tempo by gRPC only", all_destinations=False),
        _sidecar("ours-tempo-gzip", "links, rules, Tempo by gRPC only, gzip as rotel", all_destinations=False, compression="gzip"),
        _sidecar("ours-python", "as ours, on the pure codec (OTEL_EXT_CODEC=python)", all_destinations=True, codec="python"),
        _sidecar("ours-open", "as ours, traces stay open for an hour", all_destinations=True, idle_timeout="1h"),
    )
}


@contextmanager
def program(command: list[str], log: Path, *, env: Mapping[str, str] | None = None, talk: bool = False) -> Iterator[subprocess.Popen[str]]:
    """Run *command* with its errors in *log*; it is ended when the block is left. With *talk*, stdin and stdout are pipes."""
    with log.open("w") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE if talk else subprocess.DEVNULL,
            stdout=subprocess.PIPE if talk else errors,
            stderr=errors,
            text=True,
            cwd=ROOT,
            env={**os.environ, **(env or {})},
        )
    with process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def running(contender: Contender, ports: Ports, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """*contender*, ready; raises NotThere with its last line of errors where it does not become so within START_S_MAX."""
    log = folder / "contender.log"
    with program(contender.command(ports, folder), log, env=contender.env) as process:
        _await_ready(contender, ports, process, log)
        yield process


def _await_ready(contender: Contender, ports: Ports, process: subprocess.Popen[str], log: Path) -> None:
    end = time.monotonic() + START_S_MAX
    while time.monotonic() < end:
        if process.poll() is not None:
            raise NotThere(f"exit code {process.returncode}: {_last_line(log)}")
        if _ready(contender, ports):
            return
        time.sleep(0.05)
    raise NotThere(f"not ready after {START_S_MAX:.0f} s: {_last_line(log)}")


def _ready(contender: Contender, ports: Ports) -> bool:
    try:
        if contender.ready_path:
            fetch(ports.admin, contender.ready_path, timeout_s=1.0)
        socket.create_connection(("127.0.0.1", ports.grpc), timeout=0.5).close()
    except OSError:
        return False
    return True


def fetch(port: int, path: str, body: str | None = None, *, timeout_s: float = 120.0) -> str:
    """GET *path*, or POST *body* to it, whatever proxy is set; raises OSError, also for an answer that is not 2xx."""
    data = None if body is None else body.encode()
    with _DIRECT.open(f"http://127.0.0.1:{port}{path}", data=data, timeout=timeout_s) as answer:
        return str(answer.read().decode())


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip()[:200] if lines else "it said nothing"
