"""What share of a process's CPU time some functions take, by sampling with Linux perf."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.contenders import NotThere

START_S: Final = 0.5  # perf says nothing when it begins to sample


@dataclass(slots=True)
class Share:
    """0 to 1, known when the block is left."""

    value: float = 0.0


@contextmanager
def share_of(symbols: Sequence[str], pid: int, folder: Path) -> Iterator[Share]:
    """Sample *pid* while the block runs: the share of symbols that begin with one of *symbols*. Without symbols nothing is sampled.

    Raises NotThere where perf is missing or may not look.
    """
    share = Share()
    if not symbols:
        yield share
        return
    if not shutil.which("perf"):
        raise NotThere("needs Linux perf")
    data = folder / "perf.data"
    recorder = subprocess.Popen(
        ["perf", "record", "-F", "499", "-o", str(data), "-p", str(pid)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    time.sleep(START_S)
    try:
        yield share
    finally:
        recorder.send_signal(signal.SIGINT)
        recorder.wait()
    share.value = _read(data, symbols)


def _read(data: Path, symbols: Sequence[str]) -> float:
    command = ["perf", "report", "-i", str(data), "--no-children", "--stdio", "--sort", "symbol", "--percent-limit", "0"]
    text = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    percent = total = 0.0
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 3 and words[0].endswith("%") and words[1].startswith("["):
            total += float(words[0][:-1])
            percent += float(words[0][:-1]) if words[2].startswith(tuple(symbols)) else 0.0
    if not total:
        raise NotThere("perf may not sample here (kernel.perf_event_paranoid)")
    return percent / total
