"""OpenInference: kinds in upper case, messages flattened with integer segments, arguments and results in `input.value` / `output.value`."""

from otel_ext.dialects.base import CALLS, KIND_OPENINFERENCE, MODELS, Dialect
from otel_ext.model import StepKind
from otel_ext.wire.table import Field, Key, NameRule

KINDS = {
    "LLM": StepKind.LLM,
    "EMBEDDING": StepKind.EMBEDDING,
    "RERANKER": StepKind.RETRIEVER,
    "RETRIEVER": StepKind.RETRIEVER,
    "TOOL": StepKind.TOOL,
    "AGENT": StepKind.AGENT,
    "CHAIN": StepKind.CHAIN,
    "GUARDRAIL": StepKind.GUARDRAIL,
    "EVALUATOR": StepKind.EVALUATOR,
}

OPENINFERENCE = Dialect(
    name="openinference",
    keys=(
        Key("openinference.span.kind", Field.KIND, KIND_OPENINFERENCE, KINDS),
        Key("tool.name", Field.TOOL, 2),
        Key("tool_call.id", Field.CALL_ID, 4, kinds=CALLS),
        Key("input.value", Field.ARGUMENTS, 12, kinds=CALLS),
        Key("output.value", Field.RESULT, 12, kinds=CALLS),
        Key("output.value", Field.OUTPUT, 12, kinds=(StepKind.AGENT,)),
        Key("llm.model_name", Field.MODEL, 3),
        Key("embedding.model_name", Field.MODEL, 9),
        Key("agent.name", Field.AGENT, 2),
        Key("session.id", Field.CONVERSATION, 1),
        Key("llm.token_count.prompt", Field.INPUT_TOKENS, 2, kinds=MODELS),
        Key("llm.token_count.completion", Field.OUTPUT_TOKENS, 2, kinds=MODELS),
        Key("llm.token_count.prompt_details.cache_read", Field.CACHED_TOKENS, 5, kinds=MODELS),
        Key("llm.token_count.completion_details.reasoning", Field.REASONING_TOKENS, 5, kinds=MODELS),
        Key("llm.cost.total", Field.COST, 1, kinds=MODELS),
        Key("llm.output_messages.", Field.FLAT_OUTPUT, 2),
        Key("llm.input_messages.", Field.FLAT_INPUT, 2),
    ),
    rules=(
        # openai-agents reports a hand-off as a TOOL without `tool.name`; nothing was called.
        NameRule("handoff to ", StepKind.HANDOFF, Field.AGENT, kinds=(StepKind.TOOL,)),
        # openai-agents wraps each run in an AGENT span with the trace's name: a workflow, not a second agent.
        NameRule("Agent workflow", StepKind.CHAIN, kinds=(StepKind.AGENT,), scope="openinference.instrumentation.openai_agents"),
        # smolagents names a run `<agent>.run`, and LlamaIndex `<Class>.run`.
        NameRule("", StepKind.AGENT, Field.AGENT, kinds=(StepKind.AGENT,), scope="openinference.instrumentation.smolagents", suffix=".run"),
        NameRule("", StepKind.AGENT, Field.AGENT, kinds=(StepKind.AGENT,), scope="openinference.instrumentation."),
        NameRule("", StepKind.TOOL, Field.TOOL, kinds=(StepKind.TOOL,), scope="openinference.instrumentation."),
    ),
)
