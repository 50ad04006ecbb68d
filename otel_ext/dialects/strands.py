"""Strands Agents: messages, arguments and results are span events, in Bedrock's blocks; the agent's span repeats all tokens."""

from otel_ext.dialects.base import AGENT, CALLS, CUT_OFF, LLM, MODELS, Dialect
from otel_ext.wire.table import Field, Key

SCOPE = "strands.telemetry.tracer"
_CHOICE = "gen_ai.choice"
_TOOL = "gen_ai.tool.message"
_DETAILS = "gen_ai.client.inference.operation.details"
_PART = (0, "parts", 0)

STRANDS = Dialect(
    name="strands",
    title="Strands Agents",
    scopes=(SCOPE,),
    limits=("A tool that a hook cancelled has no span: the refusal is in the next call's history.",),
    keys=(
        Key("id", Field.CALL_ID, 14, kinds=CALLS, scope=SCOPE, event=_TOOL),
        Key("content", Field.ARGUMENTS, 12, kinds=CALLS, scope=SCOPE, event=_TOOL),
        Key("message", Field.RESULT, 12, kinds=CALLS, scope=SCOPE, event=_CHOICE),
        # The newest conventions: a message each for the call and its result.
        Key("gen_ai.input.messages", Field.ARGUMENTS, 11, kinds=CALLS, scope=SCOPE, event=_DETAILS, path=(*_PART, "arguments")),
        Key("gen_ai.output.messages", Field.RESULT, 11, kinds=CALLS, scope=SCOPE, event=_DETAILS, path=(*_PART, "response")),
        Key("gen_ai.tool.status", Field.ERROR, values={"error": 1}, kinds=CALLS),
        Key("message", Field.OUTPUT_MESSAGES, 6, kinds=LLM, scope=SCOPE, event=_CHOICE),
        Key("message", Field.OUTPUT, 7, kinds=AGENT, scope=SCOPE, event=_CHOICE),
        Key("content", Field.INPUT_MESSAGES, 6, kinds=LLM, scope=SCOPE, event=_TOOL),
        Key("content", Field.INPUT_MESSAGES, 6, kinds=LLM, scope=SCOPE, event="gen_ai.user.message"),
        Key("finish_reason", Field.FINISH, 11, CUT_OFF, MODELS, scope=SCOPE, event=_CHOICE),
        Key("gen_ai.agent.tools", Field.DECLARED, 12),
    ),
)
