"""Pydantic AI with its own spans, or through Logfire."""

from __future__ import annotations

from agent_kit import INSTRUCTIONS, MODEL, PAIR, Run, book_flight, calculate, main, provider, search

made = provider()

from pydantic_ai import Agent, ModelRetry, RunContext, Tool
from pydantic_ai.models.instrumented import InstrumentationSettings

if "logfire" in PAIR:
    import logfire

    logfire.configure(send_to_logfire=False, console=False, additional_span_processors=[made._active_span_processor])
    logfire.instrument_pydantic_ai()
else:
    Agent.instrument_all(InstrumentationSettings(tracer_provider=made))

if "anthropic" in PAIR:  # whose client has spans of its own
    NAME = "anthropic:claude-sonnet-4-5"
else:
    NAME = f"openai-responses:{MODEL}" if "responses" in PAIR else f"openai-chat:{MODEL}"


def booking(flight: str) -> str:
    """Book a flight. Charges the customer."""
    try:
        return book_flight(flight)
    except RuntimeError as error:
        raise ModelRetry(str(error)) from error


def agent(run: Run) -> Agent:
    book = Tool(booking, name="book_flight", max_retries=9)
    if not run.handoff:
        return Agent(NAME, name="travel_agent", instructions=INSTRUCTIONS, tools=[search, calculate, book], retries=9)
    booker = Agent(NAME, name="booker", instructions=INSTRUCTIONS, tools=[book])
    travel = Agent(NAME, name="travel_agent", instructions=INSTRUCTIONS, tools=[search, calculate])

    @travel.tool
    async def delegate_booking(context: RunContext, task: str) -> str:
        """Let the booker book."""
        return run.delegate("delegate_booking", str((await booker.run(task, usage=context.usage)).output))

    return travel


async def scenario(run: Run) -> str:
    if not run.streamed:
        return str((await agent(run).run(run.question)).output)
    async with agent(run).run_stream(run.question) as result:
        return str(await result.get_output())


main(scenario)
