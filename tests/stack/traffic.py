"""A small company's agents as OTLP requests: mostly healthy runs, and now and then one that fails in silence."""

from __future__ import annotations

import random
from collections.abc import Callable

from otel_ext.samples import Agent
from otel_ext.settings import NS_PER_S
from otel_ext.wire import encode

MODELS = {"gpt-4o": 10, "gpt-4o-mini": 6, "claude-sonnet-4-5": 4, "in-house-7b": 1}  # the last has no price
STEPS_MAX = 16
SECRET = "sk-proj-" + "Ab3dEf6h" * 6  # in the form of a key, and none


def _plan(agent: Agent, dice: random.Random) -> None:
    """Searches, calculates, answers; now and then the tool is down."""
    agent.ask("How much are two tickets?")
    for number in range(dice.randint(1, 3)):
        error = "timeout" if dice.random() < 0.08 else ""
        tokens = (dice.randint(600, 1_800), dice.randint(30, 120))
        agent.call("search", {"q": f"fare {number}"}, f"from {dice.randint(90, 300)} euros", error, tokens)
    agent.call("calculate", {"expr": "2*129"}, "258")
    agent.chat("Two tickets cost 258 euros.", tokens=(dice.randint(900, 2_000), 90))


def _recall(agent: Agent, dice: random.Random) -> None:
    """Looks through its memory, every time with another question."""
    agent.ask("What did we agree on?")
    for number in range(dice.randint(1, 4)):
        agent.call("memory_search", {"q": f"agreement {number}"}, f"note {dice.random()}")
    if dice.random() < 0.02:
        agent.call("read_file", {"path": ".env"}, f"OPENAI_API_KEY={SECRET}")
    agent.chat("We agreed on Tuesday.", tokens=(dice.randint(700, 1_500), 60))


def _loop(agent: Agent, dice: random.Random) -> None:
    """Asks the same thing until it gives up."""
    agent.ask("Find the cheapest hotel.")
    for _ in range(dice.randint(4, 7)):
        agent.call("search", {"q": "cheapest hotel"}, "no results")
    agent.chat("I could not find one.")


def _skip(agent: Agent, _dice: random.Random) -> None:
    """Answers with confidence, and never searched."""
    agent.expected = ("search",)
    agent.ask("Is the flight on time?")
    agent.chat("Yes, it lands at 14:20.")


def _spike(agent: Agent, dice: random.Random) -> None:
    """One run with many times the tokens a run should need."""
    agent.ask("Summarise this page.")
    agent.chat("It is about trains.", tokens=(dice.randint(20_000, 60_000), 900))


KINDS: dict[Callable[[Agent, random.Random], None], tuple[str, int]] = {
    _plan: ("travel-planner", 30),
    _recall: ("assistant", 20),
    _loop: ("travel-planner", 1),
    _skip: ("fact-checker", 1),
    _spike: ("summarizer", 1),
}


def request(dice: random.Random, now_ns: int) -> bytes:
    """One run that ends about now."""
    (play,) = dice.choices(list(KINDS), [weight for _, weight in KINDS.values()])
    (model,) = dice.choices(list(MODELS), list(MODELS.values()))
    step_s = min(8.0, dice.lognormvariate(-0.4, 0.6) * (2.0 if model.startswith("claude") else 1.0))
    start_ns = now_ns - int(step_s * STEPS_MAX * NS_PER_S)
    agent = Agent(dice.randbytes(16), KINDS[play][0], start_ns, service="shop", step_s=step_s, model=model)
    play(agent, dice)
    return agent.end()


def paid_tool(trace_id: bytes, end_ns: int) -> bytes:
    """A tool that says what it cost."""
    attributes: dict[str, encode.Value] = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "geocode",
        "gen_ai.usage.cost": 0.002,
    }
    span = encode.span(trace_id, trace_id[:8], b"", "execute_tool geocode", end_ns - NS_PER_S, end_ns, attributes)
    return encode.request({"service.name": "shop"}, "tests.stack", "1", [span])
