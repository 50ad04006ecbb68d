"""A loop written by hand whose tools are on an MCP server: client and server trace by themselves, the agent span is the application's."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from agent_kit import DESCRIPTIONS, INSTRUCTIONS, MODEL, PAIR, REFUSED, SCHEMAS, TOOLS, TRUTH, URL, Run, main, provider
from hand_made import agent_span

made = provider()

from openai import OpenAI

if "openinference" in PAIR:
    from openinference.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=made)

DECLARED = [
    {"type": "function", "function": {"name": name, "description": DESCRIPTIONS[name], "parameters": SCHEMAS[name]}} for name in TOOLS
]
SERVER = Path(__file__).with_name("travel_server.py")
KIND = "fastmcp" if "fastmcp" in PAIR else "mcp"


def server(run: Run, told: Path) -> dict[str, Any]:
    """How the server's process is started."""
    known = {key: value for key, value in asdict(run).items() if key in ("question", "failing", "polling")}
    return {
        "command": sys.executable,
        "args": [str(SERVER), URL, TRUTH, KIND],
        "env": {**os.environ, "RUN": json.dumps(known), "ENTERED": str(told)},
    }


async def loop(run: Run, call_tool: Any) -> str:
    model = OpenAI(max_retries=0)
    messages: list[Any] = [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": run.question}]
    with agent_span():
        while True:
            message = model.chat.completions.create(model=MODEL, messages=messages, tools=DECLARED).choices[0].message
            messages.append(message.model_dump(exclude_none=True))
            if not message.tool_calls:
                return str(message.content)
            for asked in message.tool_calls:
                name, arguments = asked.function.name, json.loads(asked.function.arguments)
                text = REFUSED if run.refuses(name) else await call_tool(name, arguments)
                messages.append({"role": "tool", "tool_call_id": asked.id, "content": text})


async def over_fastmcp(run: Run, told: Path) -> str:
    from fastmcp import Client
    from fastmcp.client.transports import StdioTransport

    async with Client(StdioTransport(**server(run, told), keep_alive=False)) as client:

        async def call(name: str, arguments: dict[str, str]) -> str:
            return str((await client.call_tool(name, arguments, raise_on_error=False)).content)

        return await loop(run, call)


async def over_mcp(run: Run, told: Path) -> str:
    from mcp import ClientSession, StdioServerParameters
    from mcp.client.stdio import stdio_client

    async with stdio_client(StdioServerParameters(**server(run, told))) as streams, ClientSession(*streams) as session:
        await session.initialize()

        async def call(name: str, arguments: dict[str, str]) -> str:
            return str((await session.call_tool(name, arguments)).content)

        return await loop(run, call)


async def scenario(run: Run) -> str:
    told = Path(f"{TRUTH}.entered")
    told.unlink(missing_ok=True)
    try:
        return await (over_fastmcp if KIND == "fastmcp" else over_mcp)(run, told)
    finally:
        run.entered += [tuple(json.loads(line)) for line in told.read_text().splitlines()] if told.exists() else []


main(scenario)
