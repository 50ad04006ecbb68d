"""The tools as an MCP server over stdio, a process of its own with an OpenTelemetry SDK of its own. Tells each call in a line of a file."""

from __future__ import annotations

import functools
import json
import os
import sys

import agent_kit
from agent_kit import Run, flush, provider

made = provider(attributes={"service.name": "travel-tools"})


def wrapped(tool):
    """*tool*, with its call told to the client's process; the run that the scenario wants is the one the client is at."""

    @functools.wraps(tool)
    def call(**arguments: str) -> str:
        agent_kit.run = agent_kit.run if agent_kit.run.entered else Run(**json.loads(os.environ["RUN"]))
        try:
            return tool(**arguments)
        finally:
            with open(os.environ["ENTERED"], "a") as file:
                file.write(json.dumps(agent_kit.run.entered[-1]) + "\n")

    return call


TOOLS = [wrapped(tool) for tool in agent_kit.TOOLS.values()]
if sys.argv[3] == "fastmcp":
    from fastmcp import FastMCP

    server = FastMCP("tools")
else:
    from mcp.server import MCPServer

    server = MCPServer("tools")
for tool in TOOLS:
    server.tool()(tool)
server.run("stdio")
flush()
