"""A plain agent loop that hears of its own loop: `python docs/recipes/plain_loop.py`.

The model below is a script: it asks for the same search for ever. Replace `ask_model` by your client.
"""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from otel_ext import AgentSpanProcessor, AgentStopped, instrument_mcp_tool, watch

provider = TracerProvider()
provider.add_span_processor(AgentSpanProcessor())
tracer = provider.get_tracer("shop")

CALLS: list[str] = []


@instrument_mcp_tool(tracer_provider=provider)
def search(q: str) -> str:
    """Look things up."""
    CALLS.append(q)
    return "no results"


def ask_model(_history: list[str]) -> dict[str, str]:
    """What a model would answer: here, always the same call."""
    return {"tool": "search", "q": "cheapest hotel in Rome"}


def run_agent(question: str) -> str:
    """Ask, call, ask again, until there is an answer, or nothing new comes."""
    history = [question]
    attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "travel"}
    with tracer.start_as_current_span("invoke_agent travel", attributes=attributes), watch(max_identical_calls=3) as run:
        try:
            while True:
                step = ask_model(history)
                if "answer" in step:
                    return step["answer"]
                history.append(search(step["q"]))
                run.raise_if_found("loop")  # before the next call
        except AgentStopped as stopped:
            trace.get_current_span().add_event("fallback", {"rule": stopped.finding.rule})
            return f"I could not find that. ({stopped.finding.message})"


def main() -> tuple[int, str]:
    """How many calls were made, and the answer."""
    CALLS.clear()
    answer = run_agent("Find me a hotel.")
    return len(CALLS), answer


if __name__ == "__main__":
    print(main())
