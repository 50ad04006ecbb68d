"""MLflow tracing: its decorators on the agent and its tools, its autolog on the `openai` client, exported by its own OTLP exporter."""

from __future__ import annotations

import json
import os
from typing import Any

import agent_kit
from agent_kit import DESCRIPTIONS, INSTRUCTIONS, MODEL, REFUSED, SCHEMAS, TOOLS, URL, Run, main

os.environ.update(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{URL}/v1/traces", OTEL_EXPORTER_OTLP_TRACES_PROTOCOL="http/protobuf")
os.environ.update(OTEL_SERVICE_NAME="travel", MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true")

import mlflow
from mlflow.entities import SpanType
from mlflow.tracing.provider import get_bridged_tracer_provider
from openai import OpenAI

mlflow.openai.autolog()
DECLARED = [
    {"type": "function", "function": {"name": name, "description": DESCRIPTIONS[name], "parameters": SCHEMAS[name]}} for name in TOOLS
]
TRACED = {name: mlflow.trace(tool, name=name, span_type=SpanType.TOOL) for name, tool in TOOLS.items()}


def execute(asked: Any) -> dict[str, str]:
    name = asked.function.name
    message = {"role": "tool", "tool_call_id": asked.id, "content": f"Error: unknown tool {name}"}
    if agent_kit.run.refuses(name):
        message["content"] = REFUSED
    elif name in TRACED:
        try:
            message["content"] = TRACED[name](**json.loads(asked.function.arguments))
        except RuntimeError as error:
            message["content"] = f"Error: {error}"
    return message


@mlflow.trace(name="travel_agent", span_type=SpanType.AGENT)
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


main(scenario, after=lambda: get_bridged_tracer_provider().force_flush())
