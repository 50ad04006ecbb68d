"""The Langfuse SDK: `@observe` on the agent and its tools, its wrapped `openai` client for the model."""

from __future__ import annotations

import json
import os
from typing import Any

import agent_kit
from agent_kit import DESCRIPTIONS, INSTRUCTIONS, MODEL, REFUSED, SCHEMAS, TOOLS, URL, Run, main

os.environ.update(LANGFUSE_PUBLIC_KEY="pk-lf-scripted", LANGFUSE_SECRET_KEY="sk-lf-scripted", LANGFUSE_HOST=URL, LANGFUSE_BASE_URL=URL)

from langfuse import Langfuse, observe
from langfuse.openai import OpenAI

client = Langfuse()
DECLARED = [
    {"type": "function", "function": {"name": name, "description": DESCRIPTIONS[name], "parameters": SCHEMAS[name]}} for name in TOOLS
]
OBSERVED = {name: observe(tool, name=name, as_type="tool") for name, tool in TOOLS.items()}


def execute(asked: Any) -> dict[str, str]:
    name = asked.function.name
    message = {"role": "tool", "tool_call_id": asked.id, "content": f"Error: unknown tool {name}"}
    if agent_kit.run.refuses(name):
        message["content"] = REFUSED
    elif name in OBSERVED:
        try:
            message["content"] = OBSERVED[name](**json.loads(asked.function.arguments))
        except RuntimeError as error:
            message["content"] = f"Error: {error}"
    return message


@observe(name="travel_agent", as_type="agent")
def agent(question: str) -> str:
    messages: list[Any] = [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": question}]
    model = OpenAI(max_retries=0)
    while True:
        message = model.chat.completions.create(model=MODEL, messages=messages, tools=DECLARED).choices[0].message
        messages.append(message.model_dump(exclude_none=True))
        if not message.tool_calls:
            return str(message.content)
        messages += [execute(asked) for asked in message.tool_calls]


def scenario(run: Run) -> str:
    return agent(run.question)


main(scenario, after=client.flush)
