"""What the tables of all dialects share: marks, text fields, and the ranks that decide between dialects on one span.

A rank is a place in one order over all dialects, field by field: the more a key says, the lower its number. Below zero stands what a
dialect says better inside of a wrapping that another dialect's key would take whole.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

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
    OBSERVATION_MODEL = 15
    OBSERVATION_USAGE = 16
    OBSERVATION_COST = 17
    LANGFUSE_ENVIRONMENT = 18
    AS_ROOT = 19


class Text(enum.IntEnum):
    """Values that leave the wire as text, because something needs to read them."""

    LANGFUSE_TRACE_ID = 0
    EXPECTED_TOOLS = 1


@dataclass(frozen=True, slots=True)
class Dialect:
    """One instrumentation's names: attribute keys, and what its span names tell.

    `scopes` are prefixes of the scope names that only this dialect uses; `limits` says what its spans cannot show, for the documentation.
    """

    name: str
    title: str = ""
    keys: tuple[Key, ...] = ()
    rules: tuple[NameRule, ...] = ()
    scopes: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()


# Where several dialects sit on one span, the more explicit one names the kind (the first two in the order a Langfuse server uses too).
KIND_IGNORED: Final = -20  # what must not count, whatever else it carries
KIND_OURS: Final = -10
KIND_LANGFUSE: Final = 0
KIND_OPENINFERENCE: Final = 10
KIND_TRACELOOP: Final = 20
KIND_MCP: Final = 30
KIND_FRAMEWORK: Final = 40  # keys of one framework that say what the span is
KIND_GENAI: Final = 60
KIND_VENDOR: Final = 80  # names of operations and components of one vendor
KIND_SHAPE: Final = 100  # nothing says it, but only such a span has this key

CALLS: Final = (StepKind.TOOL, StepKind.HANDOFF, StepKind.MCP)
MODELS: Final = (StepKind.LLM, StepKind.EMBEDDING)
ANSWERS: Final = (*MODELS, StepKind.AGENT)  # what has an output of its own
LLM: Final = (StepKind.LLM,)
TOOL: Final = (StepKind.TOOL,)
AGENT: Final = (StepKind.AGENT,)
HANDOFF: Final = (StepKind.HANDOFF,)
UNKNOWN: Final = (StepKind.OTHER,)

ANY_TEXT: Final = ""  # in the values of a KIND key: any text that is not in the table
# A span that must not count is a chain: no step, and no name of it can make it one.
IGNORED: Final = StepKind.CHAIN

# Finish reasons that mean: cut off by the length limit.
CUT_OFF: Final = dict.fromkeys(
    (
        "length",
        "max_tokens",
        "MAX_TOKENS",
        "max-tokens",
        "max_output_tokens",
        "incomplete",
        "model_context_window_exceeded",
        "FinishReason.LENGTH",
        "FinishReason.MAX_TOKENS",
    ),
    1,
)

# Declared to the model as tools, but the framework takes the arguments as the answer: never executed, never skipped.
OUTPUT_TOOLS: Final = frozenset({"final_answer", "final_result", "structured_output", "StructuredOutput", "json_tool_call"})
OUTPUT_PREFIXES: Final = ("final_result_",)  # of several output types each has a tool of its own
# A hand-off is asked for like a tool and shows as another agent's run.
HANDOFF_PREFIXES: Final = ("transfer_to_", "handoff_to_", "transfer_back_to_")
# Names that instrumentations give to what the provider executed itself, inside of the model call. (By call id: table.PROVIDER_CALL_IDS.)
PROVIDER_TOOLS: Final = frozenset(
    {
        "code_interpreter_call",
        "file_search_call",
        "image_generation_call",
        "mcp_call",
        "mcp_list_tools",
        "tool_search_call",
        "web_search_call",
    }
)
