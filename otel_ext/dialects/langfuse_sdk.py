"""What the Langfuse SDKs put on spans, as far as kinds and names go; and the keys that we add ourselves."""

from otel_ext import semconv
from otel_ext.dialects.base import AGENT, CALLS, KIND_LANGFUSE, KIND_OURS, LLM, MODELS, TOOL, Dialect, Mark, Text
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
USAGE = "langfuse.observation.usage_details"
SCOPE = "langfuse-sdk"

LANGFUSE = Dialect(
    name="langfuse",
    title="Langfuse SDK",
    scopes=(SCOPE,),
    limits=(
        "Tool and agent names are span names, and tool spans have no call id: calls are matched by name and order.",
        "Requested calls are what the wrapped client returned; tools declared are nowhere.",
        "`usage_details` is what the application wrote: `input` and `input_tokens` count without cached tokens, `prompt_tokens` with them.",
    ),
    keys=(
        Key("langfuse.observation.type", Field.KIND, KIND_LANGFUSE, TYPES),
        Key("langfuse.observation.model.name", Field.MODEL, 1),
        Key("langfuse.observation.input", Field.ARGUMENTS, 16, kinds=CALLS),
        Key("langfuse.observation.output", Field.RESULT, 16, kinds=CALLS),
        Key("langfuse.observation.output", Field.OUTPUT, 14, kinds=AGENT),
        Key("langfuse.observation.output", Field.OUTPUT_MESSAGES, 14, kinds=LLM),
        # Whatever else an application returns.
        Key("langfuse.observation.output", Field.OUTPUT, 16, kinds=MODELS),
        Key("langfuse.observation.input", Field.INPUT_MESSAGES, 14, kinds=LLM),
        Key("langfuse.observation.input", Field.DECLARED, 26, kinds=LLM, path=("tools",)),
        Key("langfuse.observation.level", Field.ERROR, values={"ERROR": 1}, kinds=CALLS),
        Key("langfuse.session.id", Field.CONVERSATION, 2),
        Key("langfuse.user.id", Field.USER, 1),
        Key(USAGE, Field.INPUT_TOKENS, 7, kinds=MODELS, path=("prompt_tokens",)),
        Key(USAGE, Field.INPUT_TOKENS, 8, kinds=MODELS, path=("promptTokens",)),
        Key(USAGE, Field.INPUT_TOKENS_NET, 9, kinds=MODELS, path=("input",)),
        Key(USAGE, Field.INPUT_TOKENS_NET, 10, kinds=MODELS, path=("input_tokens",)),
        Key(USAGE, Field.OUTPUT_TOKENS, 6, kinds=MODELS, path=("output",)),
        Key(USAGE, Field.OUTPUT_TOKENS, 7, kinds=MODELS, path=("completion_tokens",)),
        Key(USAGE, Field.OUTPUT_TOKENS, 8, kinds=MODELS, path=("output_tokens",)),
        Key(USAGE, Field.OUTPUT_TOKENS, 9, kinds=MODELS, path=("completionTokens",)),
        Key(USAGE, Field.CACHED_TOKENS, 10, kinds=MODELS, path=("input_cached_tokens",)),
        Key(USAGE, Field.CACHED_TOKENS, 11, kinds=MODELS, path=("cache_read_input_tokens",)),
        Key(USAGE, Field.CACHED_TOKENS, 12, kinds=MODELS, path=("input_cache_read",)),
        Key(USAGE, Field.CACHED_TOKENS, 13, kinds=MODELS, path=("input_cached",)),
        Key(USAGE, Field.CACHED_TOKENS, 14, kinds=MODELS, path=("prompt_tokens_details", "cached_tokens")),
        Key(USAGE, Field.CACHE_WRITE_TOKENS, 9, kinds=MODELS, path=("cache_creation_input_tokens",)),
        Key(USAGE, Field.CACHE_WRITE_TOKENS, 10, kinds=MODELS, path=("input_cache_creation",)),
        Key(USAGE, Field.REASONING_TOKENS, 8, kinds=MODELS, path=("output_reasoning_tokens",)),
        Key(USAGE, Field.REASONING_TOKENS, 9, kinds=MODELS, path=("reasoning_tokens",)),
        Key(USAGE, Field.REASONING_TOKENS, 10, kinds=MODELS, path=("output_reasoning",)),
        Key(USAGE, Field.REASONING_TOKENS, 11, kinds=MODELS, path=("completion_tokens_details", "reasoning_tokens")),
        Key("langfuse.observation.cost_details", Field.COST, 3, kinds=(*MODELS, *CALLS), path=("total",)),
    ),
    rules=(
        NameRule("", StepKind.TOOL, Field.TOOL, kinds=TOOL, scope=SCOPE),
        NameRule("", StepKind.AGENT, Field.AGENT, kinds=AGENT, scope=SCOPE),
    ),
)

OURS = Dialect(
    name="otel_ext",
    title="otel_ext itself",
    scopes=("otel_ext",),
    keys=(
        # A tool that we instrument says both that it is a tool and which MCP method it serves: it is the call.
        Key("gen_ai.operation.name", Field.KIND, KIND_OURS, {"execute_tool": StepKind.TOOL}, scope="otel_ext"),
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
        Key(semconv.OBSERVATION_MODEL, Field.MARK, Mark.OBSERVATION_MODEL),
        Key(semconv.OBSERVATION_USAGE, Field.MARK, Mark.OBSERVATION_USAGE),
        Key(semconv.OBSERVATION_COST, Field.MARK, Mark.OBSERVATION_COST),
        Key(semconv.AS_ROOT, Field.MARK, Mark.AS_ROOT),
        Key(semconv.LANGFUSE_ENVIRONMENT, Field.MARK, Mark.LANGFUSE_ENVIRONMENT),
        Key(semconv.OBSERVATION_METADATA + semconv.FINDINGS, Field.MARK, Mark.OBSERVATION_FINDINGS),
        Key(semconv.OBSERVATION_METADATA + semconv.SEVERITY, Field.MARK, Mark.OBSERVATION_SEVERITY),
    ),
)
