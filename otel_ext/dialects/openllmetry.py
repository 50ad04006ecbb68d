"""OpenLLMetry and the Traceloop SDK. Its LangChain part writes a callback's whole payload where arguments and results belong."""

from otel_ext.dialects.base import AGENT, ANSWERS, CALLS, CUT_OFF, KIND_SHAPE, KIND_TRACELOOP, MODELS, TOOL, Dialect
from otel_ext.model import StepKind
from otel_ext.wire.table import Field, Key, NameRule

KINDS = {
    "workflow": StepKind.CHAIN,
    "task": StepKind.CHAIN,
    "agent": StepKind.AGENT,
    "tool": StepKind.TOOL,
    "handoff": StepKind.HANDOFF,
    "session": StepKind.CHAIN,
    "server": StepKind.CHAIN,
}
REQUESTS = {"chat": StepKind.LLM, "completion": StepKind.LLM, "embedding": StepKind.EMBEDDING, "rerank": StepKind.RETRIEVER}
SCOPE = "opentelemetry.instrumentation."
LANGCHAIN = SCOPE + "langchain"
ASSOCIATION = "traceloop.association.properties."
# A message of LangChain as its constructor: what the tool said, which call it answers, and how that went.
_MESSAGE = ("output", "kwargs")

OPENLLMETRY = Dialect(
    name="openllmetry",
    title="OpenLLMetry / Traceloop",
    scopes=(
        "traceloop.tracer",
        *(
            SCOPE + name
            for name in (
                "openai.v",
                "openai_agents",
                "langchain",
                "crewai",
                "anthropic",
                "bedrock",
                "cohere",
                "groq",
                "mistralai",
                "vertexai",
                "google_generativeai",
                "llamaindex",
                "haystack",
                "agno",
                "mcp",
                "ollama",
                "replicate",
                "together",
                "watsonx",
            )
        ),
    ),
    limits=(
        "Tool spans of openai-agents have no call id, and its histories other ids than its outputs: calls are matched by name.",
        "CrewAI has no tool spans and no tokens but as text.",
        "A LangChain hand-off or agent creation can be a trace of its own.",
        "Reasoning tokens are missing on streams.",
    ),
    keys=(
        Key("traceloop.span.kind", Field.KIND, KIND_TRACELOOP, KINDS),
        Key("llm.request.type", Field.KIND, KIND_SHAPE - 1, REQUESTS),
        Key("llm.request.type", Field.OPERATION, 3),
        Key("traceloop.entity.name", Field.TOOL, 8, kinds=TOOL),
        Key("gen_ai.completion.tool.name", Field.TOOL, 9, kinds=TOOL),
        Key("gen_ai.tool.call.result", Field.CALL_ID, 9, kinds=CALLS, scope=LANGCHAIN, path=(*_MESSAGE, "tool_call_id")),
        Key("gen_ai.tool.call.arguments", Field.CALL_ID, 10, kinds=CALLS, scope=LANGCHAIN, path=("kwargs", "tool_call_id")),
        Key("gen_ai.tool.call.arguments", Field.ARGUMENTS, -2, kinds=CALLS, scope=LANGCHAIN, path=("inputs",)),
        Key("gen_ai.tool.call.arguments", Field.ARGUMENTS, -1, kinds=CALLS, scope=LANGCHAIN, path=("input_str",)),
        Key("gen_ai.tool.call.result", Field.RESULT, -2, kinds=CALLS, scope=LANGCHAIN, path=(*_MESSAGE, "content")),
        Key("gen_ai.tool.call.result", Field.RESULT, -1, kinds=CALLS, scope=LANGCHAIN, path=("output",)),
        Key("gen_ai.tool.call.result", Field.ERROR, 0, {"error": 1}, CALLS, scope=LANGCHAIN, path=(*_MESSAGE, "status")),
        Key("traceloop.entity.input", Field.ARGUMENTS, 15, kinds=CALLS),
        Key("traceloop.entity.output", Field.RESULT, 15, kinds=CALLS),
        Key("traceloop.entity.output", Field.OUTPUT, 15, kinds=AGENT),
        Key("traceloop.entity.name", Field.AGENT, 10, kinds=AGENT),
        Key(ASSOCIATION + "lc_agent_name", Field.AGENT, 8),
        Key(ASSOCIATION + "conversation_id", Field.CONVERSATION, 5),
        Key(ASSOCIATION + "thread_id", Field.CONVERSATION, 6),
        Key(ASSOCIATION + "session_id", Field.CONVERSATION, 7),
        Key(ASSOCIATION + "chat_id", Field.CONVERSATION, 8),
        Key(ASSOCIATION + "user_id", Field.USER, 8),
        Key("llm.user", Field.USER, 6),
        Key("llm.usage.prompt_tokens", Field.INPUT_TOKENS, 13, kinds=MODELS),
        Key("llm.usage.completion_tokens", Field.OUTPUT_TOKENS, 12, kinds=MODELS),
        Key("gen_ai.completion.", Field.FLAT_OUTPUT, 4, kinds=ANSWERS),
        Key("gen_ai.prompt.", Field.FLAT_INPUT, 4),
        Key("llm.request.functions.", Field.FLAT_DECLARED, 6),
        Key("llm.response.finish_reason", Field.FINISH, 5, CUT_OFF, MODELS),
        Key("llm.response.stop_reason", Field.FINISH, 6, CUT_OFF, MODELS),
        Key("gen_ai.completion.0.finish_reason", Field.FINISH, 10, CUT_OFF, MODELS),
    ),
    rules=(
        NameRule("", StepKind.TOOL, Field.TOOL, kinds=TOOL, scope=SCOPE, suffix=".tool"),
        NameRule("", StepKind.TOOL, Field.TOOL, kinds=TOOL, scope="traceloop.tracer", suffix=".tool"),
        NameRule("", StepKind.AGENT, Field.AGENT, kinds=AGENT, scope=SCOPE, suffix=".agent"),
        NameRule("", StepKind.AGENT, Field.AGENT, kinds=AGENT, scope="traceloop.tracer", suffix=".agent"),
    ),
)
