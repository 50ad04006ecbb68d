"""AutoGen's AssistantAgent with its own spans, or under OpenInference."""

from __future__ import annotations

from agent_kit import INSTRUCTIONS, MODEL, PAIR, URL, Run, book_flight, calculate, main, provider, search

made = provider()

if "openinference" in PAIR:
    from openinference.instrumentation.autogen_agentchat import AutogenAgentChatInstrumentor

    AutogenAgentChatInstrumentor().instrument(tracer_provider=made)
if "-openai" in PAIR:
    from openinference.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=made)

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.conditions import TextMessageTermination
from autogen_agentchat.teams import Swarm
from autogen_ext.models.openai import OpenAIChatCompletionClient


async def scenario(run: Run) -> str:
    client = OpenAIChatCompletionClient(
        model=MODEL, base_url=f"{URL}/v1", api_key="sk-scripted", max_retries=0, include_name_in_message=False
    )
    common = {"model_client": client, "system_message": INSTRUCTIONS, "max_tool_iterations": 20, "model_client_stream": run.streamed}
    if run.handoff:
        travel = AssistantAgent("travel_agent", tools=[search, calculate], handoffs=["booker"], **common)
        booker = AssistantAgent("booker", tools=[book_flight], **common)
        team = Swarm([travel, booker], termination_condition=TextMessageTermination("booker"))
        result = await team.run(task=run.question)
    else:
        agent = AssistantAgent("travel_agent", tools=[search, calculate, book_flight], **common)
        if run.streamed:
            result = [part async for part in agent.run_stream(task=run.question)][-1]
        else:
            result = await agent.run(task=run.question)
    return str(result.messages[-1].content)


main(scenario)
