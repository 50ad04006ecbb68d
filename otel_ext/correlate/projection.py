"""What Langfuse's copy of each kept span gains: its type, the way back to Tempo, and what was found (reference: design 1.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from otel_ext import semconv
from otel_ext.correlate import urls
from otel_ext.correlate.links import bit
from otel_ext.correlate.tree import Branch
from otel_ext.dialects import Mark
from otel_ext.model import StepKind
from otel_ext.settings import Links
from otel_ext.wire.encode import attribute
from otel_ext.wire.table import Column

# Lower case: a Langfuse server ignores any other spelling.
TYPES: Final = {
    StepKind.LLM: "generation",
    StepKind.TOOL: "tool",
    StepKind.AGENT: "agent",
    StepKind.RETRIEVER: "retriever",
    StepKind.EMBEDDING: "embedding",
    StepKind.CHAIN: "chain",
    StepKind.HANDOFF: "tool",
    StepKind.GUARDRAIL: "guardrail",
    StepKind.EVALUATOR: "evaluator",
}


class LlmLinks:
    """Fragments for the LLM tree."""

    id_key: Final = semconv.TEMPO_SPAN_ID

    def __init__(self, links: Links) -> None:
        self._page = urls.tempo_template(links)
        self._types = [attribute(semconv.OBSERVATION_TYPE, TYPES[kind]) if kind in TYPES else b"" for kind in StepKind]
        self._root = [b"", attribute(semconv.IS_APP_ROOT, value=True)]

    def columns(self, spans: np.ndarray, branch: Branch, trace_ids: Sequence[bytes], langfuse_ids: Sequence[str]) -> list[Column]:
        """Fragments for the rows that *branch* keeps."""
        flags, kind = spans["flags"], spans["kind"]
        types = np.where(flags & np.uint32(bit(Mark.OBSERVATION_TYPE)) != 0, 0, kind).astype(np.uint32)
        roots = (branch.top & (flags & np.uint32(bit(Mark.IS_APP_ROOT)) == 0)).astype(np.uint32)
        return [(types, self._types), (roots, self._root), self._origin(spans, branch, trace_ids, langfuse_ids)]

    def _origin(self, spans: np.ndarray, branch: Branch, trace_ids: Sequence[bytes], langfuse_ids: Sequence[str]) -> Column:
        """The trace in Tempo: on topmost and agent spans, and on every span of a trace that goes by another id in Langfuse."""
        fragments = [b""]
        other = np.zeros(len(trace_ids) + 1, dtype=np.bool_)
        for index, (trace_id, langfuse_id) in enumerate(zip(trace_ids, langfuse_ids, strict=True)):
            fragments.append(self._trace(trace_id.hex()))
            other[index] = bool(langfuse_id) and langfuse_id != trace_id.hex()
        where = branch.top | (spans["kind"] == StepKind.AGENT) | other[spans["trace"]]
        where &= spans["flags"] & np.uint32(bit(Mark.TEMPO_TRACE_ID)) == 0
        return np.where(where, spans["trace"] + np.uint32(1), np.uint32(0)).astype(np.uint32), fragments

    def _trace(self, trace_id: str) -> bytes:
        page = attribute(semconv.TEMPO_URL, urls.fill(self._page, trace_id)) if self._page else b""
        return attribute(semconv.TEMPO_TRACE_ID, trace_id) + page
