"""OpenTelemetry GenAI semantic conventions, current and deprecated keys (semantic-conventions-genai, and up to v1.41 before the move)."""

from otel_ext.dialects.base import CALLS, KIND_GENAI, MODELS, Dialect
from otel_ext.model import StepKind
from otel_ext.wire.table import Field, Key, NameRule

OPERATIONS = {
    "chat": StepKind.LLM,
    "generate_content": StepKind.LLM,
    "text_completion": StepKind.LLM,
    "completion": StepKind.LLM,
    "generate": StepKind.LLM,
    "embeddings": StepKind.EMBEDDING,
    "embedding": StepKind.EMBEDDING,
    "retrieval": StepKind.RETRIEVER,
    "rerank": StepKind.RETRIEVER,
    "execute_tool": StepKind.TOOL,
    "invoke_agent": StepKind.AGENT,
    "create_agent": StepKind.OTHER,
    "invoke_workflow": StepKind.CHAIN,
    "execute_task": StepKind.CHAIN,
    "chain": StepKind.CHAIN,
    "handoff": StepKind.HANDOFF,
    "guardrail": StepKind.GUARDRAIL,
}

GENAI = Dialect(
    name="otel_genai",
    keys=(
        Key("gen_ai.operation.name", Field.KIND, KIND_GENAI, OPERATIONS),
        Key("gen_ai.operation.name", Field.OPERATION),
        Key("gen_ai.tool.name", Field.TOOL),
        Key("gen_ai.tool.call.id", Field.CALL_ID),
        Key("gen_ai.tool.call.arguments", Field.ARGUMENTS, kinds=CALLS),
        Key("gen_ai.tool.call.result", Field.RESULT, kinds=CALLS),
        Key("gen_ai.response.model", Field.MODEL, 0),
        Key("gen_ai.request.model", Field.MODEL, 2),
        Key("gen_ai.agent.name", Field.AGENT),
        Key("gen_ai.conversation.id", Field.CONVERSATION, 0),
        Key("gen_ai.usage.input_tokens", Field.INPUT_TOKENS, 0, kinds=MODELS),
        Key("gen_ai.usage.output_tokens", Field.OUTPUT_TOKENS, 0, kinds=MODELS),
        Key("gen_ai.usage.prompt_tokens", Field.INPUT_TOKENS, 3, kinds=MODELS),
        Key("gen_ai.usage.completion_tokens", Field.OUTPUT_TOKENS, 3, kinds=MODELS),
        Key("gen_ai.usage.cache_read.input_tokens", Field.CACHED_TOKENS, 0, kinds=MODELS),
        Key("gen_ai.usage.cache_read_input_tokens", Field.CACHED_TOKENS, 1, kinds=MODELS),
        Key("gen_ai.usage.reasoning.output_tokens", Field.REASONING_TOKENS, 0, kinds=MODELS),
        Key("gen_ai.usage.reasoning_tokens", Field.REASONING_TOKENS, 1, kinds=MODELS),
        Key("gen_ai.usage.cost", Field.COST, 2, kinds=MODELS),
        Key("error.type", Field.ERROR),
        Key("gen_ai.output.messages", Field.OUTPUT_MESSAGES, 0),
        Key("gen_ai.input.messages", Field.INPUT_MESSAGES, 0),
    ),
    rules=(
        NameRule("execute_tool ", StepKind.TOOL, Field.TOOL, kinds=(StepKind.OTHER, StepKind.TOOL)),
        NameRule("invoke_agent ", StepKind.AGENT, Field.AGENT, kinds=(StepKind.OTHER, StepKind.AGENT)),
    ),
)
