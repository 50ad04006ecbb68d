"""An OpenAI Agents SDK run that stops its own loop: `python docs/recipes/openai_agents.py`.

`instrument_mcp_tool` under `function_tool` gives the spans; a hook before every model call looks at the run. The model is a script; no key
and no network are needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from agents import Agent, Model, ModelResponse, RunHooks, Runner, Usage, function_tool, set_tracing_disabled
from openai.types.responses import ResponseFunctionToolCall
from opentelemetry.sdk.trace import TracerProvider

from otel_ext import AgentSpanProcessor, AgentStopped, instrument_mcp_tool, watch

provider = TracerProvider()
provider.add_span_processor(AgentSpanProcessor())
set_tracing_disabled(True)

CALLS: list[str] = []


@function_tool
@instrument_mcp_tool(tracer_provider=provider)
def search(q: str) -> str:
    """Look things up."""
    CALLS.append(q)
    return "no results"


class ScriptedModel(Model):
    """Asks for the same search for ever."""

    def __init__(self) -> None:
        self.turns = 0

    async def get_response(self, *_args: Any, **_kwargs: Any) -> ModelResponse:
        """The next turn."""
        self.turns += 1
        call = ResponseFunctionToolCall(arguments='{"q": "hotel"}', call_id=f"call_{self.turns}", name="search", type="function_call")
        return ModelResponse(output=[call], usage=Usage(), response_id=None)

    def stream_response(self, *_args: Any, **_kwargs: Any) -> AsyncIterator[Any]:
        """Not needed here."""
        raise NotImplementedError


class StopLoops(RunHooks[Any]):
    """Raises before the model is asked again, which would only repeat itself. What `on_tool_start` raises comes out as a UserError."""

    def __init__(self, run: watch) -> None:
        self.run = run

    async def on_llm_start(self, *_args: Any, **_kwargs: Any) -> None:
        """Before every model call."""
        self.run.raise_if_found("loop")


async def ask(question: str) -> str:
    """The agent's answer, or what it says instead."""
    agent = Agent(name="travel", model=ScriptedModel(), tools=[search])
    try:
        with watch(max_identical_calls=3) as run:
            result = await Runner.run(agent, question, hooks=StopLoops(run), max_turns=50)
    except AgentStopped as stopped:
        return f"I could not find that. ({stopped.finding.message})"
    return str(result.final_output)


def main() -> tuple[int, str]:
    """How many calls were made, and the answer."""
    CALLS.clear()
    answer = asyncio.run(ask("Find me a hotel."))
    return len(CALLS), answer


if __name__ == "__main__":
    print(main())
