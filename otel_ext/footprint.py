"""How the process holds its memory: what glibc's malloc and the garbage collector are told, for a program whose batches are megabytes."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable
from functools import partial

from otel_ext.settings import MIB

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # malloc.h


def trimmer() -> Callable[[], object]:
    """Gives freed memory back to the system: glibc keeps what lies below the newest long-lived block, and batches leave much of that."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    return partial(trim, 0) if trim else lambda: None


def keep_large_blocks() -> None:
    """Let batches of some megabytes come from memory used before: by default glibc maps fresh pages for them, and faults cost CPU time.

    What is kept this way goes back with the next trim.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mallopt(M_MMAP_THRESHOLD, 32 * MIB)
        mallopt(M_TRIM_THRESHOLD, 256 * MIB)
        # One heap: what the threads of gRPC free is used again by ours, and the other way round.
        mallopt(M_ARENA_MAX, 1)


def quiet_the_collector() -> None:
    """Keep the garbage collector off what lives as long as the process, and let open traces grow without a full pass each time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 1_000)
