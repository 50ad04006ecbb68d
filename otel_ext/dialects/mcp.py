"""MCP spans, of the `mcp` SDK and of fastmcp. Client and server each make one for a call: the codec tells by parent which counts."""

from otel_ext.dialects.base import CALLS, KIND_MCP, Dialect
from otel_ext.model import StepKind
from otel_ext.wire.table import Field, Key, NameRule

METHODS = {"tools/call": StepKind.MCP}
_CALL = (StepKind.OTHER, StepKind.MCP)

MCP = Dialect(
    name="mcp",
    title="Model Context Protocol",
    scopes=("mcp-python-sdk", "fastmcp"),
    limits=(
        "The client's span has the tool's name in its own name only, and no arguments or results: loops are told by name.",
        "What `tools/list` gave is on no span.",
    ),
    keys=(
        Key("mcp.method.name", Field.KIND, KIND_MCP, METHODS),
        Key("mcp.method", Field.KIND, KIND_MCP + 1, METHODS),
        Key("mcp.tool.name", Field.TOOL, 7, kinds=CALLS),
        Key("mcp.request.argument", Field.ARGUMENTS, 10, kinds=CALLS),
        Key("mcp.response.value", Field.RESULT, 10, kinds=CALLS),
        Key("mcp.tool.arguments", Field.ARGUMENTS, 9, kinds=CALLS),
        Key("mcp.tool.result", Field.RESULT, 9, kinds=CALLS),
    ),
    rules=(
        NameRule("MCP send tools/call ", StepKind.MCP, Field.TOOL, kinds=_CALL),
        NameRule("tools/call ", StepKind.MCP, Field.TOOL, kinds=_CALL),
    ),
)
