"""MCP spans. Client and server each emit one for a call: only the one that executes the tool counts as the call."""

from otel_ext.dialects.base import KIND_MCP, Dialect
from otel_ext.model import StepKind
from otel_ext.wire.table import Field, Key

METHODS = {"tools/call": StepKind.MCP, "tools/list": StepKind.MCP, "initialize": StepKind.MCP}

MCP = Dialect(name="mcp", keys=(Key("mcp.method.name", Field.KIND, KIND_MCP, METHODS),))
