"""CrewAI under OpenInference: a crew of one agent, or of two where one delegates."""

from __future__ import annotations

import os

from agent_kit import MODEL, PAIR, URL, Run, book_flight, calculate, main, provider, search

os.environ.update(
    CREWAI_DISABLE_TELEMETRY="true", CREWAI_TRACING_ENABLED="false", CREWAI_DISABLE_TRACKING="true", OTEL_SDK_DISABLED="false"
)
os.environ.update(LITELLM_LOCAL_MODEL_COST_MAP="True")
made = provider()

if "openinference" in PAIR:
    from openinference.instrumentation.crewai import CrewAIInstrumentor

    CrewAIInstrumentor().instrument(tracer_provider=made, use_event_listener="events" in PAIR)
else:
    from opentelemetry.instrumentation.crewai import CrewAIInstrumentor as Other
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor as OtherOpenAI

    Other().instrument(tracer_provider=made)
    OtherOpenAI().instrument(tracer_provider=made)
if "-openai" in PAIR:
    from openinference.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=made)

from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool


def scenario(run: Run) -> str:
    model = LLM(model=f"openai/{MODEL}", base_url=f"{URL}/v1", api_key="sk-scripted", stream=run.streamed)
    tools = [tool("search")(search), tool("calculate")(calculate), tool("book_flight")(book_flight)]
    agent = Agent(role="travel_agent", goal="Travel.", backstory="Travels.", llm=model, tools=tools, max_retry_limit=0, max_iter=20)
    crew = Crew(agents=[agent], tasks=[Task(description=run.question, expected_output="An answer.", agent=agent)], tracing=False)
    return str(crew.kickoff())


main(scenario)
