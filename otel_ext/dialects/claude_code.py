"""Claude Code, also under the Claude Agent SDK: bare attribute names, read under its scope only; input tokens without cached ones."""

from otel_ext.dialects.base import AGENT, CALLS, CUT_OFF, IGNORED, LLM, MODELS, Dialect
from otel_ext.model import StepKind
from otel_ext.wire.table import Field, Key, NameRule

SCOPE = "com.anthropic.claude_code"

CLAUDE_CODE = Dialect(
    name="claude_code",
    title="Claude Code / Claude Agent SDK",
    scopes=(SCOPE,),
    limits=(
        "Requested calls and tools declared are not on spans: `response.has_tool_call` says only that there were any.",
        "Cost is in its logs and metrics only.",
    ),
    keys=(
        Key("tool_name", Field.TOOL, 6, scope=SCOPE),
        Key("tool_use_id", Field.CALL_ID, 4, kinds=CALLS, scope=SCOPE),
        Key("tool_input", Field.ARGUMENTS, 8, kinds=CALLS, scope=SCOPE),
        Key("output", Field.RESULT, 13, kinds=CALLS, scope=SCOPE, event="tool.output"),
        Key("content", Field.RESULT, 14, kinds=CALLS, scope=SCOPE, event="tool.output"),
        Key("success", Field.ERROR, 0, {"false": 1}, (*CALLS, *LLM), scope=SCOPE),
        Key("error", Field.ERROR, kinds=(*CALLS, *LLM), scope=SCOPE),
        Key("model", Field.MODEL, 8, kinds=LLM, scope=SCOPE),
        Key("input_tokens", Field.INPUT_TOKENS_NET, 10, kinds=MODELS, scope=SCOPE),
        Key("output_tokens", Field.OUTPUT_TOKENS, 9, kinds=MODELS, scope=SCOPE),
        Key("cache_read_tokens", Field.CACHED_TOKENS, 15, kinds=MODELS, scope=SCOPE),
        Key("cache_creation_tokens", Field.CACHE_WRITE_TOKENS, 12, kinds=MODELS, scope=SCOPE),
        Key("stop_reason", Field.FINISH, 8, CUT_OFF, MODELS, scope=SCOPE),
        Key("subagent_type", Field.AGENT, 14, kinds=(*AGENT, *CALLS), scope=SCOPE),
    ),
    rules=(
        NameRule("claude_code.tool.", IGNORED),
        NameRule("claude_code.tool", StepKind.TOOL),
        NameRule("claude_code.llm_request", StepKind.LLM),
        NameRule("claude_code.interaction", StepKind.AGENT),
        NameRule("claude_code.", IGNORED),
    ),
)
