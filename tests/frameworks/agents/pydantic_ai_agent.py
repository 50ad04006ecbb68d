"""Pydantic AI with its own spans, or through Logfire."""

from __future__ import annotations

from agent_kit import INSTRUCTIONS, MODEL, PAIR, REFUSED, Run, book_flight, calculate, main, provider, search

made = provider()

from pydantic_ai import Agent, DeferredToolRequests, DeferredToolResults, ModelRetry, RunContext, Tool, ToolDenied
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
    book = Tool(booking, name="book_flight", max_retries=9, requires_approval=run.withheld)
    common = {"instructions": INSTRUCTIONS, "retries": 9, "output_type": [str, DeferredToolRequests] if run.withheld else str}
    if not run.handoff:
        return Agent(NAME, name="travel_agent", tools=[search, calculate, book], **common)
    booker = Agent(NAME, name="booker", instructions=INSTRUCTIONS, tools=[book])
    travel = Agent(NAME, name="travel_agent", instructions=INSTRUCTIONS, tools=[search, calculate])

    @travel.tool
    async def delegate_booking(context: RunContext, task: str) -> str:
        """Let the booker book."""
        return run.delegate("delegate_booking", str((await booker.run(task, usage=context.usage)).output))

    return travel


async def withheld(run: Run) -> str:
    first = await agent(run).run(run.question)
    refused = {call.tool_call_id: ToolDenied(REFUSED) for call in first.output.approvals}
    again = DeferredToolResults(approvals=refused)
    return str((await agent(run).run(message_history=first.all_messages(), deferred_tool_results=again)).output)


async def scenario(run: Run) -> str:
    if run.withheld:
        return await withheld(run)
    if not run.streamed:
        return str((await agent(run).run(run.question)).output)
    async with agent(run).run_stream(run.question) as result:
        return str(await result.get_output())


main(scenario)
