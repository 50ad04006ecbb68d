"""OpenAI Agents SDK, under the instrumentation that the pair names."""

from __future__ import annotations

from agent_kit import INSTRUCTIONS, MODEL, PAIR, Run, book_flight, calculate, main, provider, search

made = provider(logs=True)

from agents import Agent, Runner, function_tool, set_trace_processors

if "openinference" in PAIR:
    from openinference.instrumentation.openai_agents import OpenAIAgentsInstrumentor

    OpenAIAgentsInstrumentor().instrument(tracer_provider=made)
elif "logfire" in PAIR:
    import logfire

    set_trace_processors([])
    logfire.configure(send_to_logfire=False, console=False, additional_span_processors=[made._active_span_processor])
    logfire.instrument_openai_agents()
else:  # OpenLLMetry and the official one share an import name
    from opentelemetry.instrumentation.openai_agents import OpenAIAgentsInstrumentor as Other

    set_trace_processors([])
    Other().instrument(tracer_provider=made)


def agent(run: Run) -> Agent:
    tools = [function_tool(tool) for tool in (search, calculate)]
    booking = function_tool(book_flight, needs_approval=run.withheld)
    if not run.handoff:
        return Agent(name="travel_agent", instructions=INSTRUCTIONS, model=MODEL, tools=[*tools, booking])
    booker = Agent(name="booker", instructions=INSTRUCTIONS, model=MODEL, tools=[booking])
    return Agent(name="travel_agent", instructions=INSTRUCTIONS, model=MODEL, tools=tools, handoffs=[booker])


async def scenario(run: Run) -> str:
    first = agent(run)
    if not run.streamed:
        result = await Runner.run(first, run.question, max_turns=20)
        while result.interruptions:
            state = result.to_state()
            state.reject(result.interruptions[0])
            result = await Runner.run(first, state)
        return str(result.final_output)
    result = Runner.run_streamed(first, run.question, max_turns=20)
    async for _ in result.stream_events():
        pass
    return str(result.final_output)


main(scenario)
