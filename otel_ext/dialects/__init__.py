"""Which attribute means what in which instrumentation. A dialect is data: a table a file, read by the codec and by nothing else."""

from typing import Final

from otel_ext.dialects.agent_framework import AGENT_FRAMEWORK, AUTOGEN, SEMANTIC_KERNEL
from otel_ext.dialects.anthropic import ANTHROPIC
from otel_ext.dialects.base import HANDOFF_PREFIXES, OUTPUT_PREFIXES, OUTPUT_TOOLS, PROVIDER_TOOLS, Dialect, Mark, Text
from otel_ext.dialects.claude_code import CLAUDE_CODE
from otel_ext.dialects.crewai import CREWAI
from otel_ext.dialects.genai import GENAI, LEGACY
from otel_ext.dialects.google_adk import GOOGLE_ADK
from otel_ext.dialects.haystack import HAYSTACK
from otel_ext.dialects.langfuse_sdk import LANGFUSE, OURS
from otel_ext.dialects.langsmith import LANGSMITH
from otel_ext.dialects.litellm import LITELLM
from otel_ext.dialects.livekit import LIVEKIT
from otel_ext.dialects.llama_index import LLAMA_INDEX
from otel_ext.dialects.mastra import MASTRA
from otel_ext.dialects.mcp import MCP
from otel_ext.dialects.mlflow import MLFLOW
from otel_ext.dialects.openinference import OPENINFERENCE
from otel_ext.dialects.openllmetry import OPENLLMETRY
from otel_ext.dialects.pydantic_ai import LOGFIRE_SDK, PYDANTIC_AI
from otel_ext.dialects.strands import STRANDS
from otel_ext.dialects.vendors import AGENTOPS, DIFY, GENKIT, LAMINAR, OPENAI_AGENTS_V2, OPENLIT, SMOLAGENTS
from otel_ext.dialects.vercel import VERCEL
from otel_ext.wire.table import Field, Key, NameRule

# Name rules are tried in this order: those of one framework, which know its scope, before those that fit any span.
DIALECTS: Final[tuple[Dialect, ...]] = (
    PYDANTIC_AI,
    LOGFIRE_SDK,
    OPENAI_AGENTS_V2,
    LANGSMITH,
    CREWAI,
    AGENT_FRAMEWORK,
    SEMANTIC_KERNEL,
    AUTOGEN,
    GOOGLE_ADK,
    STRANDS,
    SMOLAGENTS,
    HAYSTACK,
    LLAMA_INDEX,
    LITELLM,
    VERCEL,
    MASTRA,
    LIVEKIT,
    MLFLOW,
    CLAUDE_CODE,
    ANTHROPIC,
    DIFY,
    OPENLIT,
    AGENTOPS,
    LAMINAR,
    GENKIT,
    GENAI,
    LEGACY,
    MCP,
    OPENINFERENCE,
    OPENLLMETRY,
    LANGFUSE,
    OURS,
)

KEYS: Final[tuple[Key, ...]] = (Key("service.name", Field.SERVICE), *(key for dialect in DIALECTS for key in dialect.keys))
RULES: Final[tuple[NameRule, ...]] = tuple(rule for dialect in DIALECTS for rule in dialect.rules)
_SCOPES: Final = sorted(((scope, dialect.name) for dialect in DIALECTS for scope in dialect.scopes), key=lambda each: -len(each[0]))
# Short names of which others may be the start: these are whole scopes.
_EXACT: Final = frozenset({"ai", "gen_ai", "otel_ext", "dify", "genkit", "lmnr"})


def known_scope(name: str) -> str | None:
    """The dialect whose instrumentation has a scope of this name; None where none is known to."""
    for scope, dialect in _SCOPES:
        if name == scope or (scope not in _EXACT and name.startswith(scope)):
            return dialect
    return None


__all__ = [
    "DIALECTS",
    "HANDOFF_PREFIXES",
    "KEYS",
    "OUTPUT_PREFIXES",
    "OUTPUT_TOOLS",
    "PROVIDER_TOOLS",
    "RULES",
    "Dialect",
    "Mark",
    "Text",
    "known_scope",
]
