"""LangSmith's OpenTelemetry exporter: prompts and completions are one JSON dump each, with LangChain's messages as constructors."""

from otel_ext.dialects.base import AGENT, ANY_TEXT, CALLS, KIND_FRAMEWORK, LLM, MODELS, TOOL, Dialect
from otel_ext.model import StepKind
from otel_ext.wire.table import Field, Key, NameRule

KINDS = {
    "llm": StepKind.LLM,
    "tool": StepKind.TOOL,
    "retriever": StepKind.RETRIEVER,
    "embedding": StepKind.EMBEDDING,
    "prompt": StepKind.CHAIN,
    "parser": StepKind.CHAIN,
}
METADATA = "langsmith.metadata."
SCOPE = "langsmith"
_USAGE = METADATA + "usage_metadata"

LANGSMITH = Dialect(
    name="langsmith",
    title="LangChain / LangGraph by LangSmith",
    scopes=(SCOPE,),
    limits=(
        "No span says that it is an agent: a chain made by `create_agent` is one where it is no node of a graph.",
        "`langsmith.trace.session_*` is the project, not the conversation.",
    ),
    keys=(
        Key("langsmith.span.kind", Field.KIND, KIND_FRAMEWORK, KINDS),
        Key(METADATA + "langgraph_node", Field.KIND, KIND_FRAMEWORK + 1, {ANY_TEXT: StepKind.CHAIN}),
        Key(METADATA + "ls_integration", Field.KIND, KIND_FRAMEWORK + 2, {"langchain_create_agent": StepKind.AGENT}),
        Key("langsmith.span.kind", Field.KIND, KIND_FRAMEWORK + 3, {"chain": StepKind.CHAIN}),
        Key("langsmith.trace.name", Field.TOOL, 13, kinds=TOOL),
        Key("gen_ai.completion", Field.CALL_ID, 12, kinds=CALLS, scope=SCOPE, path=("output", "tool_call_id")),
        Key("gen_ai.prompt", Field.ARGUMENTS, 18, kinds=CALLS),
        Key("gen_ai.completion", Field.RESULT, 17, kinds=CALLS, scope=SCOPE, path=("output", "content")),
        Key("gen_ai.completion", Field.RESULT, 18, kinds=CALLS),
        Key("gen_ai.completion", Field.ERROR, 0, {"error": 1}, CALLS, scope=SCOPE, path=("output", "status")),
        Key(METADATA + "ls_model_name", Field.MODEL, 7, kinds=MODELS),
        Key("gen_ai.completion", Field.OUTPUT_MESSAGES, 11, kinds=LLM),
        Key("gen_ai.prompt", Field.INPUT_MESSAGES, 11, kinds=LLM),
        Key("gen_ai.completion", Field.OUTPUT, 13, kinds=AGENT),
        Key(METADATA + "lc_agent_name", Field.AGENT, 7),
        Key(METADATA + "thread_id", Field.CONVERSATION, 9),
        Key(METADATA + "session_id", Field.CONVERSATION, 10),
        Key(METADATA + "conversation_id", Field.CONVERSATION, 11),
        Key(METADATA + "user_id", Field.USER, 9),
        Key(_USAGE, Field.INPUT_TOKENS, 9, kinds=MODELS, path=("input_tokens",)),
        Key(_USAGE, Field.OUTPUT_TOKENS, 8, kinds=MODELS, path=("output_tokens",)),
        Key(_USAGE, Field.CACHED_TOKENS, 12, kinds=MODELS, path=("input_token_details", "cache_read")),
        Key(_USAGE, Field.CACHE_WRITE_TOKENS, 11, kinds=MODELS, path=("input_token_details", "cache_creation")),
        Key(_USAGE, Field.REASONING_TOKENS, 9, kinds=MODELS, path=("output_token_details", "reasoning")),
    ),
    rules=(
        NameRule("transfer_to_", StepKind.HANDOFF, Field.TOOL, kinds=TOOL, scope=SCOPE),
        NameRule("", StepKind.TOOL, Field.TOOL, kinds=TOOL, scope=SCOPE),
        NameRule("", StepKind.AGENT, Field.AGENT, kinds=AGENT, scope=SCOPE),
    ),
)
