"""Microsoft Agent Framework with its own spans."""

from __future__ import annotations

import os

from agent_kit import INSTRUCTIONS, MODEL, PAIR, URL, Run, book_flight, calculate, main, provider, search

os.environ.update(ENABLE_INSTRUMENTATION="true", ENABLE_SENSITIVE_DATA="false" if "no-content" in PAIR else "true")
made = provider(logs=True)

from agent_framework import Agent
from agent_framework.observability import enable_instrumentation
from agent_framework.openai import OpenAIChatCompletionClient

enable_instrumentation(enable_sensitive_data="no-content" not in PAIR)


async def scenario(run: Run) -> str:
    client = OpenAIChatCompletionClient(model=MODEL, base_url=f"{URL}/v1", api_key="sk-scripted")
    common = {"client": client, "instructions": INSTRUCTIONS}
    if run.handoff:
        booker = Agent(**common, name="booker", description="Books.", tools=[book_flight])

        async def delegate_booking(task: str) -> str:
            """Let the booker book."""
            return run.delegate("delegate_booking", (await booker.run(task)).text)

        agent = Agent(**common, name="travel_agent", tools=[search, calculate, delegate_booking])
    else:
        agent = Agent(**common, name="travel_agent", tools=[search, calculate, book_flight])
    if not run.streamed:
        return (await agent.run(run.question)).text
    return "".join([update.text or "" async for update in agent.run(run.question, stream=True)])


main(scenario)
