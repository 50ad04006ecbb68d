"""The `google-genai` client in a loop written by hand, under the official instrumentation."""

from __future__ import annotations

import json
import os

from agent_kit import DESCRIPTIONS, INSTRUCTIONS, PAIR, SCHEMAS, TOOLS, URL, Run, main, provider
from hand_made import agent_span, execute

if "content" in PAIR:
    os.environ.update(
        OTEL_SEMCONV_STABILITY_OPT_IN="gen_ai_latest_experimental", OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT="SPAN_ONLY"
    )
made = provider(logs=True)

from google import genai
from google.genai import types
from opentelemetry.instrumentation.google_genai import GoogleGenAiSdkInstrumentor

GoogleGenAiSdkInstrumentor().instrument(tracer_provider=made)

DECLARED = [
    types.FunctionDeclaration(
        name=name,
        description=DESCRIPTIONS[name],
        parameters_json_schema={k: v for k, v in SCHEMAS[name].items() if k != "additionalProperties"},
    )
    for name in TOOLS
]


def call(client: genai.Client, contents: list[types.Content], streamed: bool) -> types.Content:
    """One model call; the model's content."""
    config = types.GenerateContentConfig(
        system_instruction=INSTRUCTIONS,
        tools=[types.Tool(function_declarations=DECLARED)],
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    asked = {"model": "gemini-2.5-flash", "contents": contents, "config": config}
    if not streamed:
        return client.models.generate_content(**asked).candidates[0].content
    parts = [part for chunk in client.models.generate_content_stream(**asked) for part in chunk.candidates[0].content.parts]
    return types.Content(role="model", parts=parts)


def scenario(run: Run) -> str:
    client = genai.Client(api_key="scripted", http_options=types.HttpOptions(base_url=URL))
    contents = [types.Content(role="user", parts=[types.Part(text=run.question)])]
    with agent_span():
        while True:
            answer = call(client, contents, run.streamed)
            contents.append(answer)
            calls = [part.function_call for part in answer.parts if part.function_call]
            if not calls:
                return str(answer.parts[0].text)
            parts = []
            for number, asked in enumerate(calls):
                result = execute(asked.id or f"{len(contents)}-{number}", asked.name, dict(asked.args), json.dumps(dict(asked.args)))
                parts.append(types.Part.from_function_response(name=asked.name, response={"result": result}))
            contents.append(types.Content(role="user", parts=parts))


main(scenario)
