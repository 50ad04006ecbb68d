"""The `openai` client in an agent loop written by hand, with its agent and tool spans where the pair's instrumentation has none."""

from __future__ import annotations

import json
import os
from typing import Any

from agent_kit import DESCRIPTIONS, INSTRUCTIONS, MODEL, PAIR, SCHEMAS, TOOLS, URL, Run, main, provider
from hand_made import agent_span, execute

made = provider(logs=True)

from openai import OpenAI

if "openllmetry" in PAIR:
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=made)
elif "openinference" in PAIR:
    from openinference.instrumentation.openai import OpenAIInstrumentor as Inference

    Inference().instrument(tracer_provider=made)
elif "openlit" in PAIR:
    import openlit

    openlit.init(otlp_endpoint=URL, disable_metrics=True)
elif "official" in PAIR:
    if "content" in PAIR:
        os.environ.update(
            OTEL_SEMCONV_STABILITY_OPT_IN="gen_ai_latest_experimental", OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT="SPAN_ONLY"
        )
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor as Official

    Official().instrument(tracer_provider=made)

DECLARED = [
    {"type": "function", "function": {"name": name, "description": DESCRIPTIONS[name], "parameters": SCHEMAS[name]}} for name in TOOLS
]


def call(client: OpenAI, messages: list[Any], streamed: bool) -> dict[str, Any]:
    """One model call; the assistant's message, as it goes back into the history."""
    asked: dict[str, Any] = {"model": MODEL, "messages": messages, "tools": DECLARED}
    if not streamed:
        return client.chat.completions.create(**asked).choices[0].message.model_dump(exclude_none=True)
    text, calls = "", {}
    for chunk in client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}):
        for choice in chunk.choices:
            text += choice.delta.content or ""
            for part in choice.delta.tool_calls or ():
                known = calls.setdefault(part.index, {"id": part.id, "type": "function", "function": {"name": "", "arguments": ""}})
                known["function"]["name"] += part.function.name or ""
                known["function"]["arguments"] += part.function.arguments or ""
    return {"role": "assistant", "content": text, **({"tool_calls": list(calls.values())} if calls else {})}


def executed(asked: dict[str, Any]) -> dict[str, str]:
    """The message with the result of one tool call."""
    name, arguments = asked["function"]["name"], asked["function"]["arguments"]
    return {"role": "tool", "tool_call_id": asked["id"], "content": execute(asked["id"], name, json.loads(arguments), arguments)}


def scenario(run: Run) -> str:
    client = OpenAI(max_retries=0)
    messages: list[Any] = [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": run.question}]
    with agent_span():
        while True:
            message = call(client, messages, run.streamed)
            messages.append(message)
            if not message.get("tool_calls"):
                return str(message["content"])
            messages += [executed(asked) for asked in message["tool_calls"]]


main(scenario)
