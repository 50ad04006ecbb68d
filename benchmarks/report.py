"""Results as text: what was run on what, and tables in which every ratio comes from one run."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.payload import SEED, SHAPES
from benchmarks.trial import FINDINGS_METRIC, Result

FLOOR: Final = "floor-forward"
RIVAL: Final = "rotel"
OPEN_TRACES_METRIC: Final = "otel_ext_open_traces"
LATE_MS_MAX: Final = 50.0
_PACKAGES: Final = ("otel-ext", "rotel", "grpcio", "uvloop", "aiohttp", "protobuf", "numpy")

Row = Sequence[str]


def table(head: Row, rows: Sequence[Row]) -> str:
    """Columns padded to their widest cell; the first and last to the left, figures to the right."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]

    def text(line: Row) -> str:
        last = len(line) - 1
        cells = [
            cell.ljust(width) if at in (0, last) else cell.rjust(width) for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    return "\n".join([text(head), "  ".join("-" * width for width in widths), *map(text, rows)])


def header(arguments: Sequence[str]) -> str:
    """The command, the versions and the machine."""
    packages = ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    return "\n".join(
        (
            f"command   python -m benchmarks.run {shlex.join(arguments)}".rstrip(),
            f"versions  Python {platform.python_version()}, {packages}",
            f"machine   {_cpu()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, load average {load}",
            f"payload   OTLP/gRPC on loopback, no TLS; seed {SEED}; traces of 16 spans: 3/4 GenAI (chat, tool, agent), 1/4 HTTP, SQL;",
            "          every trace has its own ids, call ids, arguments and answers; generator, contender and sinks share the cores",
            "figures   CPU: user + system time of the contender's process, all threads, less start and warm-up; median of the runs",
            "          spans/s: by the clock, until the last span has arrived; peak: VmHWM since the start of the process",
        )
    )


def throughput_table(shape: str, results: Sequence[Result], about: dict[str, str]) -> str:
    """One row a contender for one shape of batch."""
    names = list(dict.fromkeys(result.contender for result in results))
    runs = {name: [result for result in results if result.contender == name] for name in names}
    costs = {name: _median_us(runs[name]) for name in names}
    floor, rival = costs.get(FLOOR, 0.0), costs.get(RIVAL, 0.0)
    rows = [_throughput_row(name, runs[name], floor, rival) for name in names]
    head = ("contender", "spans/s", "CPU µs/span", "(least..most)", "peak MiB", f"x {FLOOR}", f"x {RIVAL}", "arrived, remarks")
    size = max((result.span_bytes for result in results), default=0.0)
    legend = "\n".join(f"  {name}: {about[name]}" for name in names)
    return f"== {shape}: {SHAPES[shape].about}; {size:.0f} bytes a span on average\n{table(head, rows)}\n{legend}"


def _throughput_row(name: str, runs: Sequence[Result], floor: float, rival: float) -> Row:
    good = [run for run in runs if run.spans and run.cpu_s]
    if not good:
        return (name, *["-"] * 6, runs[-1].note)
    costs = [run.cpu_us for run in good]
    cost = median(costs)
    return (
        name,
        f"{median(run.rate for run in good):,.0f}",
        f"{cost:.2f}",
        f"{min(costs):.2f}..{max(costs):.2f}",
        f"{max(run.peak_mib for run in good):.0f}",
        f"{cost / floor:.2f}" if floor else "-",
        f"{cost / rival:.2f}" if rival else "-",
        remarks(runs),
    )


def remarks(runs: Sequence[Result]) -> str:
    """Whether everything arrived in every run, and what else a reader must know."""
    parts = []
    for sink in dict.fromkeys(sink for run in runs for sink in run.arrivals):
        missing = sum(run.arrivals[sink].missing for run in runs if sink in run.arrivals)
        doubled = sum(run.arrivals[sink].doubled for run in runs if sink in run.arrivals)
        lost = " ".join([f"LOST {missing}"] * bool(missing) + [f"DOUBLED {doubled}"] * bool(doubled))
        parts.append(f"{sink}: {lost or 'all'}")
    if retries := sum(run.retries for run in runs):
        why = next(run.refusal for run in runs if run.retries)
        parts.append(f"refused for a while {retries} times ({why})")
    if less := [run.less for run in runs if run.less]:
        parts.append(f"{median(less):.0%} of its CPU time taken off")
    if found := [run for run in runs if FINDINGS_METRIC in run.metrics]:
        rules = sorted({name[5:] for run in found for name in run.metrics if name.startswith("rule:")})
        parts.append(f"findings {max(run.metrics[FINDINGS_METRIC] for run in found):.0f} ({', '.join(rules)})")
    parts += {run.note for run in runs if run.note}
    return "; ".join(parts)


def memory_table(results: Sequence[Result], traces: int) -> str:
    """Resident memory before the load and with every trace open."""
    rows = []
    for result in results:
        if not result.spans:
            rows.append((result.contender, *["-"] * 5, result.note))
            continue
        held = result.metrics.get(OPEN_TRACES_METRIC)
        per_trace = (result.now_mib - result.idle_mib) * 1024 * 1024 / traces
        figures = (f"{result.idle_mib:.0f}", f"{result.now_mib:.0f}", f"{result.peak_mib:.0f}", f"{per_trace:.0f}")
        rows.append((result.contender, *figures, "?" if held is None else f"{held:,.0f}", remarks([result])))
    head = ("contender", "idle MiB", "VmRSS MiB", "peak MiB", "bytes a trace", "open traces", "remarks")
    return f"== memory: {traces:,} open traces; {SHAPES['open'].about}\n{table(head, rows)}"


def delay_table(results: Sequence[Result], rate: float) -> str:
    """Milliseconds from the client's Export call to arrival at the sink."""
    rows = []
    for result in results:
        what = f"{result.contender}, batches of {result.shape}"
        if not result.spans:
            rows.append((what, *["-"] * 5, result.note))
        for sink, arrival in result.arrivals.items():
            late = f"GENERATOR LATE by up to {result.late_ms_max:.0f} ms; " if result.late_ms_max > LATE_MS_MAX else ""
            p50, p99, top = (f"{value:.1f}" for value in arrival.delay_ms)
            rows.append((what, sink, p50, p99, top, f"{result.cpu_us:.2f}", late + remarks([result])))
    head = ("contender", "sink", "p50 ms", "p99 ms", "most ms", "CPU µs/span", "remarks")
    return f"== delay at {rate:,.0f} spans a second, of each span\n{table(head, rows)}"


def _median_us(runs: Sequence[Result]) -> float:
    costs = [run.cpu_us for run in runs if run.cpu_s]
    return median(costs) if costs else 0.0


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        if package == "otel-ext":
            return "from the source tree"
        return "absent"


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), sys.platform)
