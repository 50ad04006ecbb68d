"""Google ADK, both schemas: the older one wraps `generate_content` in `call_llm` and has content in its own keys."""

from otel_ext.dialects.base import CALLS, IGNORED, LLM, Dialect
from otel_ext.model import StepKind
from otel_ext.wire.table import Field, Key, NameRule

SCOPE = "gcp.vertex.agent"
OPENINFERENCE = "openinference.instrumentation.google_adk"  # makes some of its spans in its place
_OWN = "gcp.vertex.agent."
_USAGE = ("usage_metadata",)

GOOGLE_ADK = Dialect(
    name="google_adk",
    title="Google ADK",
    scopes=(SCOPE,),
    limits=(
        "The newer schema has content in log records only: requested calls, arguments and results cannot be seen.",
        "The finish reason of a tool call is `stop`.",
        "The older schema counts output without thoughts, and with LiteLLM the newer one counts them twice.",
        "A call that a callback refused has the span of a call that failed.",
    ),
    keys=(
        # What ADK calls where the model asked for a tool that there is not.
        Key("gen_ai.tool.type", Field.REFUSED, values={"BaseTool": 1}, kinds=CALLS, scope=SCOPE),
        Key("gen_ai.tool.type", Field.REFUSED, values={"BaseTool": 1}, kinds=CALLS, scope=OPENINFERENCE),
        Key(_OWN + "tool_call_args", Field.ARGUMENTS, 6, kinds=CALLS),
        Key(_OWN + "tool_response", Field.RESULT, 7, kinds=CALLS),
        Key(_OWN + "session_id", Field.CONVERSATION, 4),
        Key(_OWN + "llm_response", Field.CACHED_TOKENS, 23, kinds=LLM, path=(*_USAGE, "cached_content_token_count")),
        Key(_OWN + "llm_response", Field.REASONING_TOKENS, 23, kinds=LLM, path=(*_USAGE, "thoughts_token_count")),
        Key(_OWN + "llm_response", Field.OUTPUT_MESSAGES, 13, kinds=LLM),
        Key(_OWN + "llm_request", Field.INPUT_MESSAGES, 13, kinds=LLM),
        Key(_OWN + "llm_request", Field.DECLARED, 11, kinds=LLM, path=("config", "tools")),
    ),
    rules=(
        *(NameRule("execute_tool (merged", IGNORED, scope=scope) for scope in (SCOPE, OPENINFERENCE)),
        *(NameRule("execute_tool transfer_to_", StepKind.HANDOFF, scope=scope) for scope in (SCOPE, OPENINFERENCE)),
        NameRule("execute_tool ", StepKind.TOOL, Field.TOOL, scope=SCOPE),
        # OpenInference writes the last model call over an agent's span: it stays the agent's.
        NameRule("invoke_agent ", StepKind.AGENT, Field.AGENT, scope=SCOPE),
        *(NameRule("agent_run [", StepKind.AGENT, Field.AGENT, scope=scope, suffix="]") for scope in (SCOPE, OPENINFERENCE)),
        NameRule("call_llm", StepKind.LLM, scope=SCOPE),
        NameRule("invocation", StepKind.CHAIN, scope=SCOPE),
    ),
)
