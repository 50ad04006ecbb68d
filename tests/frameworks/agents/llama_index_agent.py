"""LlamaIndex's FunctionAgent, under OpenInference or its own OpenTelemetry observability."""

from __future__ import annotations

from agent_kit import INSTRUCTIONS, MODEL, PAIR, URL, Run, book_flight, calculate, main, provider, search

made = provider()

if "openinference" in PAIR:
    from openinference.instrumentation.llama_index import LlamaIndexInstrumentor

    LlamaIndexInstrumentor().instrument(tracer_provider=made)
else:
    from llama_index.observability.otel import LlamaIndexOpenTelemetry

    LlamaIndexOpenTelemetry(service_name_or_resource=made.resource, tracer_provider=made).start_registering()

from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike


async def scenario(run: Run) -> str:
    model = OpenAILike(
        model=MODEL,
        api_base=f"{URL}/v1",
        api_key="sk-scripted",
        is_chat_model=True,
        is_function_calling_model=True,
        max_retries=0,
        additional_kwargs={"stream_options": {"include_usage": True}} if run.streamed else {},
    )
    tools = [FunctionTool.from_defaults(tool) for tool in (search, calculate)]
    booking = FunctionTool.from_defaults(book_flight)
    common = {"llm": model, "system_prompt": INSTRUCTIONS, "streaming": run.streamed}
    if run.handoff:
        travel = FunctionAgent(**common, name="travel_agent", description="Travels.", tools=tools, can_handoff_to=["booker"])
        booker = FunctionAgent(**common, name="booker", description="Books.", tools=[booking])
        return str(await AgentWorkflow(agents=[travel, booker], root_agent="travel_agent").run(user_msg=run.question))
    agent = FunctionAgent(**common, name="travel_agent", description="Travels.", tools=[*tools, booking])
    return str(await agent.run(user_msg=run.question, max_iterations=40))


main(scenario)
