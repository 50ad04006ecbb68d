"""A Pydantic AI agent that stops its own loop: `python docs/recipes/pydantic_ai_agent.py`.

Pydantic AI makes GenAI spans itself: pass it the provider, and nothing else is needed on the tools. Walking the run node by node leaves a
place to look between two steps. The model is a script.
"""

from __future__ import annotations

import asyncio

from opentelemetry.sdk.trace import TracerProvider
from pydantic_ai import Agent, InstrumentationSettings
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from otel_ext import AgentSpanProcessor, AgentStopped, watch

provider = TracerProvider()
provider.add_span_processor(AgentSpanProcessor())

CALLS: list[str] = []


def scripted_model(_messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
    """Asks for the same search for ever."""
    return ModelResponse(parts=[ToolCallPart("search", {"q": "hotel"})])


agent = Agent(FunctionModel(scripted_model), name="travel")
agent.instrument = InstrumentationSettings(tracer_provider=provider)


@agent.tool_plain
def search(q: str) -> str:
    """Look things up."""
    CALLS.append(q)
    return "no results"


async def ask(question: str) -> str:
    """The agent's answer, or what it says instead."""
    try:
        with watch(max_identical_calls=3) as watched:
            async with agent.iter(question) as run:
                async for _node in run:
                    watched.raise_if_found("loop")
        return str(run.result.output) if run.result else ""
    except AgentStopped as stopped:
        return f"I could not find that. ({stopped.finding.message})"


def main() -> tuple[int, str]:
    """How many calls were made, and the answer."""
    CALLS.clear()
    answer = asyncio.run(ask("Find me a hotel."))
    return len(CALLS), answer


if __name__ == "__main__":
    print(main())
