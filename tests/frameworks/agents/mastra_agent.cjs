// Mastra's agent with its own observability, sent by its OpenTelemetry exporter.
"use strict";
const { url, enter, delegate, TOOLS, main, MODEL, INSTRUCTIONS } = require("./agent_kit.cjs");
const { Mastra } = require("@mastra/core");
const { Agent } = require("@mastra/core/agent");
const { createTool } = require("@mastra/core/tools");
const { Observability } = require("@mastra/observability");
const { OtelExporter } = require("@mastra/otel-exporter");
const { createOpenAI } = require("@ai-sdk/openai");
const { z } = require("zod");

const model = createOpenAI({ baseURL: `${url}/v1`, apiKey: "sk-scripted" }).chat(MODEL);
const exporter = new OtelExporter({ provider: { custom: { endpoint: `${url}/v1/traces`, protocol: "http/protobuf" } } });
const observability = new Observability({ configs: { otel: { serviceName: "travel", exporters: [exporter] } } });

function toolOf(name) {
  const { description, key } = TOOLS[name];
  const inputSchema = z.object({ [key]: z.string() });
  return createTool({ id: name, description, inputSchema, execute: async (given) => enter(name, given.context ?? given) });
}

function agents(run) {
  const common = { instructions: INSTRUCTIONS, model, maxRetries: 0 };
  const tools = { search: toolOf("search"), calculate: toolOf("calculate") };
  const booking = { book_flight: toolOf("book_flight") };
  if (!run.handoff) return { travel_agent: new Agent({ ...common, id: "travel_agent", name: "travel_agent", tools: { ...tools, ...booking } }) };
  const booker = new Agent({ ...common, id: "booker", name: "booker", tools: booking });
  const delegate_booking = createTool({
    id: "delegate_booking",
    description: "Let the booker book.",
    inputSchema: z.object({ task: z.string() }),
    execute: async (given, context) =>
      delegate("delegate_booking", (await booker.generate((given.context ?? given).task, { tracingContext: context?.tracingContext })).text),
  });
  return { travel_agent: new Agent({ ...common, id: "travel_agent", name: "travel_agent", tools: { ...tools, delegate_booking } }), booker };
}

async function scenario(run) {
  const mastra = new Mastra({ agents: agents(run), observability, logger: false });
  const agent = mastra.getAgent("travel_agent");
  if (!run.streamed) return (await agent.generate(run.question, { maxSteps: 20 })).text;
  return await (await agent.stream(run.question, { maxSteps: 20 })).text;
}

main(scenario, () => exporter.flush());
