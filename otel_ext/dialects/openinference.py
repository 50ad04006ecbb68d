"""OpenInference: kinds in upper case, messages flattened with integer segments, arguments and results in `input.value` / `output.value`."""

from otel_ext.dialects.base import (
    AGENT,
    ANY_TEXT,
    CALLS,
    CUT_OFF,
    HANDOFF,
    KIND_OPENINFERENCE,
    LLM,
    MODELS,
    TOOL,
    Dialect,
)
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
    "PROMPT": StepKind.CHAIN,
    "DECISION": StepKind.CHAIN,
    "GUARDRAIL": StepKind.GUARDRAIL,
    "EVALUATOR": StepKind.EVALUATOR,
}
SCOPE = "openinference.instrumentation."
AGENTS = SCOPE + "openai_agents"
SMOLAGENTS = SCOPE + "smolagents"
LLAMA_INDEX = SCOPE + "llama_index"
CLAUDE = SCOPE + "claude_agent_sdk"
CREWAI = SCOPE + "crewai"

_STEPS = (*AGENT, *MODELS, *TOOL)

OPENINFERENCE = Dialect(
    name="openinference",
    title="OpenInference",
    scopes=(SCOPE,),
    limits=(
        "openai-agents, smolagents, CrewAI, Haystack and LlamaIndex give tool spans no call id: calls are matched by name and order.",
        "openai-agents says `stop` for tool calls; the id of its `group_id` is not exported.",
        "LangChain has the user only in the `metadata` JSON.",
        "claude-agent-sdk has no model spans: tokens and cost are on the agent's span, one sum a run.",
        "On Google ADK it writes the last model call over `invoke_agent`: tokens are those of ADK's own spans.",
    ),
    keys=(
        Key("openinference.span.kind", Field.KIND, KIND_OPENINFERENCE, KINDS),
        # openai-agents wraps each run in an AGENT span that is none of its agents: those have a node.
        Key("graph.node.id", Field.KIND, KIND_OPENINFERENCE - 2, {ANY_TEXT: StepKind.AGENT}, scope=AGENTS),
        Key("openinference.span.kind", Field.KIND, KIND_OPENINFERENCE - 1, {"AGENT": StepKind.CHAIN}, scope=AGENTS),
        Key("tool.name", Field.TOOL, 2),
        Key("output.value", Field.TOOL, 12, kinds=HANDOFF),
        Key("tool_call.id", Field.CALL_ID, 4, kinds=CALLS),
        Key("tool.id", Field.CALL_ID, 5, kinds=CALLS),
        Key("input.value", Field.ARGUMENTS, 11, kinds=CALLS, scope=LLAMA_INDEX, path=("kwargs",)),
        Key("input.value", Field.ARGUMENTS, 12, kinds=CALLS),
        Key("tool.parameters", Field.ARGUMENTS, 13, kinds=CALLS, scope=CLAUDE),
        Key("tool.parameters", Field.ARGUMENTS, 13, kinds=CALLS, scope=SCOPE + "autogen"),
        Key("tool.parameters", Field.ARGUMENTS, 13, kinds=CALLS, scope="gcp.vertex.agent"),
        Key("output.value", Field.RESULT, 11, kinds=CALLS, scope=LLAMA_INDEX, path=("raw_output",)),
        Key("output.value", Field.RESULT, 12, kinds=CALLS),
        Key("output.value", Field.OUTPUT, 12, kinds=AGENT),
        Key("llm.response.model_name", Field.MODEL, 1),
        Key("llm.model_name", Field.MODEL, 3),
        Key("llm.request.model_name", Field.MODEL, 4),
        Key("embedding.model_name", Field.MODEL, 9),
        Key("reranker.model_name", Field.MODEL, 10),
        Key("agent.name", Field.AGENT, 2),
        Key("graph.node.id", Field.AGENT, 12, kinds=AGENT),
        Key("session.id", Field.CONVERSATION, 1),
        # LangChain's, on chains of every kind too: those are not looked into.
        Key("metadata", Field.CONVERSATION, 18, kinds=_STEPS, path=("thread_id",)),
        Key("metadata", Field.CONVERSATION, 19, kinds=_STEPS, path=("session_id",)),
        Key("metadata", Field.USER, 15, kinds=_STEPS, path=("user_id",)),
        Key("metadata", Field.AGENT, 9, kinds=AGENT, path=("lc_agent_name",)),
        Key("llm.token_count.prompt", Field.INPUT_TOKENS, 2, kinds=MODELS),
        Key("llm.token_count.completion", Field.OUTPUT_TOKENS, 2, kinds=MODELS),
        Key("llm.token_count.prompt_details.cache_read", Field.CACHED_TOKENS, 5, kinds=MODELS),
        Key("llm.token_count.prompt_details.cache_write", Field.CACHE_WRITE_TOKENS, 6, kinds=MODELS),
        Key("llm.token_count.completion_details.reasoning", Field.REASONING_TOKENS, 5, kinds=MODELS),
        Key("llm.cost.total", Field.COST, 1, kinds=(*MODELS, *CALLS)),
        # The only place where claude-agent-sdk has them.
        Key("llm.token_count.prompt", Field.INPUT_TOKENS, 2, kinds=AGENT, scope=CLAUDE),
        Key("llm.token_count.completion", Field.OUTPUT_TOKENS, 2, kinds=AGENT, scope=CLAUDE),
        Key("llm.token_count.prompt_details.cache_read", Field.CACHED_TOKENS, 5, kinds=AGENT, scope=CLAUDE),
        Key("llm.token_count.prompt_details.cache_write", Field.CACHE_WRITE_TOKENS, 6, kinds=AGENT, scope=CLAUDE),
        Key("llm.cost.total", Field.COST, 1, kinds=AGENT, scope=CLAUDE),
        Key("llm.output_messages.", Field.FLAT_OUTPUT, 2),
        Key("llm.input_messages.", Field.FLAT_INPUT, 2),
        Key("llm.tools.", Field.FLAT_DECLARED, 2),
        # CrewAI's listener writes these two as they came.
        Key("llm.tools", Field.DECLARED, 2, kinds=LLM, scope=CREWAI),
        Key("output.value", Field.OUTPUT_MESSAGES, 20, kinds=LLM, scope=CREWAI),
        Key("llm.finish_reason", Field.FINISH, 4, CUT_OFF, MODELS),
    ),
    rules=(
        # openai-agents reports a hand-off as a TOOL without `tool.name`; nothing was called.
        NameRule("handoff to ", StepKind.HANDOFF, Field.TOOL, kinds=TOOL),
        # LangChain's and ADK's hand-offs are tools by name.
        NameRule("transfer_to_", StepKind.HANDOFF, Field.TOOL, kinds=TOOL),
        # A LlamaIndex helper around a call, which repeats that call's messages; its agents are chains by kind.
        NameRule("", StepKind.CHAIN, kinds=(StepKind.LLM,), scope=LLAMA_INDEX, suffix="._prepare_chat_with_tools"),
        NameRule("", StepKind.AGENT, Field.AGENT, kinds=(StepKind.CHAIN, StepKind.AGENT), scope=LLAMA_INDEX, suffix="Agent.run"),
        NameRule("", StepKind.AGENT, Field.AGENT, kinds=(StepKind.CHAIN, StepKind.AGENT), scope=LLAMA_INDEX, suffix="Workflow.run"),
        NameRule("Agent.run", StepKind.AGENT, kinds=(StepKind.CHAIN, StepKind.AGENT), scope=SCOPE + "haystack"),
        # smolagents names a run `<agent>.run`, CrewAI a crew's `<crew>.kickoff`, which is no agent.
        NameRule("", StepKind.AGENT, Field.AGENT, kinds=AGENT, scope=SMOLAGENTS, suffix=".run"),
        NameRule("", StepKind.CHAIN, kinds=AGENT, scope=CREWAI, suffix=".kickoff"),
        NameRule("", StepKind.CHAIN, kinds=AGENT, scope=CREWAI, suffix=".kickoff_async"),
        NameRule("", StepKind.TOOL, Field.TOOL, kinds=TOOL, scope=CREWAI, suffix=".run"),
        NameRule("", StepKind.AGENT, Field.AGENT, kinds=AGENT, scope=SCOPE),
        NameRule("", StepKind.TOOL, Field.TOOL, kinds=TOOL, scope=SCOPE),
    ),
)
