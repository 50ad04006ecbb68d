"""Pydantic AI (instrumentation versions 1 to 6) and Logfire's own integrations, whose keys are bare words: read under their scope only."""

from otel_ext.dialects.base import (
    AGENT,
    ANY_TEXT,
    CALLS,
    HANDOFF,
    IGNORED,
    KIND_IGNORED,
    KIND_SHAPE,
    LLM,
    MODELS,
    TOOL,
    UNKNOWN,
    Dialect,
)
from otel_ext.model import StepKind
from otel_ext.wire.table import Field, Key, NameRule

SCOPE = "pydantic-ai"
LOGFIRE = "logfire"
AGENTS = "logfire.openai_agents"

PYDANTIC_AI = Dialect(
    name="pydantic_ai",
    title="Pydantic AI",
    scopes=(SCOPE,),
    limits=(
        "The conversation id is invented for each run unless the application gives one.",
        "Output tools and unknown tools never get a span; unknown ones show as a refusal in the next call's history.",
        "Up to version 1 the agent's span repeats `gen_ai.usage.*`: not counted.",
        "Tools declared are read from `gen_ai.tool.definitions`, which old versions lack: a call's parameters are too long to read.",
    ),
    keys=(
        Key("tool_arguments", Field.KIND, KIND_SHAPE, {ANY_TEXT: StepKind.TOOL}),
        Key("tool_arguments", Field.ARGUMENTS, 5, kinds=CALLS),
        Key("tool_response", Field.RESULT, 6, kinds=CALLS),
        Key("pydantic_ai.tool.failure_stage", Field.ERROR, kinds=CALLS),
        Key("agent_name", Field.AGENT, 3, scope=SCOPE),
        Key("model_name", Field.MODEL, 14, kinds=AGENT, scope=SCOPE),
        Key("final_result", Field.OUTPUT, 2, kinds=AGENT),
        Key("operation.cost", Field.COST, 0, kinds=MODELS),
    ),
    rules=(
        NameRule("running output function", IGNORED, scope=SCOPE),
        NameRule("running tools", IGNORED, scope=SCOPE),
        NameRule("running tool: ", StepKind.TOOL, Field.TOOL, kinds=(*UNKNOWN, *TOOL), scope=SCOPE),
        NameRule("running tool", StepKind.TOOL, kinds=(*UNKNOWN, *TOOL), scope=SCOPE),
        NameRule("running ", IGNORED, scope=SCOPE, suffix=" tools"),
        NameRule("agent run", StepKind.AGENT, kinds=(*UNKNOWN, *AGENT), scope=SCOPE),
    ),
)

LOGFIRE_SDK = Dialect(
    name="logfire",
    title="Logfire",
    scopes=(LOGFIRE,),
    limits=(
        "A streamed call of `logfire.openai` is two model spans, the second of them with the tokens: calls are counted twice, tokens once.",
        "Tool spans of `logfire.openai_agents` have no call id, and the conversation is on the root of the trace only.",
    ),
    keys=(
        Key("logfire.span_type", Field.KIND, KIND_IGNORED, {"pending_span": IGNORED}),
        Key("name", Field.TOOL, 10, kinds=TOOL, scope=AGENTS),
        Key("name", Field.AGENT, 11, kinds=AGENT, scope=AGENTS),
        Key("to_agent", Field.TOOL, 2, kinds=HANDOFF, scope=AGENTS),
        Key("from_agent", Field.AGENT, 2, kinds=HANDOFF, scope=AGENTS),
        Key("input", Field.ARGUMENTS, 19, kinds=CALLS, scope=AGENTS),
        Key("output", Field.RESULT, 19, kinds=CALLS, scope=AGENTS),
        Key("triggered", Field.ERROR, kinds=(StepKind.GUARDRAIL,), scope=AGENTS),
        Key("group_id", Field.CONVERSATION, 12, scope=AGENTS),
        Key("tools", Field.DECLARED, 21, scope=AGENTS),
        Key("response", Field.DECLARED, 23, scope=AGENTS, path=("tools",)),
        Key("gen_ai.usage.raw", Field.CACHED_TOKENS, 13, kinds=MODELS, path=("prompt_tokens_details", "cached_tokens")),
        Key("gen_ai.usage.raw", Field.CACHED_TOKENS, 14, kinds=MODELS, path=("input_tokens_details", "cached_tokens")),
        Key("gen_ai.usage.raw", Field.REASONING_TOKENS, 10, kinds=MODELS, path=("completion_tokens_details", "reasoning_tokens")),
        Key("gen_ai.usage.raw", Field.REASONING_TOKENS, 11, kinds=MODELS, path=("output_tokens_details", "reasoning_tokens")),
        Key("response", Field.OUTPUT_MESSAGES, 15, kinds=LLM, scope=AGENTS, path=("output",)),
        Key("raw_input", Field.INPUT_MESSAGES, 16, kinds=LLM, scope=AGENTS),
        Key("response_data", Field.OUTPUT_MESSAGES, 16, kinds=LLM, path=("message",)),
        Key("request_data", Field.INPUT_MESSAGES, 17, kinds=LLM, path=("messages",)),
        Key("request_data", Field.DECLARED, 22, kinds=LLM, path=("tools",)),
    ),
    rules=(
        NameRule("Function: ", StepKind.TOOL, scope=AGENTS),
        NameRule("Agent run: ", StepKind.AGENT, scope=AGENTS),
        NameRule("Handoff: ", StepKind.HANDOFF, scope=AGENTS),
        NameRule("Guardrail ", StepKind.GUARDRAIL, scope=AGENTS),
        NameRule("OpenAI Agents trace: ", StepKind.CHAIN, scope=AGENTS),
    ),
)
