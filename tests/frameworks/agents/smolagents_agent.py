"""smolagents' ToolCallingAgent, under OpenInference."""

from __future__ import annotations

from agent_kit import MODEL, URL, Run, book_flight, calculate, main, provider, search

made = provider()

from openinference.instrumentation.smolagents import SmolagentsInstrumentor

SmolagentsInstrumentor().instrument(tracer_provider=made)

from smolagents import OpenAIModel, ToolCallingAgent, tool


def agent(run: Run) -> ToolCallingAgent:
    model = OpenAIModel(MODEL, api_base=f"{URL}/v1", api_key="sk-scripted")
    tools = [tool(search), tool(calculate)]
    booking = tool(book_flight)
    common = {"model": model, "max_steps": 20, "verbosity_level": 0, "stream_outputs": run.streamed}
    if not run.handoff:
        return ToolCallingAgent([*tools, booking], name="travel_agent", description="Travels.", **common)
    booker = ToolCallingAgent([booking], name="booker", description="Books flights.", **common)
    return ToolCallingAgent(tools, managed_agents=[booker], name="travel_agent", description="Travels.", **common)


def scenario(run: Run) -> str:
    return str(agent(run).run(run.question))


main(scenario)
