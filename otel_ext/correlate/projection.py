"""What Langfuse's copy of each kept span gains: its type, the way back to Tempo, and what was found (reference: design 1.4)."""

from __future__ import annotations

from typing import Final

import numpy as np

from otel_ext import semconv
from otel_ext.correlate import urls
from otel_ext.correlate.links import InLangfuse, taken
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
        self._trace_id = id_attribute(semconv.TEMPO_TRACE_ID)
        self._trace_url = id_attribute(semconv.TEMPO_URL, page) if page else None
        self._span_id = id_attribute(semconv.TEMPO_SPAN_ID, digits=16)
        self._types = [attribute(semconv.OBSERVATION_TYPE, TYPES[kind]) if kind in TYPES else b"" for kind in StepKind]
        self._root = [b"", attribute(semconv.IS_APP_ROOT, value=True)]

    def columns(self, spans: np.ndarray, branch: Branch, known: InLangfuse) -> list[Column]:
        """Fragments for the rows that *branch* keeps. The trace in Tempo is named where its tree starts; where ids differ, everywhere."""
        flags, kind = spans["flags"], spans["kind"]
        columns: list[Column] = [
            (np.where(flags & _TAKEN_TYPE == 0, kind, np.uint8(0)).astype(np.uint32), self._types),
            ((branch.top & (flags & _TAKEN_ROOT == 0)).astype(np.uint32), self._root),
            IdColumn(flags & _TAKEN_SPAN_ID == 0, *self._span_id, of_span=True),
        ]
        named = branch.top | (kind == np.uint8(StepKind.AGENT))
        if known.other:
            named |= np.isin(spans["trace"], list(known.other))
        columns.append(IdColumn(named & (flags & _TAKEN_TRACE_ID == 0), *self._trace_id, of_span=False))
        if self._trace_url:
            columns.append(IdColumn(named & (flags & _TAKEN_TRACE_URL == 0), *self._trace_url, of_span=False))
        return columns


_TAKEN_TYPE: Final = taken(Mark.OBSERVATION_TYPE)
_TAKEN_ROOT: Final = taken(Mark.IS_APP_ROOT)
_TAKEN_SPAN_ID: Final = taken(Mark.TEMPO_SPAN_ID)
_TAKEN_TRACE_ID: Final = taken(Mark.TEMPO_TRACE_ID)
_TAKEN_TRACE_URL: Final = taken(Mark.TEMPO_URL)
