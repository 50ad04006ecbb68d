"""What the Langfuse SDKs put on spans, as far as kinds and names go; and the keys that we add ourselves."""

from otel_ext import semconv
from otel_ext.dialects.base import CALLS, KIND_LANGFUSE, MODELS, Dialect, Mark, Text
from otel_ext.model import StepKind
from otel_ext.wire.table import Field, Key, NameRule

# Lower case only: a Langfuse server ignores any other spelling.
TYPES = {
    "generation": StepKind.LLM,
    "embedding": StepKind.EMBEDDING,
    "agent": StepKind.AGENT,
    "tool": StepKind.TOOL,
    "chain": StepKind.CHAIN,
    "retriever": StepKind.RETRIEVER,
    "evaluator": StepKind.EVALUATOR,
    "guardrail": StepKind.GUARDRAIL,
}

LANGFUSE = Dialect(
    name="langfuse",
    keys=(
        Key("langfuse.observation.type", Field.KIND, KIND_LANGFUSE, TYPES),
        Key("langfuse.observation.model.name", Field.MODEL, 1),
        Key("langfuse.observation.input", Field.ARGUMENTS, 16, kinds=CALLS),
        Key("langfuse.observation.output", Field.RESULT, 16, kinds=CALLS),
        Key("langfuse.observation.output", Field.OUTPUT, 14, kinds=(*MODELS, StepKind.AGENT)),
        Key("langfuse.observation.level", Field.ERROR, values={"ERROR": 1}, kinds=CALLS),
        Key("langfuse.session.id", Field.CONVERSATION, 2),
    ),
    rules=(
        NameRule("", StepKind.TOOL, Field.TOOL, kinds=(StepKind.TOOL,), scope="langfuse-sdk"),
        NameRule("", StepKind.AGENT, Field.AGENT, kinds=(StepKind.AGENT,), scope="langfuse-sdk"),
    ),
)

OURS = Dialect(
    name="otel_ext",
    keys=(
        Key(semconv.LANGFUSE_TRACE_ID, Field.TEXT, Text.LANGFUSE_TRACE_ID),
        Key(semconv.EXPECTED_TOOLS, Field.TEXT, Text.EXPECTED_TOOLS),
        Key(semconv.LANGFUSE_TRACE_ID, Field.MARK, Mark.LANGFUSE_TRACE_ID),
        Key(semconv.LANGFUSE_TRACE_URL, Field.MARK, Mark.LANGFUSE_TRACE_URL),
        Key(semconv.LANGFUSE_MODEL, Field.MARK, Mark.LANGFUSE_MODEL),
        Key(semconv.MCP_TOOL, Field.MARK, Mark.MCP_TOOL),
        Key(semconv.OBSERVATION_TYPE, Field.MARK, Mark.OBSERVATION_TYPE),
        Key(semconv.OBSERVATION_LEVEL, Field.MARK, Mark.OBSERVATION_LEVEL),
        Key(semconv.OBSERVATION_STATUS, Field.MARK, Mark.OBSERVATION_STATUS),
        Key(semconv.IS_APP_ROOT, Field.MARK, Mark.IS_APP_ROOT),
        Key(semconv.FINDINGS, Field.MARK, Mark.FINDINGS),
        Key(semconv.SEVERITY, Field.MARK, Mark.SEVERITY),
        Key(semconv.TEMPO_TRACE_ID, Field.MARK, Mark.TEMPO_TRACE_ID),
        Key(semconv.TEMPO_URL, Field.MARK, Mark.TEMPO_URL),
        Key(semconv.TEMPO_SPAN_ID, Field.MARK, Mark.TEMPO_SPAN_ID),
        Key(semconv.OBSERVATION_METADATA + semconv.FINDINGS, Field.MARK, Mark.OBSERVATION_FINDINGS),
        Key(semconv.OBSERVATION_METADATA + semconv.SEVERITY, Field.MARK, Mark.OBSERVATION_SEVERITY),
    ),
)
