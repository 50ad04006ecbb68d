"""Haystack's own tags. Spans have the scope that the application chose; model, tokens and calls are inside a component's output."""

from otel_ext.dialects.base import AGENT, CALLS, CUT_OFF, KIND_VENDOR, LLM, MODELS, Dialect
from otel_ext.model import StepKind
from otel_ext.wire.table import Field, Key, NameRule

# A component's class. Others are steps of a pipeline.
COMPONENTS = {
    **dict.fromkeys(
        (
            "AmazonBedrockChatGenerator",
            "AmazonBedrockGenerator",
            "AnthropicChatGenerator",
            "AnthropicGenerator",
            "AzureOpenAIChatGenerator",
            "AzureOpenAIGenerator",
            "CohereChatGenerator",
            "FallbackChatGenerator",
            "GoogleGenAIChatGenerator",
            "HuggingFaceAPIChatGenerator",
            "HuggingFaceAPIGenerator",
            "HuggingFaceLocalChatGenerator",
            "HuggingFaceLocalGenerator",
            "LlamaCppChatGenerator",
            "MistralChatGenerator",
            "OllamaChatGenerator",
            "OllamaGenerator",
            "OpenAIChatGenerator",
            "OpenAIGenerator",
            "OpenAIResponsesChatGenerator",
            "OpenRouterChatGenerator",
        ),
        StepKind.LLM,
    ),
    **dict.fromkeys(
        (
            "AzureOpenAITextEmbedder",
            "AzureOpenAIDocumentEmbedder",
            "OpenAITextEmbedder",
            "OpenAIDocumentEmbedder",
            "SentenceTransformersTextEmbedder",
            "SentenceTransformersDocumentEmbedder",
        ),
        StepKind.EMBEDDING,
    ),
    **dict.fromkeys(
        ("InMemoryBM25Retriever", "InMemoryEmbeddingRetriever", "LostInTheMiddleRanker", "SentenceTransformersSimilarityRanker"),
        StepKind.RETRIEVER,
    ),
    "Agent": StepKind.CHAIN,  # its run has a span of its own below
}
_LLM_OUTPUT = "haystack.agent.step.llm.output"
_LLM_INPUT = "haystack.agent.step.llm.input"
_OUTPUT = "haystack.component.output"
_INPUT = "haystack.component.input"
_META = ("replies", 0, "meta")
_USAGE = (*_META, "usage")

HAYSTACK = Dialect(
    name="haystack",
    title="Haystack",
    limits=(
        "Model, tokens, finish reason and requested calls are shown with HAYSTACK_CONTENT_TRACING_ENABLED only.",
        "Tool spans have no call id.",
        "A generator or retriever of one's own is known as such by `haystack.agent.step.llm` or its integration only, not by its class.",
    ),
    keys=(
        Key("haystack.component.type", Field.KIND, KIND_VENDOR, COMPONENTS),
        Key("haystack.tool.name", Field.TOOL, 5),
        Key("haystack.tool.call.id", Field.CALL_ID, 7, kinds=CALLS),
        Key("haystack.agent.step.tool.input", Field.ARGUMENTS, 7, kinds=CALLS),
        Key("haystack.agent.step.tool.output", Field.RESULT, 8, kinds=CALLS),
        Key("haystack.tool.error", Field.ERROR, kinds=CALLS),
        Key(_LLM_OUTPUT, Field.MODEL, 12, kinds=LLM, path=(*_META, "model")),
        Key(_OUTPUT, Field.MODEL, 13, kinds=MODELS, path=(*_META, "model")),
        Key(_LLM_OUTPUT, Field.INPUT_TOKENS, 11, kinds=LLM, path=(*_USAGE, "prompt_tokens")),
        Key(_OUTPUT, Field.INPUT_TOKENS, 12, kinds=LLM, path=(*_USAGE, "prompt_tokens")),
        Key(_LLM_OUTPUT, Field.OUTPUT_TOKENS, 10, kinds=LLM, path=(*_USAGE, "completion_tokens")),
        Key(_OUTPUT, Field.OUTPUT_TOKENS, 11, kinds=LLM, path=(*_USAGE, "completion_tokens")),
        Key(_LLM_OUTPUT, Field.CACHED_TOKENS, 20, kinds=LLM, path=(*_USAGE, "prompt_tokens_details", "cached_tokens")),
        Key(_OUTPUT, Field.CACHED_TOKENS, 21, kinds=LLM, path=(*_USAGE, "prompt_tokens_details", "cached_tokens")),
        Key(_LLM_OUTPUT, Field.REASONING_TOKENS, 20, kinds=LLM, path=(*_USAGE, "completion_tokens_details", "reasoning_tokens")),
        Key(_OUTPUT, Field.REASONING_TOKENS, 21, kinds=LLM, path=(*_USAGE, "completion_tokens_details", "reasoning_tokens")),
        Key(_LLM_OUTPUT, Field.OUTPUT_MESSAGES, 17, kinds=LLM),
        Key(_OUTPUT, Field.OUTPUT_MESSAGES, 18, kinds=LLM),
        Key(_LLM_INPUT, Field.INPUT_MESSAGES, 18, kinds=LLM),
        Key(_INPUT, Field.INPUT_MESSAGES, 19, kinds=LLM),
        Key("haystack.agent.output", Field.OUTPUT, 10, kinds=AGENT),
        Key(_LLM_OUTPUT, Field.FINISH, 14, CUT_OFF, LLM, path=(*_META, "finish_reason")),
        Key("haystack.agent.tools", Field.DECLARED, 13),
        Key(_LLM_INPUT, Field.DECLARED, 14, kinds=LLM, path=("tools",)),
    ),
    rules=(
        NameRule("haystack.agent.step.tool", StepKind.TOOL),
        NameRule("haystack.agent.step.llm", StepKind.LLM),
        NameRule("haystack.chat_generator.run", StepKind.LLM),
        NameRule("haystack.agent.run", StepKind.AGENT),
        NameRule("haystack.agent.", StepKind.CHAIN),
        NameRule("haystack.pipeline.run", StepKind.CHAIN),
        NameRule("haystack.async_pipeline.run", StepKind.CHAIN),
    ),
)
