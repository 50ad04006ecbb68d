"""Mastra: the GenAI conventions, and the type of span by its own name."""

from otel_ext.dialects.base import AGENT, CALLS, IGNORED, KIND_FRAMEWORK, TOOL, Dialect
from otel_ext.model import StepKind
from otel_ext.wire.table import Field, Key, NameRule

TYPES = {
    "agent_run": StepKind.AGENT,
    "model_generation": StepKind.LLM,
    "model_step": StepKind.CHAIN,
    "model_inference": StepKind.LLM,
    "model_chunk": IGNORED,
    "tool_call": StepKind.TOOL,
    "mcp_tool_call": StepKind.TOOL,
    "workflow_run": StepKind.CHAIN,
    "workflow_step": StepKind.CHAIN,
    "processor_run": StepKind.CHAIN,
}
SCOPE = "@mastra/"

MASTRA = Dialect(
    name="mastra",
    title="Mastra",
    scopes=(SCOPE,),
    limits=(
        "Tools are declared by name only, and older tool spans have no call id.",
        "Requested calls are on the spans of steps, around the model's: only the calls made are seen. A tool of the client is no call.",
    ),
    keys=(
        # Newer exporters have the call itself inside of what older ones called so.
        Key("gen_ai.operation.name", Field.KIND, KIND_FRAMEWORK - 1, {"model_generation": StepKind.CHAIN}, scope=SCOPE),
        Key("mastra.span.type", Field.KIND, KIND_FRAMEWORK, TYPES),
        Key("gen_ai.tool.input", Field.ARGUMENTS, 20, kinds=CALLS),
        Key("gen_ai.tool.output", Field.RESULT, 20, kinds=CALLS),
        Key("mastra.tool_call.input", Field.ARGUMENTS, 22, kinds=CALLS),
        Key("mastra.tool_call.output", Field.RESULT, 22, kinds=CALLS),
        Key("mastra.mcp_tool_call.input", Field.ARGUMENTS, 23, kinds=CALLS),
        Key("mastra.mcp_tool_call.output", Field.RESULT, 23, kinds=CALLS),
        Key("input", Field.ARGUMENTS, 24, kinds=CALLS, scope=SCOPE),
        Key("output", Field.RESULT, 24, kinds=CALLS, scope=SCOPE),
        Key("mastra.agent_run.output", Field.OUTPUT, 11, kinds=AGENT),
        Key("agent.available_tools", Field.DECLARED, 20),
    ),
    rules=(
        NameRule("tool.execute ", StepKind.TOOL, Field.TOOL, kinds=(StepKind.OTHER, StepKind.TOOL), scope=SCOPE),
        NameRule("execute_tool ", StepKind.TOOL, Field.TOOL, kinds=(StepKind.OTHER, StepKind.TOOL), scope=SCOPE),
        NameRule("", StepKind.TOOL, Field.TOOL, kinds=TOOL, scope=SCOPE),
    ),
)
