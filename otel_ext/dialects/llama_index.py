"""LlamaIndex's own OpenTelemetry integration: spans named `Class.method`; a model call is in two events, a tool call is a Python text."""

from otel_ext.dialects.base import CALLS, KIND_VENDOR, LLM, TOOL, Dialect
from otel_ext.model import StepKind
from otel_ext.wire.table import Field, Key, NameRule

SCOPE = "llamaindex.opentelemetry.tracer"
_STEP = "llamaindex.step.input_summary"
_START = "LLMChatStartEvent"
_END = "LLMChatEndEvent"
_USAGE = "response.raw.usage."

LLAMA_INDEX = Dialect(
    name="llamaindex_otel",
    title="LlamaIndex",
    scopes=("llamaindex.opentelemetry",),
    limits=(
        "Tokens have the names of the client that was called: OpenAI's are read.",
        "Results of tools are not on their spans; of a streamed call only the start is.",
    ),
    keys=(
        # Methods of a model call each other: the span with the start of the call in it is the call.
        Key("class_name", Field.KIND, KIND_VENDOR, {_START: StepKind.LLM}, scope=SCOPE, event=_START),
        Key(_STEP, Field.TOOL, 11, kinds=TOOL, between=("tool_name='", "'")),
        Key(_STEP, Field.CALL_ID, 13, kinds=CALLS, between=("tool_id='", "'")),
        Key(_STEP, Field.ARGUMENTS, 28, kinds=CALLS, between=("tool_kwargs=", ", tool_id=")),
        Key("response.raw.model", Field.MODEL, 7, kinds=LLM, scope=SCOPE, event=_END),
        Key("model_dict.model_name", Field.MODEL, 8, kinds=LLM, scope=SCOPE, event=_START),
        Key(_USAGE + "prompt_tokens", Field.INPUT_TOKENS, 14, kinds=LLM, scope=SCOPE, event=_END),
        Key(_USAGE + "completion_tokens", Field.OUTPUT_TOKENS, 13, kinds=LLM, scope=SCOPE, event=_END),
        Key(_USAGE + "prompt_tokens_details.cached_tokens", Field.CACHED_TOKENS, 22, kinds=LLM, scope=SCOPE, event=_END),
        Key(_USAGE + "completion_tokens_details.reasoning_tokens", Field.REASONING_TOKENS, 22, kinds=LLM, scope=SCOPE, event=_END),
        Key("response.raw.choices", Field.OUTPUT_MESSAGES, 20, kinds=LLM, scope=SCOPE, event=_END),
        Key("response.message.blocks", Field.OUTPUT_MESSAGES, 21, kinds=LLM, scope=SCOPE, event=_END),
        Key("messages", Field.INPUT_MESSAGES, 20, kinds=LLM, scope=SCOPE, event=_END),
        Key("additional_kwargs.tools", Field.DECLARED, 28, kinds=LLM, scope=SCOPE, event=_START),
        Key("llamaindex.run_id", Field.CONVERSATION, 26),
    ),
    rules=(
        NameRule("", StepKind.TOOL, kinds=(StepKind.OTHER,), scope=SCOPE, suffix="Tool.call"),
        NameRule("", StepKind.TOOL, kinds=(StepKind.OTHER,), scope=SCOPE, suffix="Tool.acall"),
        NameRule("", StepKind.AGENT, Field.AGENT, kinds=(StepKind.OTHER,), scope=SCOPE, suffix="Agent.run"),
        NameRule("", StepKind.AGENT, Field.AGENT, kinds=(StepKind.OTHER,), scope=SCOPE, suffix="Workflow.run"),
        NameRule("", StepKind.CHAIN, kinds=(StepKind.OTHER,), scope=SCOPE),
    ),
)
