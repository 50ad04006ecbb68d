"""One trial: fresh sinks, one fresh contender, one load; then what it cost, what arrived and how late."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from benchmarks import measure
from benchmarks.contenders import START_S_MAX, Contender, NotThere, Ports, fetch, program, running
from benchmarks.payload import SEED, Shape
from benchmarks.profiler import share_of

POLL_S: Final = 0.1
BUSY: Final = 0.25  # of a core: over it a contender is at work
DRAIN_S_MAX: Final = 60.0
SECOND_LOOKS: Final = 4  # a contender that retries or waits for a verdict may be quiet for some seconds and then send the rest
FINDINGS_METRIC: Final = "otel_ext_findings_total"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is sent in one trial."""

    shape: Shape
    spans: int
    warm_up: int = 0
    inflight: int = 8
    rate: float = 0.0
    seed: int = SEED
    lazy: bool = False
    quiet_s: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What one sink held in the end, against what was sent. Delays count from the client's first Export call of the batch."""

    spans: int
    missing: int
    doubled: int
    own: int
    delay_ms: tuple[float, float, float] = (0.0, 0.0, 0.0)  # p50, p99, largest


@dataclass(slots=True, kw_only=True)
class Result:
    """Figures of one trial. Without `seconds` there are none and `note` says why."""

    contender: str
    shape: str
    spans: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    idle_mib: float = 0.0
    now_mib: float = 0.0
    peak_mib: float = 0.0
    span_bytes: float = 0.0
    less: float = 0.0  # share of the CPU time that was taken off
    retries: int = 0
    refusal: str = ""
    late_ms_max: float = 0.0
    arrivals: dict[str, Arrival] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def cpu_us(self) -> float:
        """CPU microseconds a span."""
        return self.cpu_s / self.spans * 1e6 if self.spans else 0.0

    @property
    def rate(self) -> float:
        """Spans a second by the clock on the wall."""
        return self.spans / self.seconds if self.seconds else 0.0


def run_trial(contender: Contender, load: Load) -> Result:
    """Measure *contender* under *load*; one that cannot be started gives a Result with only a note."""
    result = Result(contender=contender.name, shape=load.shape.name)
    ports = Ports.free()
    with TemporaryDirectory(prefix="otel-ext-bench-") as name, _sinks(ports, Path(name), discard=load.lazy):
        folder = Path(name)
        try:
            with running(contender, ports, folder) as process:
                _measure(result, contender, load, ports, folder, process.pid)
        except NotThere as error:
            result.note = f"NOT THERE YET: {error}"
        except (RuntimeError, OSError) as error:
            result.note = f"FAILED: {error}"
    return result


def _measure(result: Result, contender: Contender, load: Load, ports: Ports, folder: Path, pid: int) -> None:
    result.idle_mib = measure.memory(pid).now_mib
    with program(_load_command(contender, load, ports, folder), folder / "load.log", talk=True) as generator:
        _expect(generator, folder)
        _await_quiet(ports, pid, load.quiet_s)
        with share_of(contender.less, pid, folder) as share:
            before, begun = measure.cpu_seconds(pid), time.monotonic_ns()
            _tell(generator)
            said = json.loads(_expect(generator, folder))
            _await_quiet(ports, pid, load.quiet_s)
            result.metrics = _scrape(contender, ports)
            after, memory = measure.cpu_seconds(pid), measure.memory(pid)
        generator.wait()
    result.spans, result.seconds = said["spans"], said["seconds"]
    result.retries, result.refusal = said["retries"], said["refusal"]
    result.late_ms_max, result.span_bytes = said["late_ms_max"], said["span_bytes"]
    result.cpu_s, result.less = (after - before) * (1 - share.value), share.value
    result.now_mib, result.peak_mib = memory.now_mib, memory.peak_mib
    result.note = f"FAILED {said['failed']} times: {said['error']}" if said["failed"] else ""
    if not load.lazy:
        _compare(result, contender, ports, folder, begun)


def _compare(result: Result, contender: Contender, ports: Ports, folder: Path, begun_ns: int) -> None:
    """Fill in what arrived; the time of a trial ends with the last arrival."""
    ledger = np.load(folder / "ledger.npz")
    last_ns = 0
    for look in range(SECOND_LOOKS):
        fetch(ports.langfuse, "/dump", str(folder))
        for sink in contender.sinks:
            arrived = np.load(folder / f"{sink}.npy")
            result.arrivals[sink] = _arrival(ledger, arrived, genai_only=sink == "langfuse")
            last_ns = max(last_ns, int(arrived["at_ns"].max(initial=0)))
        waited_for = any(arrival.missing for arrival in result.arrivals.values())
        if not waited_for or look == SECOND_LOOKS - 1:
            break
        time.sleep(3.0)
    result.seconds = max(result.seconds, (last_ns - begun_ns) / 1e9)


def _arrival(ledger: np.lib.npyio.NpzFile, arrived: np.ndarray, *, genai_only: bool) -> Arrival:
    """Join what was sent and what came by span id."""
    sent = ledger["rows"]
    sent = sent[sent["genai"]] if genai_only else sent
    came = arrived[~arrived["own"]]
    came = came[np.argsort(came["span"], kind="stable")]
    spans, first = np.unique(came["span"], return_index=True)
    at = np.searchsorted(spans, sent["span"]).clip(max=max(0, len(spans) - 1))
    there = spans[at] == sent["span"] if len(spans) else np.zeros(len(sent), dtype=bool)
    timed = there & (sent["batch"] >= int(ledger["warm"]))
    delays = came["at_ns"][first[at[timed]]] - ledger["started_ns"][sent["batch"][timed]]
    p50, p99, top = (np.percentile(delays, (50, 99, 100)) / 1e6).tolist() if len(delays) else (0.0, 0.0, 0.0)
    return Arrival(
        spans=len(came),
        missing=int((~there).sum()),
        doubled=len(came) - len(spans),
        own=int(arrived["own"].sum()),
        delay_ms=(p50, p99, top),
    )


@contextmanager
def _sinks(ports: Ports, folder: Path, *, discard: bool) -> Iterator[None]:
    command = [sys.executable, "-m", "benchmarks.sinks", "--grpc", str(ports.tempo), "--http", str(ports.langfuse)]
    with program(command + ["--discard"] * discard, folder / "sinks.log") as process:
        _await_sinks(ports, process, folder)
        yield


def _await_sinks(ports: Ports, process: subprocess.Popen[str], folder: Path) -> None:
    end = time.monotonic() + START_S_MAX
    while process.poll() is None and time.monotonic() < end:
        try:
            fetch(ports.langfuse, "/stats", timeout_s=1.0)
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"the sinks did not start: {(folder / 'sinks.log').read_text()[-2000:]}")


def _load_command(contender: Contender, load: Load, ports: Ports, folder: Path) -> list[str]:
    command = [
        *(sys.executable, "-m", "benchmarks.load", "--target", f"127.0.0.1:{ports.grpc}", "--shape", load.shape.name),
        *("--spans", str(load.spans), "--warm-up", str(load.warm_up), "--inflight", str(load.inflight)),
        *("--rate", str(load.rate), "--seed", str(load.seed)),
    ]
    return command + ["--looping"] * contender.finds + (["--lazy"] if load.lazy else ["--ledger", str(folder / "ledger.npz")])


def _expect(generator: subprocess.Popen[str], folder: Path) -> str:
    assert generator.stdout is not None
    line = generator.stdout.readline()
    if not line:
        raise RuntimeError(f"the load generator ended: {(folder / 'load.log').read_text()[-2000:]}")
    return line


def _tell(generator: subprocess.Popen[str]) -> None:
    assert generator.stdin is not None
    generator.stdin.write("go\n")
    generator.stdin.flush()


def _await_quiet(ports: Ports, pid: int, quiet_s: float) -> None:
    """Return when for *quiet_s* nothing new has come to the sinks and *pid* has been all but idle, or after DRAIN_S_MAX.

    Both, because a contender may compute for seconds between two requests: rotel compressing 65 MB does.
    """
    end = time.monotonic() + DRAIN_S_MAX
    seen, used, since = "", 0.0, time.monotonic()
    while time.monotonic() < end and time.monotonic() - since < quiet_s:
        time.sleep(POLL_S)
        now, cpu_s = fetch(ports.langfuse, "/stats"), measure.cpu_seconds(pid)
        if now != seen or cpu_s - used > BUSY * POLL_S:
            since = time.monotonic()
        seen, used = now, cpu_s


def _scrape(contender: Contender, ports: Ports) -> dict[str, float]:
    """Samples of /metrics that the tables use, summed over their labels; findings also by rule."""
    if not contender.finds:
        return {}
    samples: dict[str, float] = {}
    try:
        text = fetch(ports.admin, "/metrics")
    except OSError:
        return {}
    for line in text.splitlines():
        series, _, value = line.rpartition(" ")
        name, _, labels = series.partition("{")
        if not name.startswith("otel_ext_") or line.startswith("#"):
            continue
        samples[name] = samples.get(name, 0.0) + float(value)
        if name == FINDINGS_METRIC:
            rule = labels.partition('rule="')[2].partition('"')[0]
            samples[f"rule:{rule}"] = samples.get(f"rule:{rule}", 0.0) + float(value)
    return samples
