"""Microsoft's three: Agent Framework, Semantic Kernel and AutoGen. All write the GenAI conventions, and some keys of their own."""

from otel_ext.dialects.base import IGNORED, Dialect
from otel_ext.model import StepKind
from otel_ext.wire.table import Field, Key, NameRule

AGENT_FRAMEWORK = Dialect(
    name="microsoft_agent_framework",
    title="Microsoft Agent Framework",
    scopes=("agent_framework",),
    limits=("An unknown tool has no span: it is answered with an error text.",),
    rules=(
        NameRule("workflow.", IGNORED, scope="agent_framework"),
        NameRule("executor.process", IGNORED, scope="agent_framework"),
        NameRule("edge_group.process", IGNORED, scope="agent_framework"),
        NameRule("message.send", IGNORED, scope="agent_framework"),
    ),
)

SEMANTIC_KERNEL = Dialect(
    name="semantic_kernel",
    title="Semantic Kernel",
    scopes=("semantic_kernel",),
    limits=(
        "Messages are in log records only: requested calls cannot be seen.",
        "No cached or reasoning tokens.",
    ),
    keys=(Key("sk.available_functions", Field.DECLARED, 19),),
    rules=(NameRule("AutoFunctionInvocationLoop", StepKind.CHAIN, scope="semantic_kernel"),),
)

AUTOGEN = Dialect(
    name="autogen",
    title="AutoGen",
    scopes=("autogen",),
    limits=("No model spans, no arguments, results or tokens of its own; a run's messages are traces apart, joined by span links.",),
    # Messages between agents, thirty a run: each names its agents, none is a step.
    rules=(NameRule("autogen ", IGNORED, scope="autogen"),),
)
