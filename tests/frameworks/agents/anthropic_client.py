"""The `anthropic` client, which writes spans of its own, in a loop written by hand; under a second instrumentation where the pair says."""

from __future__ import annotations

import json
import os
from typing import Any

from agent_kit import DESCRIPTIONS, INSTRUCTIONS, PAIR, SCHEMAS, TOOLS, Run, main, provider
from hand_made import agent_span, execute

made = provider(logs=True)
if "no-content" not in PAIR:
    os.environ.update(ANTHROPIC_OPEN_TELEMETRY_TRACES_CONTENT_MODE="content")

from anthropic import Anthropic

if "openllmetry" in PAIR:
    from opentelemetry.instrumentation.anthropic import AnthropicInstrumentor

    AnthropicInstrumentor().instrument(tracer_provider=made)
elif "openinference" in PAIR:
    from openinference.instrumentation.anthropic import AnthropicInstrumentor as Inference

    Inference().instrument(tracer_provider=made)

DECLARED = [{"name": name, "description": DESCRIPTIONS[name], "input_schema": SCHEMAS[name]} for name in TOOLS]


def call(client: Anthropic, messages: list[Any], streamed: bool) -> Any:
    asked: dict[str, Any] = {
        "model": "claude-sonnet-4-5",
        "max_tokens": 500,
        "system": INSTRUCTIONS,
        "messages": messages,
        "tools": DECLARED,
    }
    if not streamed:
        return client.messages.create(**asked)
    with client.messages.stream(**asked) as stream:
        return stream.get_final_message()


def scenario(run: Run) -> str:
    client = Anthropic(max_retries=0)
    messages: list[Any] = [{"role": "user", "content": run.question}]
    with agent_span():
        while True:
            message = call(client, messages, run.streamed)
            calls = [block for block in message.content if block.type == "tool_use"]
            if not calls:
                return str(message.content[0].text)
            messages.append({"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in message.content]})
            results = [(block.id, execute(block.id, block.name, block.input, json.dumps(block.input))) for block in calls]
            answers = [{"type": "tool_result", "tool_use_id": call_id, "content": text} for call_id, text in results]
            messages.append({"role": "user", "content": answers})


main(scenario)
