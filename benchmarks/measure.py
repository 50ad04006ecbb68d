"""What the kernel says about a process: CPU seconds of all its threads and children, memory now and at its peak."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory in MiB."""

    now_mib: float
    peak_mib: float


def cpu_seconds(pid: int) -> float:
    """User and system seconds of *pid* and the processes under it, its dead threads and reaped children included. Steps of 10 ms."""
    ticks = 0
    for process in _tree(pid):
        fields = _stat(process)
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / _TICKS_PER_S


def memory(pid: int) -> Memory:
    """VmRSS and VmHWM of *pid* and the processes under it. The peak is since the process began."""
    now = peak = 0
    for process in _tree(pid):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                now += int(line.split()[1])
            elif line.startswith("VmHWM:"):
                peak += int(line.split()[1])
    return Memory(now / 1024, peak / 1024)


def _tree(pid: int) -> list[int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields:
                parents[int(entry.name)] = int(fields[1])
    tree = [pid]
    for process in tree:
        tree += [child for child, parent in parents.items() if parent == process]
    return tree


def _stat(pid: int) -> list[str]:
    """Fields of /proc/<pid>/stat from the state on; empty where the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text.rpartition(")")[2].split()
