"""The LLM tree inside the whole one: which spans Langfuse gets, and under which parent.

A span left out is bridged: its kept descendants hang on its nearest kept ancestor, also when that was seen in an earlier batch.
A span that should be left out is sent after all when a kept child already left with it as parent: the tree stays whole, whatever the order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import Final, TypeVar

import numpy as np

from otel_ext.correlate.links import bit
from otel_ext.dialects import Mark
from otel_ext.model import StepKind
from otel_ext.wire.table import Flag

KEPT: Final = (
    StepKind.LLM,
    StepKind.TOOL,
    StepKind.AGENT,
    StepKind.RETRIEVER,
    StepKind.EMBEDDING,
    StepKind.HANDOFF,
    StepKind.CHAIN,
    StepKind.GUARDRAIL,
    StepKind.EVALUATOR,
)
_KEEP: Final = np.zeros(256, dtype=np.bool_)
_KEEP[list(KEPT)] = True
_TYPED: Final = np.uint32(bit(Mark.OBSERVATION_TYPE))
_Value = TypeVar("_Value")
_DEPTH_MAX: Final = 64  # hops over spans left out; a longer chain keeps its last known parent


@dataclass(frozen=True, slots=True)
class Branch:
    """A batch as Langfuse gets it: `keep` and `parents` a row for `Codec.project`, `top` marks the topmost kept spans."""

    keep: np.ndarray
    parents: np.ndarray
    top: np.ndarray


@dataclass(slots=True)
class LlmTree:
    """Remembers spans left out and parents awaited, `memory_max` of each; the oldest go first, and are counted."""

    memory_max: int
    forgotten: int = 0
    _left_out: dict[int, tuple[int, bool]] = field(default_factory=dict)  # span id -> (parent id, parent is remote)
    _awaited: dict[int, None] = field(default_factory=dict)  # parent ids of spans already sent

    def branch(self, spans: np.ndarray, more: np.ndarray | None = None) -> Branch:
        """Which of *spans* to send, and their parents; *more* (bool a row) besides. Rows with invalid ids are never kept."""
        valid = spans["flags"] & np.uint32(Flag.INVALID_ID) == 0
        # An observation type set by hand says that the span is meant for Langfuse, whatever its kind.
        keep = _KEEP[spans["kind"]] | (spans["flags"] & _TYPED != 0)
        keep = (keep if more is None else keep | more) & valid
        self._take_awaited(spans, keep, valid)
        rows = _parent_rows(spans)
        parents = spans["parent_id"].copy()
        remote = spans["flags"] & np.uint32(Flag.REMOTE_PARENT) != 0
        open_ends = _climb(keep, rows, parents, remote)
        top = keep & ((parents == 0) | remote) & open_ends
        self._resolve(np.flatnonzero(keep & open_ends & ~top), parents, top)
        self._forget(self._awaited)
        self._remember(spans, np.flatnonzero(~keep & valid))
        return Branch(keep, parents, top)

    def _take_awaited(self, spans: np.ndarray, keep: np.ndarray, valid: np.ndarray) -> None:
        if not self._awaited:
            return
        ids = spans["span_id"].tolist()
        if self._awaited.keys().isdisjoint(ids):
            return
        for row, span_id in enumerate(ids):
            if span_id in self._awaited and valid[row]:
                del self._awaited[span_id]
                keep[row] = True

    def _resolve(self, rows: np.ndarray, parents: np.ndarray, top: np.ndarray) -> None:
        """Parents that are not in this batch: bridge those left out earlier, await the others."""
        for row in rows.tolist():
            parent, remote = int(parents[row]), False
            for _ in range(_DEPTH_MAX):
                if parent not in self._left_out or remote:
                    break
                parent, remote = self._left_out[parent]
            parents[row] = parent
            if parent == 0 or remote:
                top[row] = True
            else:
                self._awaited[parent] = None

    def _remember(self, spans: np.ndarray, rows: np.ndarray) -> None:
        remote = (spans["flags"][rows] & np.uint32(Flag.REMOTE_PARENT) != 0).tolist()
        parents = zip(spans["parent_id"][rows].tolist(), remote, strict=True)
        self._left_out.update(zip(spans["span_id"][rows].tolist(), parents, strict=True))
        self._forget(self._left_out)

    def _forget(self, memory: dict[int, _Value]) -> None:
        """Down to the bound, the oldest first."""
        excess = len(memory) - self.memory_max
        if excess > 0:
            self.forgotten += excess
            for key in list(islice(memory, excess)):
                del memory[key]


def _parent_rows(spans: np.ndarray) -> np.ndarray:
    """The row of each span's parent, or -1 where it is not in this batch."""
    ids = spans["span_id"]
    order = np.argsort(ids, kind="stable")
    at = np.searchsorted(ids[order], spans["parent_id"])
    rows = order[np.minimum(at, len(order) - 1)] if len(order) else at
    return np.where((ids[rows] == spans["parent_id"]) & (spans["parent_id"] != 0), rows, -1)


def _climb(keep: np.ndarray, rows: np.ndarray, parents: np.ndarray, remote: np.ndarray) -> np.ndarray:
    """Move *parents* over spans left out, within the batch; True where the chain ends outside of it or at a root."""
    at, spans_parents = rows.copy(), parents.copy()
    for _ in range(_DEPTH_MAX):
        bridged = keep & (at >= 0) & ~keep[at]
        if not bridged.any():
            break
        over = at[bridged]
        parents[bridged] = spans_parents[over]
        remote[bridged] = remote[over]
        at[bridged] = rows[over]
    return at < 0
