"""CrewAI: its own spans (GenAI conventions and `crewai.*`), and what OpenLLMetry and OpenInference add about it."""

from otel_ext.dialects.base import AGENT, CALLS, IGNORED, Dialect
from otel_ext.model import StepKind
from otel_ext.wire.table import Field, Key, NameRule

CREWAI = Dialect(
    name="crewai",
    title="CrewAI",
    scopes=("crewai",),
    limits=(
        "Its own spans go to its makers' backend unless it is told otherwise.",
        "OpenLLMetry shows neither tools nor tokens of a crew; OpenInference shows tools where it listens to events.",
    ),
    keys=(
        Key("crewai.agent.role", Field.AGENT, 5),
        Key("tool.agent_role", Field.AGENT, 6),
        Key("crewai.tool.failure.message", Field.ERROR, kinds=CALLS),
        Key("crewai.crew.result", Field.OUTPUT, 9, kinds=AGENT),
        Key("crewai.agent.tools", Field.DECLARED, 15),
        Key("agent.tools", Field.DECLARED, 16),
    ),
    rules=(
        NameRule("", IGNORED, scope="crewai.telemetry"),
        NameRule("execute agent", StepKind.AGENT, kinds=(StepKind.OTHER,), scope="crewai"),
        NameRule("call llm", StepKind.LLM, kinds=(StepKind.OTHER,), scope="crewai"),
        NameRule("call tool", StepKind.TOOL, kinds=(StepKind.OTHER,), scope="crewai"),
        NameRule("evaluate guardrail", StepKind.GUARDRAIL, scope="crewai"),
    ),
)
