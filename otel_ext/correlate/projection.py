"""What Langfuse's copy of each kept span gains: its type, the way back to Tempo, and what was found (reference: design 1.4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from otel_ext import semconv
from otel_ext.correlate import urls
from otel_ext.correlate.links import IdFragment, bit
from otel_ext.correlate.tree import Branch
from otel_ext.dialects import Mark
from otel_ext.model import StepKind
from otel_ext.settings import Links
from otel_ext.wire.encode import attribute, id_attribute
from otel_ext.wire.table import Column, IdColumn

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

    def __init__(self, links: Links) -> None:
        page = urls.tempo_template(links)
        self._id = IdFragment(semconv.TEMPO_TRACE_ID, urls.ID)
        self._url = IdFragment(semconv.TEMPO_URL, page) if page else None
        self._types = [attribute(semconv.OBSERVATION_TYPE, TYPES[kind]) if kind in TYPES else b"" for kind in StepKind]
        self._own_id = id_attribute(semconv.TEMPO_SPAN_ID, digits=16)
        self._root = [b"", attribute(semconv.IS_APP_ROOT, value=True)]

    def columns(self, spans: np.ndarray, branch: Branch, trace_ids: Sequence[bytes], langfuse_ids: Sequence[str]) -> list[Column]:
        """Fragments for the rows that *branch* keeps."""
        flags, kind = spans["flags"], spans["kind"]
        types = np.where(flags & np.uint32(bit(Mark.OBSERVATION_TYPE)) != 0, 0, kind).astype(np.uint32)
        roots = (branch.top & (flags & np.uint32(bit(Mark.IS_APP_ROOT)) == 0)).astype(np.uint32)
        return [(types, self._types), (roots, self._root), *self._origin(spans, branch, trace_ids, langfuse_ids)]

    def own_ids(self, spans: np.ndarray) -> Column:
        """Each span's own id, but where a span has that key already."""
        return IdColumn(spans["flags"] & np.uint32(bit(Mark.TEMPO_SPAN_ID)) == 0, *self._own_id, of_span=True)

    def _origin(self, spans: np.ndarray, branch: Branch, trace_ids: Sequence[bytes], langfuse_ids: Sequence[str]) -> Iterator[Column]:
        """The trace in Tempo: on topmost and agent spans, and on every span of a trace that goes by another id in Langfuse."""
        ids = [trace_id.hex() for trace_id in trace_ids]
        where = branch.top | (spans["kind"] == StepKind.AGENT)
        other = [langfuse_id not in ("", trace_id) for trace_id, langfuse_id in zip(ids, langfuse_ids, strict=True)]
        if any(other):
            where |= np.array([*other, False])[spans["trace"]]
        rows = np.where(where, spans["trace"] + np.uint32(1), np.uint32(0))
        yield _unless(spans, Mark.TEMPO_TRACE_ID, rows), [b"", *map(self._id, ids)]
        if self._url:
            yield _unless(spans, Mark.TEMPO_URL, rows), [b"", *map(self._url, ids)]


def _unless(spans: np.ndarray, mark: Mark, indices: np.ndarray) -> np.ndarray:
    """*indices*, 0 where the span carries the key already."""
    return np.where(spans["flags"] & np.uint32(bit(mark)) != 0, 0, indices).astype(np.uint32)
