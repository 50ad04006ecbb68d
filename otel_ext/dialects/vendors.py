"""Platforms that write the GenAI conventions and a few keys of their own: OpenAI Agents v2, smolagents, Dify, OpenLIT, AgentOps, others."""

from otel_ext.dialects.base import AGENT, CALLS, CUT_OFF, HANDOFF, KIND_FRAMEWORK, KIND_VENDOR, LLM, MODELS, TOOL, Dialect
from otel_ext.model import StepKind
from otel_ext.wire.table import Field, Key, NameRule

OPENAI_AGENTS_V2 = Dialect(
    name="openai_agents_v2",
    title="OpenAI Agents v2",
    limits=(
        "It has the scope of OpenLLMetry's instrumentation; only one of the two can be installed.",
        "Requested calls of the Responses API are the text of a Python object; tool spans have no call id.",
    ),
)

SMOLAGENTS = Dialect(
    name="smolagents",
    title="smolagents",
    limits=("A managed agent is asked for like a tool, and shows as an agent; a CodeAgent's calls are code in its output.",),
    keys=(Key("smolagents.tools_names", Field.DECLARED, 17),),
)

DIFY = Dialect(
    name="dify",
    title="Dify",
    scopes=("dify",),
    limits=("Tools that an agent calls inside of a model node are not traced; requested and declared tools are nowhere.",),
    keys=(Key("gen_ai.user.id", Field.USER, 4),),
)

OPENLIT = Dialect(
    name="openlit",
    title="OpenLIT",
    scopes=("openlit",),
    keys=(
        Key("gen_ai.tool.args", Field.ARGUMENTS, 21, kinds=CALLS),
        Key("gen_ai.tool.result", Field.RESULT, 21, kinds=CALLS),
        Key("gen_ai.response.tool_calls", Field.OUTPUT_MESSAGES, 19, kinds=LLM),
        Key("gen_ai.usage.prompt_tokens_details.cached_tokens", Field.CACHED_TOKENS, 16, kinds=MODELS),
        Key("gen_ai.usage.prompt_tokens_details.cache_creation_tokens", Field.CACHE_WRITE_TOKENS, 16, kinds=MODELS),
        Key("gen_ai.usage.completion_tokens_details.reasoning_tokens", Field.REASONING_TOKENS, 16, kinds=MODELS),
        Key("gen_ai.session.id", Field.CONVERSATION, 21),
        Key("gen_ai.agent.session_id", Field.CONVERSATION, 22),
        Key("gen_ai.request.user", Field.USER, 7),
    ),
)

AGENTOPS = Dialect(
    name="agentops",
    title="AgentOps",
    scopes=("agentops",),
    limits=("Tool spans have no call id of the model's: calls are matched by name and order where `tool.id` is another.",),
    keys=(
        Key(
            "agentops.span.kind",
            Field.KIND,
            KIND_FRAMEWORK,
            {
                "workflow": StepKind.CHAIN,
                "task": StepKind.CHAIN,
                "operation": StepKind.CHAIN,
                "chain": StepKind.CHAIN,
                "session": StepKind.CHAIN,
                "agent": StepKind.AGENT,
                "tool": StepKind.TOOL,
                "llm": StepKind.LLM,
                "guardrail": StepKind.GUARDRAIL,
            },
        ),
        Key("tool.parameters", Field.ARGUMENTS, 14, kinds=CALLS, scope="agentops"),
        Key("agentops.tool.input", Field.ARGUMENTS, 24, kinds=CALLS),
        Key("agentops.entity.input", Field.ARGUMENTS, 25, kinds=CALLS),
        Key("tool.result", Field.RESULT, 24, kinds=CALLS),
        Key("agentops.tool.output", Field.RESULT, 25, kinds=CALLS),
        Key("agentops.entity.output", Field.RESULT, 26, kinds=CALLS),
        Key("agentops.entity.output", Field.OUTPUT, 15, kinds=AGENT),
        Key("agentops.entity.name", Field.TOOL, 14, kinds=TOOL),
        Key("agentops.entity.name", Field.AGENT, 15, kinds=AGENT),
        Key("from_agent", Field.AGENT, 3, kinds=HANDOFF, scope="agentops"),
        Key("to_agent", Field.TOOL, 3, kinds=HANDOFF, scope="agentops"),
        Key("gen_ai.usage.total_cost", Field.COST, 8, kinds=MODELS),
        Key("gen_ai.user", Field.USER, 5),
        Key("workflow.session_id", Field.CONVERSATION, 23),
        Key("workflow.user_id", Field.USER, 16),
        Key("gen_ai.request.tools.", Field.FLAT_DECLARED, 7),
        Key("gen_ai.response.stop_reason", Field.FINISH, 9, CUT_OFF, MODELS),
    ),
    rules=(
        NameRule("", StepKind.TOOL, Field.TOOL, kinds=TOOL, scope="agentops", suffix=".tool"),
        NameRule("", StepKind.AGENT, Field.AGENT, kinds=AGENT, scope="agentops", suffix=".agent"),
    ),
)

LAMINAR = Dialect(
    name="laminar",
    title="Laminar",
    scopes=("lmnr",),
    keys=(
        Key(
            "lmnr.span.type",
            Field.KIND,
            KIND_VENDOR,
            {"LLM": StepKind.LLM, "TOOL": StepKind.TOOL, "EVALUATION": StepKind.EVALUATOR, "EXECUTOR": StepKind.CHAIN},
        ),
        Key("lmnr.span.input", Field.ARGUMENTS, 26, kinds=CALLS),
        Key("lmnr.span.output", Field.RESULT, 27, kinds=CALLS),
    ),
    rules=(NameRule("", StepKind.TOOL, Field.TOOL, kinds=TOOL, scope="lmnr"),),
)

GENKIT = Dialect(
    name="genkit",
    title="Genkit",
    scopes=("genkit",),
    keys=(
        Key(
            "genkit:metadata:subtype",
            Field.KIND,
            KIND_VENDOR,
            {
                "model": StepKind.LLM,
                "tool": StepKind.TOOL,
                "tool.v2": StepKind.TOOL,
                "embedder": StepKind.EMBEDDING,
                "retriever": StepKind.RETRIEVER,
                "reranker": StepKind.RETRIEVER,
                "flow": StepKind.CHAIN,
                "prompt": StepKind.CHAIN,
                "evaluator": StepKind.EVALUATOR,
            },
        ),
        Key("genkit:input", Field.ARGUMENTS, 27, kinds=CALLS),
        Key("genkit:output", Field.RESULT, 28, kinds=CALLS),
    ),
    rules=(NameRule("", StepKind.TOOL, Field.TOOL, kinds=TOOL, scope="genkit"),),
)
