"""MLflow: every value is a JSON text, also a single word: `"TOOL"` stands with its quotes."""

from otel_ext.dialects.base import AGENT, CALLS, KIND_FRAMEWORK, LLM, MODELS, TOOL, Dialect
from otel_ext.model import StepKind
from otel_ext.wire.table import Field, Key, NameRule

_TYPES = {
    "LLM": StepKind.LLM,
    "CHAT_MODEL": StepKind.LLM,
    "EMBEDDING": StepKind.EMBEDDING,
    "RERANKER": StepKind.RETRIEVER,
    "RETRIEVER": StepKind.RETRIEVER,
    "TOOL": StepKind.TOOL,
    "AGENT": StepKind.AGENT,
    "CHAIN": StepKind.CHAIN,
    "WORKFLOW": StepKind.CHAIN,
    "TASK": StepKind.CHAIN,
    "MEMORY": StepKind.CHAIN,
    "PARSER": StepKind.CHAIN,
    "GUARDRAIL": StepKind.GUARDRAIL,
    "EVALUATOR": StepKind.EVALUATOR,
}
TYPES = {spelling: kind for name, kind in _TYPES.items() for spelling in (name, f'"{name}"')}
_USAGE = "mlflow.chat.tokenUsage"

MLFLOW = Dialect(
    name="mlflow",
    title="MLflow",
    scopes=("mlflow",),
    limits=("Tool spans have no call id. Messages have the shape of the client that was traced: OpenAI's is read.",),
    keys=(
        Key("mlflow.spanType", Field.KIND, KIND_FRAMEWORK, TYPES),
        Key("mlflow.spanInputs", Field.ARGUMENTS, 17, kinds=CALLS),
        Key("mlflow.spanOutputs", Field.RESULT, 17, kinds=CALLS),
        Key("mlflow.llm.model", Field.MODEL, 6, path=()),
        Key(_USAGE, Field.INPUT_TOKENS, 8, kinds=MODELS, path=("input_tokens",)),
        Key(_USAGE, Field.INPUT_TOKENS, 9, kinds=MODELS, path=("prompt_tokens",)),
        Key(_USAGE, Field.OUTPUT_TOKENS, 7, kinds=MODELS, path=("output_tokens",)),
        Key(_USAGE, Field.OUTPUT_TOKENS, 8, kinds=MODELS, path=("completion_tokens",)),
        Key(_USAGE, Field.CACHED_TOKENS, 11, kinds=MODELS, path=("cache_read_input_tokens",)),
        Key(_USAGE, Field.CACHE_WRITE_TOKENS, 10, kinds=MODELS, path=("cache_creation_input_tokens",)),
        Key("mlflow.llm.cost", Field.COST, 9, kinds=MODELS, path=("total_cost",)),
        Key("mlflow.trace.session", Field.CONVERSATION, 17, path=()),
        Key("mlflow.trace.user", Field.USER, 14, path=()),
        Key("mlflow.spanOutputs", Field.OUTPUT_MESSAGES, 12, kinds=LLM),
        Key("mlflow.spanOutputs", Field.OUTPUT, 14, kinds=(*LLM, *AGENT)),
        Key("mlflow.spanInputs", Field.INPUT_MESSAGES, 12, kinds=LLM),
        Key("mlflow.chat.tools", Field.DECLARED, 9),
        Key("mlflow.spanInputs", Field.DECLARED, 27, kinds=LLM, path=("tools",)),
    ),
    rules=(
        NameRule("", StepKind.TOOL, Field.TOOL, kinds=TOOL, scope="mlflow"),
        NameRule("", StepKind.AGENT, Field.AGENT, kinds=AGENT, scope="mlflow"),
    ),
)
