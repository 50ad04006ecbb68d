// What the JavaScript agents share: the tools, the truth about them, a real OpenTelemetry SDK, and the loop over scenarios.
//     node <program>.cjs SERVER_URL TRUTH_FILE PAIR SCENARIO...
"use strict";
const fs = require("node:fs");

const [url, truthFile, pair, ...names] = process.argv.slice(2);
const scenarios = JSON.parse(process.env.SCENARIOS);
process.env.OPENAI_API_KEY = "sk-scripted";
process.env.OPENAI_BASE_URL = `${url}/v1`;

let run = null;
const RESULTS = { search: "Paris Rome 129 euros", calculate: "258", book_flight: "confirmed, seat 12A" };

function enter(tool, args) {
  const fails = run.failing && tool === "book_flight";
  run.entered.push([tool, args, !fails]);
  if (fails) throw new Error("the booking system does not answer");
  return tool === "search" && run.polling ? `status: step ${run.entered.length} of 3` : RESULTS[tool];
}

function delegate(tool, answer) {
  run.entered.push([tool, {}, true]);
  return answer;
}

const TOOLS = {
  search: { description: "Search fares and hotels.", key: "q" },
  calculate: { description: "Calculate an arithmetic expression.", key: "expr" },
  book_flight: { description: "Book a flight. Charges the customer.", key: "flight" },
};

function provider() {
  const { NodeTracerProvider } = require("@opentelemetry/sdk-trace-node");
  const { BatchSpanProcessor } = require("@opentelemetry/sdk-trace-base");
  const { OTLPTraceExporter } = require("@opentelemetry/exporter-trace-otlp-proto");
  const { resourceFromAttributes } = require("@opentelemetry/resources");
  const exporter = new OTLPTraceExporter({ url: `${url}/v1/traces` });
  const made = new NodeTracerProvider({
    resource: resourceFromAttributes({ "service.name": "travel" }),
    spanProcessors: [new BatchSpanProcessor(exporter)],
  });
  made.register();
  return made;
}

async function main(scenario, flush) {
  const truth = {};
  for (const name of names) {
    await fetch(`${url}/begin/${name}`, { method: "POST" });
    run = { ...scenarios[name], entered: [] };
    let answer = "", error = "";
    try {
      answer = String(await scenario(run));
    } catch (raised) {
      error = `${raised.name}: ${raised.message}`;
      console.error(raised);
    }
    await flush();
    truth[name] = { entered: run.entered, error, answer };
  }
  fs.writeFileSync(truthFile, JSON.stringify(truth));
  process.exit(0);
}

module.exports = { url, pair, enter, delegate, TOOLS, provider, main, MODEL: "gpt-4o", INSTRUCTIONS: "You are a travel agent. Use your tools." };
