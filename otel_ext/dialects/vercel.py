"""Vercel AI SDK: scope `ai` with keys of its own up to version 6, scope `gen_ai` with the GenAI conventions from 7 on."""

from otel_ext.dialects.base import AGENT, CALLS, CUT_OFF, KIND_VENDOR, LLM, MODELS, Dialect
from otel_ext.model import StepKind
from otel_ext.wire.table import Field, Key, NameRule

# The outer call repeats the tokens of its steps, and runs the loop: an agent.
OPERATIONS = {
    **{f"ai.{verb}{what}": StepKind.AGENT for verb in ("generate", "stream") for what in ("Text", "Object")},
    **{f"ai.generate{what}.doGenerate": StepKind.LLM for what in ("Text", "Object")},
    **{f"ai.stream{what}.doStream": StepKind.LLM for what in ("Text", "Object")},
    "ai.embed": StepKind.CHAIN,
    "ai.embedMany": StepKind.CHAIN,
    "ai.embed.doEmbed": StepKind.EMBEDDING,
    "ai.embedMany.doEmbed": StepKind.EMBEDDING,
    "ai.toolCall": StepKind.TOOL,
    "ai.rerank": StepKind.CHAIN,
    "ai.rerank.doRerank": StepKind.RETRIEVER,
}

VERCEL = Dialect(
    name="vercel_ai",
    title="Vercel AI SDK",
    scopes=("ai", "gen_ai"),
    limits=(
        "An agent without `functionId` has no name: the text after `invoke_agent` is the model.",
        "Content needs `recordInputs` and `recordOutputs`.",
    ),
    keys=(
        Key("ai.operationId", Field.KIND, KIND_VENDOR, OPERATIONS),
        Key("ai.operationId", Field.OPERATION, 2),
        Key("ai.toolCall.name", Field.TOOL, 4),
        Key("ai.toolCall.id", Field.CALL_ID, 3, kinds=CALLS),
        Key("ai.toolCall.args", Field.ARGUMENTS, 4, kinds=CALLS),
        Key("ai.toolCall.result", Field.RESULT, 5, kinds=CALLS),
        Key("ai.response.model", Field.MODEL, 5, kinds=MODELS),
        Key("ai.model.id", Field.MODEL, 6, kinds=(*MODELS, *AGENT)),
        Key("ai.usage.inputTokens", Field.INPUT_TOKENS, 4, kinds=MODELS),
        Key("ai.usage.promptTokens", Field.INPUT_TOKENS, 5, kinds=MODELS),
        Key("ai.usage.tokens", Field.INPUT_TOKENS, 6, kinds=(StepKind.EMBEDDING,)),
        Key("ai.usage.outputTokens", Field.OUTPUT_TOKENS, 4, kinds=MODELS),
        Key("ai.usage.completionTokens", Field.OUTPUT_TOKENS, 5, kinds=MODELS),
        Key("ai.usage.inputTokenDetails.cacheReadTokens", Field.CACHED_TOKENS, 8, kinds=MODELS),
        Key("ai.usage.cachedInputTokens", Field.CACHED_TOKENS, 9, kinds=MODELS),
        Key("ai.usage.inputTokenDetails.cacheWriteTokens", Field.CACHE_WRITE_TOKENS, 8, kinds=MODELS),
        Key("ai.usage.outputTokenDetails.reasoningTokens", Field.REASONING_TOKENS, 6, kinds=MODELS),
        Key("ai.usage.reasoningTokens", Field.REASONING_TOKENS, 7, kinds=MODELS),
        Key("ai.response.toolCalls", Field.OUTPUT_MESSAGES, 4, kinds=LLM),
        Key("ai.response.text", Field.OUTPUT, 8, kinds=(*LLM, *AGENT)),
        Key("ai.response.object", Field.OUTPUT, 9, kinds=(*LLM, *AGENT)),
        Key("ai.prompt.messages", Field.INPUT_MESSAGES, 8, kinds=LLM),
        Key("ai.prompt", Field.INPUT_MESSAGES, 9, kinds=LLM),
        Key("ai.prompt.tools", Field.DECLARED, 8),
        Key("ai.response.finishReason", Field.FINISH, 7, CUT_OFF, MODELS),
        Key("ai.telemetry.functionId", Field.AGENT, 13),
        Key("ai.telemetry.metadata.sessionId", Field.CONVERSATION, 13),
        Key("ai.telemetry.metadata.threadId", Field.CONVERSATION, 14),
        Key("ai.telemetry.metadata.conversationId", Field.CONVERSATION, 15),
        Key("ai.settings.context.sessionId", Field.CONVERSATION, 16),
        Key("ai.telemetry.metadata.userId", Field.USER, 13),
    ),
    rules=(NameRule("invoke_agent ", StepKind.AGENT, kinds=(StepKind.OTHER, StepKind.AGENT), scope="gen_ai"),),
)
