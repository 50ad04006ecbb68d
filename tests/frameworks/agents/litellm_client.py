"""LiteLLM in a loop written by hand, with its own OpenTelemetry callback, or under OpenInference."""

from __future__ import annotations

import json
import os
from typing import Any

from agent_kit import DESCRIPTIONS, INSTRUCTIONS, MODEL, PAIR, SCHEMAS, TOOLS, URL, Run, main, provider
from hand_made import agent_span, execute

# Else its attributes go onto the span that is current: the agent's.
os.environ.update(LITELLM_LOCAL_MODEL_COST_MAP="True", USE_OTEL_LITELLM_REQUEST_SPAN="true")
made = provider()

import litellm

if "openinference" in PAIR:
    from openinference.instrumentation.litellm import LiteLLMInstrumentor

    LiteLLMInstrumentor().instrument(tracer_provider=made)
else:
    from litellm.integrations.opentelemetry import OpenTelemetry

    litellm.callbacks = [OpenTelemetry(tracer_provider=made)]

DECLARED = [
    {"type": "function", "function": {"name": name, "description": DESCRIPTIONS[name], "parameters": SCHEMAS[name]}} for name in TOOLS
]


def call(messages: list[Any], streamed: bool) -> Any:
    asked: dict[str, Any] = {"model": f"openai/{MODEL}", "messages": messages, "tools": DECLARED, "api_base": f"{URL}/v1"}
    if not streamed:
        return litellm.completion(**asked).choices[0].message
    parts = list(litellm.completion(**asked, stream=True, stream_options={"include_usage": True}))
    return litellm.stream_chunk_builder(parts, messages=messages).choices[0].message


def scenario(run: Run) -> str:
    messages: list[Any] = [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": run.question}]
    with agent_span():
        while True:
            message = call(messages, run.streamed)
            messages.append(message.model_dump(exclude_none=True))
            if not message.tool_calls:
                return str(message.content)
            for asked in message.tool_calls:
                text = asked.function.arguments
                result = execute(asked.id, asked.function.name, json.loads(text), text)
                messages.append({"role": "tool", "tool_call_id": asked.id, "content": result})


def settled() -> None:
    """Its callbacks run on threads of their own."""
    import time

    time.sleep(1)


main(scenario, after=settled)
