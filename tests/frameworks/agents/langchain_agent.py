"""LangChain's agent (a LangGraph graph), under the bridge that the pair names."""

from __future__ import annotations

import os

import agent_kit
from agent_kit import INSTRUCTIONS, MODEL, PAIR, REFUSED, Run, book_flight, calculate, main, provider, search

made = provider(logs=True)
os.environ.update(LANGSMITH_TRACING="false")
if "openinference" in PAIR:
    from openinference.instrumentation.langchain import LangChainInstrumentor

    LangChainInstrumentor().instrument(tracer_provider=made)
elif "openllmetry" in PAIR:
    from opentelemetry.instrumentation.langchain import LangchainInstrumentor

    LangchainInstrumentor().instrument(tracer_provider=made)
elif "official" in PAIR:
    os.environ.update(
        OTEL_SEMCONV_STABILITY_OPT_IN="gen_ai_latest_experimental", OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT="SPAN_ONLY"
    )
    from opentelemetry.instrumentation.genai.langchain import LangChainInstrumentor as Official

    Official().instrument(tracer_provider=made)
else:
    os.environ.update(LANGSMITH_TRACING="true", LANGSMITH_OTEL_ENABLED="true", LANGSMITH_OTEL_ONLY="true")

if "-openai" in PAIR:
    from openinference.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=made)

from langchain.agents import create_agent
from langchain.agents.middleware import wrap_tool_call
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from langchain_core.tracers.langchain import wait_for_all_tracers
from langchain_openai import ChatOpenAI


@wrap_tool_call
def tell_errors(request, handler):
    if agent_kit.run.refuses(request.tool_call["name"]):
        return ToolMessage(REFUSED, tool_call_id=request.tool_call["id"], status="error")
    try:
        return handler(request)
    except RuntimeError as error:
        return ToolMessage(f"Error: {error}", tool_call_id=request.tool_call["id"], status="error")


def agent(run: Run):
    model = ChatOpenAI(model=MODEL, max_retries=0, streaming=run.streamed, stream_usage=True)
    common = {"model": model, "system_prompt": INSTRUCTIONS, "middleware": [tell_errors]}
    if not run.handoff:
        return create_agent(**common, tools=[search, calculate, book_flight], name="travel_agent")
    booker = create_agent(**common, tools=[book_flight], name="booker")

    @tool
    def delegate_booking(task: str) -> str:
        """Let the booker book."""
        return run.delegate("delegate_booking", str(booker.invoke({"messages": [("user", task)]})["messages"][-1].content))

    return create_agent(**common, tools=[search, calculate, delegate_booking], name="travel_agent")


def scenario(run: Run) -> str:
    asked, config = {"messages": [("user", run.question)]}, {"recursion_limit": 60}
    if not run.streamed:
        return str(agent(run).invoke(asked, config)["messages"][-1].content)
    states = list(agent(run).stream(asked, config, stream_mode="values"))
    return str(states[-1]["messages"][-1].content)


main(scenario, after=wait_for_all_tracers)
