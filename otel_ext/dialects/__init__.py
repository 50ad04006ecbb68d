"""Which attribute means what in which instrumentation. A dialect is data: a table a file, read by the codec and by nothing else."""

from typing import Final

from otel_ext.dialects.base import Dialect, Mark, Text
from otel_ext.dialects.genai import GENAI
from otel_ext.dialects.langfuse_sdk import LANGFUSE, OURS
from otel_ext.dialects.mcp import MCP
from otel_ext.dialects.openinference import OPENINFERENCE
from otel_ext.wire.table import Field, Key, NameRule

DIALECTS: Final[tuple[Dialect, ...]] = (GENAI, OPENINFERENCE, MCP, LANGFUSE, OURS)

KEYS: Final[tuple[Key, ...]] = (Key("service.name", Field.SERVICE), *(key for dialect in DIALECTS for key in dialect.keys))
RULES: Final[tuple[NameRule, ...]] = tuple(rule for dialect in DIALECTS for rule in dialect.rules)

__all__ = ["DIALECTS", "KEYS", "RULES", "Dialect", "Mark", "Text"]
