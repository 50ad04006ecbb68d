"""Strands Agents with their own spans."""

from __future__ import annotations

import os

import agent_kit
from agent_kit import INSTRUCTIONS, MODEL, PAIR, REFUSED, URL, Run, book_flight, calculate, main, provider, search

if "latest" in PAIR:
    os.environ.update(OTEL_SEMCONV_STABILITY_OPT_IN="gen_ai_latest_experimental,gen_ai_tool_definitions")
made = provider()

from strands import Agent, tool
from strands.hooks import BeforeToolCallEvent, HookProvider, HookRegistry
from strands.models.openai import OpenAIModel


def ask(event: BeforeToolCallEvent) -> None:
    """The customer's approval."""
    if agent_kit.run.refuses(event.tool_use["name"]):
        event.cancel_tool = REFUSED


class Approval(HookProvider):
    def register_hooks(self, registry: HookRegistry, **_: object) -> None:
        registry.add_callback(BeforeToolCallEvent, ask)


def agent(run: Run) -> Agent:
    model = OpenAIModel(client_args={"base_url": f"{URL}/v1", "api_key": "sk-scripted", "max_retries": 0}, model_id=MODEL)
    common = {"model": model, "system_prompt": INSTRUCTIONS, "callback_handler": None, "hooks": [Approval()]}
    if not run.handoff:
        return Agent(**common, name="travel_agent", tools=[tool(search), tool(calculate), tool(book_flight)])
    booker = Agent(**common, name="booker", tools=[tool(book_flight)])

    @tool
    def delegate_booking(task: str) -> str:
        """Let the booker book."""
        return run.delegate("delegate_booking", str(booker(task)))

    return Agent(**common, name="travel_agent", tools=[tool(search), tool(calculate), delegate_booking])


def scenario(run: Run) -> str:
    return str(agent(run)(run.question))


main(scenario)
