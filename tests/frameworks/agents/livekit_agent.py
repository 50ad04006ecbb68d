"""LiveKit's voice agent, spoken to in text: a session without a room, with its own spans."""

from __future__ import annotations

import functools

from agent_kit import INSTRUCTIONS, MODEL, URL, Run, book_flight, calculate, main, provider, search

made = provider(logs=True)

from livekit.agents import Agent, AgentSession, function_tool, telemetry
from livekit.plugins import openai

telemetry.set_tracer_provider(made)


def asynchronous(tool):
    """*tool* as the coroutine function that LiveKit wants."""

    @functools.wraps(tool)
    async def call(*arguments: str, **named: str) -> str:
        return tool(*arguments, **named)

    return function_tool(call)


async def scenario(run: Run) -> str:
    tools = [asynchronous(tool) for tool in (search, calculate, book_flight)]
    model = openai.LLM(model=MODEL, base_url=f"{URL}/v1", api_key="sk-scripted", max_retries=0)
    async with AgentSession(llm=model, max_tool_steps=20) as session:
        await session.start(Agent(instructions=INSTRUCTIONS, tools=tools, id="travel_agent"))
        result = await session.run(user_input=run.question)
        items = [event.item for event in result.events if event.type == "message"]
        return str(items[-1].text_content) if items else ""


main(scenario)
