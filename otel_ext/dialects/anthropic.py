"""Anthropic's SDK, which makes spans by itself, and the spans of its API that can join the same trace."""

from otel_ext.dialects.base import CALLS, CUT_OFF, MODELS, Dialect
from otel_ext.model import StepKind
from otel_ext.wire.table import Field, Key, NameRule

SCOPE = "com.anthropic.sdk."
PLATFORM = "com.anthropic.claude-platform"

ANTHROPIC = Dialect(
    name="anthropic_native",
    title="Anthropic SDK and API",
    scopes=(SCOPE, PLATFORM),
    limits=(
        "Spans are on by default, content is not; tools declared are never shown.",
        "Beside any other instrumentation each model call is seen twice, with the API's own span three times: counted once.",
        "The tool runner sends only what is new: a missing answer proves nothing.",
    ),
    keys=(
        Key("anthropic.tool_result.content", Field.RESULT, 2, kinds=CALLS),
        Key("anthropic.message.stop_reason", Field.FINISH, 2, CUT_OFF, MODELS),
        Key("anthropic.session.id", Field.CONVERSATION, 20),
    ),
    rules=(
        NameRule("anthropic.custom_tool_use ", StepKind.TOOL, Field.TOOL, kinds=(StepKind.OTHER, StepKind.TOOL)),
        NameRule("anthropic.tool_use ", StepKind.TOOL, Field.TOOL, kinds=(StepKind.OTHER, StepKind.TOOL)),
    ),
)
