"""The Claude Agent SDK with the program it brings along, whose own telemetry is on, or under OpenInference; tools are a server here."""

from __future__ import annotations

import os
from typing import Any

from agent_kit import DESCRIPTIONS, INSTRUCTIONS, PAIR, SCHEMAS, TOOLS, URL, Run, main, provider

os.environ.update(
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
    DISABLE_TELEMETRY="1",
    DISABLE_ERROR_REPORTING="1",
    DISABLE_AUTOUPDATER="1",
    IS_SANDBOX="1",
)
made = provider()

if "openinference" in PAIR:
    from openinference.instrumentation.claude_agent_sdk import ClaudeAgentSDKInstrumentor

    ClaudeAgentSDKInstrumentor().instrument(tracer_provider=made)
else:
    os.environ.update(
        CLAUDE_CODE_ENABLE_TELEMETRY="1",
        CLAUDE_CODE_ENHANCED_TELEMETRY_BETA="1",
        OTEL_TRACES_EXPORTER="otlp",
        OTEL_LOGS_EXPORTER="otlp",
        OTEL_METRICS_EXPORTER="none",
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        OTEL_EXPORTER_OTLP_ENDPOINT=URL,
        OTEL_LOG_TOOL_DETAILS="1",
        OTEL_LOG_TOOL_CONTENT="1",
        OTEL_LOG_USER_PROMPTS="1",
    )

from claude_agent_sdk import ClaudeAgentOptions, ResultMessage, create_sdk_mcp_server, query, tool


def tool_of(name: str) -> Any:
    @tool(name, DESCRIPTIONS[name], SCHEMAS[name])
    async def call(arguments: dict[str, str]) -> dict[str, Any]:
        try:
            return {"content": [{"type": "text", "text": TOOLS[name](**arguments)}]}
        except RuntimeError as error:
            return {"content": [{"type": "text", "text": f"Error: {error}"}], "is_error": True}

    return call


async def scenario(run: Run) -> str:
    options = ClaudeAgentOptions(
        system_prompt=INSTRUCTIONS,
        model="claude-sonnet-4-5",
        mcp_servers={"travel": create_sdk_mcp_server("travel", tools=[tool_of(name) for name in TOOLS])},
        allowed_tools=[f"mcp__travel__{name}" for name in TOOLS],
        tools=[],
        setting_sources=[],
        max_turns=20,
        env={"HOME": os.environ["HOME"]},
    )
    answer = ""
    async for message in query(prompt=run.question, options=options):
        if isinstance(message, ResultMessage):
            answer = message.result or ""
    return answer


main(scenario)
