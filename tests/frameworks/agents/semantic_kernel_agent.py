"""Semantic Kernel's ChatCompletionAgent with its own spans."""

from __future__ import annotations

import os

from agent_kit import INSTRUCTIONS, MODEL, URL, Run, book_flight, calculate, main, provider, search

os.environ.update(
    SEMANTICKERNEL_EXPERIMENTAL_GENAI_ENABLE_OTEL_DIAGNOSTICS="true",
    SEMANTICKERNEL_EXPERIMENTAL_GENAI_ENABLE_OTEL_DIAGNOSTICS_SENSITIVE="true",
)
made = provider(logs=True)

from openai import AsyncOpenAI
from semantic_kernel.agents import ChatCompletionAgent
from semantic_kernel.connectors.ai.function_choice_behavior import FunctionChoiceBehavior
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion
from semantic_kernel.functions import kernel_function


class Travel:
    @kernel_function(name="search", description="Search fares and hotels.")
    def search(self, q: str) -> str:
        return search(q)

    @kernel_function(name="calculate", description="Calculate.")
    def calculate(self, expr: str) -> str:
        return calculate(expr)


class Booking:
    @kernel_function(name="book_flight", description="Book a flight. Charges the customer.")
    def book_flight(self, flight: str) -> str:
        return book_flight(flight)


async def scenario(run: Run) -> str:
    service = OpenAIChatCompletion(ai_model_id=MODEL, async_client=AsyncOpenAI(base_url=f"{URL}/v1", api_key="sk-scripted", max_retries=0))
    often = FunctionChoiceBehavior.Auto(maximum_auto_invoke_attempts=20)
    common = {"service": service, "instructions": INSTRUCTIONS, "function_choice_behavior": often}
    booker = ChatCompletionAgent(**common, name="booker", plugins=[Booking()])
    plugins = [Travel(), booker] if run.handoff else [Travel(), Booking()]
    agent = ChatCompletionAgent(**common, name="travel_agent", plugins=plugins)
    if not run.streamed:
        return str(await agent.get_response(run.question))
    return "".join([str(part) async for part in agent.invoke_stream(run.question)])


main(scenario)
