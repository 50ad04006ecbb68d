"""LiveKit Agents. The model call is `llm_request`; the `llm_node` around it has the same text and calls, and no tokens."""

from otel_ext.dialects.base import CALLS, IGNORED, KIND_SHAPE, LLM, Dialect
from otel_ext.model import StepKind
from otel_ext.wire.table import Field, Key, NameRule

SCOPE = "livekit-agents"

LIVEKIT = Dialect(
    name="livekit",
    title="LiveKit Agents",
    scopes=(SCOPE,),
    limits=("With `input_delta` a call's messages are only the new ones: a missing answer proves nothing.",),
    keys=(
        Key("lk.function_tool.name", Field.KIND, KIND_SHAPE, {"": StepKind.TOOL}),
        Key("lk.function_tool.name", Field.TOOL, 2),
        Key("lk.function_tool.id", Field.CALL_ID, 2, kinds=CALLS),
        Key("lk.pii.function_tool.arguments", Field.ARGUMENTS, 2, kinds=CALLS),
        Key("lk.function_tool.arguments", Field.ARGUMENTS, 3, kinds=CALLS),
        Key("lk.pii.function_tool.output", Field.RESULT, 3, kinds=CALLS),
        Key("lk.function_tool.output", Field.RESULT, 4, kinds=CALLS),
        Key("lk.function_tool.is_error", Field.ERROR, kinds=CALLS),
        Key("lk.pii.response.function_calls", Field.OUTPUT_MESSAGES, 5, kinds=LLM),
        Key("lk.response.function_calls", Field.OUTPUT_MESSAGES, 6, kinds=LLM),
        Key("lk.pii.response.text", Field.OUTPUT, 15, kinds=LLM),
        Key("lk.response.text", Field.OUTPUT, 16, kinds=LLM),
        Key("lk.pii.chat_ctx", Field.INPUT_MESSAGES, 14, kinds=LLM, path=("items",)),
        Key("lk.chat_ctx", Field.INPUT_MESSAGES, 15, kinds=LLM, path=("items",)),
        Key("lk.function_tools", Field.DECLARED, 18),
        Key("lk.agent_name", Field.AGENT, 4),
        Key("lk.agent_label", Field.AGENT, 5),
        Key("lk.room_sid", Field.CONVERSATION, 24),
        Key("lk.job_id", Field.CONVERSATION, 25),
    ),
    rules=(
        NameRule("function_tool", StepKind.TOOL, scope=SCOPE),
        NameRule("llm_request_run", IGNORED, scope=SCOPE),
        NameRule("llm_request", StepKind.LLM, scope=SCOPE),
        NameRule("agent_turn", StepKind.AGENT, scope=SCOPE),
        NameRule("update_agent", StepKind.HANDOFF, scope=SCOPE),
        NameRule("", StepKind.CHAIN, kinds=(StepKind.OTHER,), scope=SCOPE),
    ),
)
