"""What the tables of all dialects share: marks, text fields, and the ranks that decide between dialects on one span."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from otel_ext.model import StepKind
from otel_ext.wire.table import Key, NameRule


class Mark(enum.IntEnum):
    """Keys that we add: where the application already set one, it is neither overwritten nor doubled."""

    LANGFUSE_TRACE_ID = 0
    LANGFUSE_TRACE_URL = 1
    LANGFUSE_MODEL = 2
    MCP_TOOL = 3
    OBSERVATION_TYPE = 4
    OBSERVATION_LEVEL = 5
    OBSERVATION_STATUS = 6
    IS_APP_ROOT = 7
    FINDINGS = 8
    TEMPO_TRACE_ID = 9
    TEMPO_URL = 10
    SEVERITY = 11
    TEMPO_SPAN_ID = 12
    OBSERVATION_FINDINGS = 13
    OBSERVATION_SEVERITY = 14


class Text(enum.IntEnum):
    """Values that leave the wire as text, because something needs to read them."""

    LANGFUSE_TRACE_ID = 0
    EXPECTED_TOOLS = 1


@dataclass(frozen=True, slots=True)
class Dialect:
    """One instrumentation's names: attribute keys, and what its span names tell."""

    name: str
    keys: tuple[Key, ...]
    rules: tuple[NameRule, ...] = ()


# Where several dialects sit on one span, the more explicit one names the kind (the order a Langfuse server uses too).
KIND_LANGFUSE = 0
KIND_OPENINFERENCE = 1
KIND_GENAI = 2
KIND_MCP = 3

CALLS = (StepKind.TOOL, StepKind.HANDOFF, StepKind.MCP)
MODELS = (StepKind.LLM, StepKind.EMBEDDING)
