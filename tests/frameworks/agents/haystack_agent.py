"""Haystack's Agent with its own spans."""

from __future__ import annotations

import os

from agent_kit import INSTRUCTIONS, MODEL, PAIR, URL, Run, book_flight, calculate, main, provider, search

os.environ.update(HAYSTACK_CONTENT_TRACING_ENABLED="true", HAYSTACK_TELEMETRY_ENABLED="False")
made = provider()

from haystack import tracing
from haystack.components.agents import Agent
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage
from haystack.tools import create_tool_from_function
from haystack.utils import Secret

if "openinference" in PAIR:
    from openinference.instrumentation.haystack import HaystackInstrumentor

    HaystackInstrumentor().instrument(tracer_provider=made)
else:
    from haystack_integrations.tracing.opentelemetry import OpenTelemetryTracer

    tracing.enable_tracing(OpenTelemetryTracer(made.get_tracer("haystack")))
    tracing.tracer.is_content_tracing_enabled = True


def scenario(run: Run) -> str:
    model = OpenAIChatGenerator(
        model=MODEL,
        api_base_url=f"{URL}/v1",
        api_key=Secret.from_token("sk-scripted"),
        max_retries=0,
        streaming_callback=(lambda _chunk: None) if run.streamed else None,
        generation_kwargs={"stream_options": {"include_usage": True}} if run.streamed else {},
    )
    tools = [create_tool_from_function(tool) for tool in (search, calculate, book_flight)]
    agent = Agent(chat_generator=model, tools=tools, system_prompt=INSTRUCTIONS, raise_on_tool_invocation_failure=False)
    agent.warm_up()
    return str(agent.run(messages=[ChatMessage.from_user(run.question)])["last_message"].text)


main(scenario)
