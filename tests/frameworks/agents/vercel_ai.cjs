// The Vercel AI SDK with its own telemetry: version 7 (GenAI conventions) or version 6 (`ai.*` attributes), by what is installed.
"use strict";
const { url, pair, enter, delegate, TOOLS, provider, main, MODEL, INSTRUCTIONS } = require("./agent_kit.cjs");
const made = provider();
const ai = require("ai");
const { createOpenAI } = require("@ai-sdk/openai");
const { z } = require("zod");

const telemetry = { isEnabled: true, functionId: "travel_agent" };
if (!pair.includes("-6")) {
  const { OpenTelemetry } = require("@ai-sdk/otel");
  ai.registerTelemetry(new OpenTelemetry());
}
const model = createOpenAI({ baseURL: `${url}/v1`, apiKey: "sk-scripted" }).chat(MODEL);

function toolOf(name) {
  const { description, key } = TOOLS[name];
  return ai.tool({ description, inputSchema: z.object({ [key]: z.string() }), execute: async (args) => enter(name, args) });
}

function settings(tools, prompt) {
  const limits = { stopWhen: ai.stepCountIs(20), maxRetries: 0 };
  return { model, tools, prompt, ...limits, system: INSTRUCTIONS, experimental_telemetry: telemetry, telemetry };
}

async function scenario(run) {
  const tools = { search: toolOf("search"), calculate: toolOf("calculate") };
  const booking = { book_flight: toolOf("book_flight") };
  if (run.handoff) {
    tools.delegate_booking = ai.tool({
      description: "Let the booker book.",
      inputSchema: z.object({ task: z.string() }),
      execute: async ({ task }) => delegate("delegate_booking", (await ai.generateText(settings(booking, task))).text),
    });
  } else {
    Object.assign(tools, booking);
  }
  if (!run.streamed) return (await ai.generateText(settings(tools, run.question))).text;
  const result = ai.streamText(settings(tools, run.question));
  for await (const _part of result.textStream);
  return await result.text;
}

main(scenario, () => made.forceFlush());
