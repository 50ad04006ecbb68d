"""Google ADK with its own spans, or under OpenInference; the model is Gemini's protocol, or OpenAI's through LiteLLM."""

from __future__ import annotations

import os

import agent_kit
from agent_kit import INSTRUCTIONS, MODEL, PAIR, REFUSED, URL, Run, book_flight, calculate, main, provider, search

os.environ.update(LITELLM_LOCAL_MODEL_COST_MAP="True", ADK_CAPTURE_MESSAGE_CONTENT_IN_SPANS="true")
os.environ.update(
    OTEL_SEMCONV_STABILITY_OPT_IN="gen_ai_latest_experimental", OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT="SPAN_AND_EVENT"
)
os.environ.update(GOOGLE_GEMINI_BASE_URL=URL, GOOGLE_GENAI_USE_VERTEXAI="false")
made = provider(logs=True)

if "openinference" in PAIR:
    from openinference.instrumentation.google_adk import GoogleADKInstrumentor

    GoogleADKInstrumentor().instrument(tracer_provider=made)

from google.adk.agents import LlmAgent, RunConfig
from google.adk.agents.run_config import StreamingMode
from google.adk.runners import InMemoryRunner
from google.genai import types


def model():
    if "litellm" not in PAIR:
        return "gemini-2.5-flash"
    from google.adk.models.lite_llm import LiteLlm

    return LiteLlm(f"openai/{MODEL}", api_base=f"{URL}/v1", api_key="sk-scripted")


def tell_error(tool, args, tool_context, error) -> dict[str, str]:
    """A tool that fails is answered, as applications do: else the run ends."""
    return {"error": str(error)}


def ask(tool, args, tool_context) -> dict[str, str] | None:
    """The customer's approval; what is given instead of the tool's result where there is none."""
    return {"error": REFUSED} if agent_kit.run.refuses(tool.name) else None


def agent(run: Run) -> LlmAgent:
    common = {"model": model(), "instruction": INSTRUCTIONS, "before_tool_callback": ask}
    if "1" not in PAIR:
        common["on_tool_error_callback"] = tell_error
    if not run.handoff:
        return LlmAgent(**common, name="travel_agent", tools=[search, calculate, book_flight])
    booker = LlmAgent(**common, name="booker", description="Books flights.", tools=[book_flight])
    return LlmAgent(**common, name="travel_agent", tools=[search, calculate], sub_agents=[booker])


async def scenario(run: Run) -> str:
    runner = InMemoryRunner(agent(run), app_name="travel")
    session = await runner.session_service.create_session(app_name="travel", user_id="user")
    message = types.Content(role="user", parts=[types.Part(text=run.question)])
    config = RunConfig(streaming_mode=StreamingMode.SSE if run.streamed else StreamingMode.NONE)
    answer = ""
    async for event in runner.run_async(user_id="user", session_id=session.id, new_message=message, run_config=config):
        if event.content and event.content.parts and event.content.parts[0].text and not event.partial:
            answer = event.content.parts[0].text
    return answer


main(scenario)
