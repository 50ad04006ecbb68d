"""LiteLLM, client and proxy: a raw copy of each request beside the call, and costs in three spellings."""

from otel_ext.dialects.base import IGNORED, LLM, MODELS, Dialect
from otel_ext.model import StepKind
from otel_ext.wire.table import Field, Key, NameRule

SCOPE = "litellm"

LITELLM = Dialect(
    name="litellm",
    title="LiteLLM",
    scopes=(SCOPE,),
    limits=("Requested calls have no id in the older integration: they are matched by name and order.",),
    keys=(
        Key("gen_ai.cost.total_cost", Field.COST, 4, kinds=MODELS),
        Key("litellm.cost.total", Field.COST, 5, kinds=MODELS),
        Key("hidden_params", Field.COST, 6, kinds=MODELS, path=("response_cost",)),
        Key("litellm.end_user.id", Field.USER, 10),
        Key("metadata.user_api_key_end_user_id", Field.USER, 11),
        Key("metadata.user_api_key_user_id", Field.USER, 12),
        Key("litellm.request.tools.declared", Field.DECLARED, 10, kinds=LLM),
    ),
    rules=(
        NameRule("raw_gen_ai_request", IGNORED, scope=SCOPE),
        NameRule("Received Proxy Server Request", IGNORED, scope=SCOPE),
        NameRule("litellm_request", StepKind.LLM, kinds=(StepKind.OTHER,), scope=SCOPE),
    ),
)
