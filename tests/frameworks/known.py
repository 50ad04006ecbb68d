"""What an instrumentation does not send, and what otel_ext does not get right yet: each with its reason, and nothing else is excused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

ALL: Sequence[str] = ()


@dataclass(frozen=True)
class Unsent:
    """Numbers that are on no span of these pairs, so that they must stay unknown: token types, or `models` where calls have no span."""

    pairs: Sequence[str]
    what: Sequence[str]
    reason: str
    scenarios: Sequence[str] = ALL


@dataclass(frozen=True)
class Wrong:
    """What is expected to fail: models, tokens, tools or findings."""

    pairs: Sequence[str]
    what: str
    scenarios: Sequence[str]
    reason: str


NO_CONTENT = ("agent-framework+no-content", "anthropic+no-content", "openai+official")
LANGFUSE = ("langfuse+observe", "langfuse-3", "langfuse-4")
NO_MODELS = ("autogen", "crewai+openinference", "mcp")
DETAILS = ("cached", "reasoning")

UNSENT: Sequence[Unsent] = (
    Unsent(
        ("autogen+openinference", "litellm", "openai-agents+official", "semantic-kernel", "smolagents+openinference"),
        DETAILS,
        "the instrumentation does not record them",
    ),
    Unsent(
        ("crewai+openinference-events", "langchain+openllmetry", "strands", "strands+latest", "vercel-ai"),
        ("reasoning",),
        "the instrumentation does not record them",
    ),
    Unsent(("openai+openllmetry",), ("reasoning",), "left out where the answer is streamed", ("streaming",)),
    Unsent(NO_MODELS, ("models", "input", "output", *DETAILS), "model calls have no span"),
)
WRONG: Sequence[Wrong] = (
    # What the spans cannot show.
    Wrong(
        NO_CONTENT, "findings", ("claimed", "unknown_tool", "withheld"), "content capture is off: neither text nor requested calls are sent"
    ),
    Wrong(NO_MODELS, "findings", ("claimed", "unknown_tool", "withheld"), "neither text nor requested calls are sent"),
    Wrong(
        ("google-adk+openinference",),
        "models",
        ALL,
        "each call overwrites the one before on the agent's span: only the last is left",
    ),
    Wrong(("google-adk+openinference",), "tokens", ALL, "only those of the last call are left"),
    Wrong(("google-adk+litellm",), "tokens", ("healthy", "streaming"), "ADK adds the reasoning tokens to an output that has them already"),
    # What is not read yet.
    Wrong(ALL, "findings", ("claimed",), "no rule says it yet"),
    Wrong(
        ("pydantic-ai", "pydantic-ai+logfire", "pydantic-ai-responses"), "tokens", ("healthy", "streaming"), "reasoning tokens are not read"
    ),
    Wrong(LANGFUSE, "tokens", ALL, "usage_details is not read"),
    Wrong(LANGFUSE, "findings", ("unknown_tool", "withheld"), "requests inside the observation's output are not read"),
)


def unsent(pair: str, scenario: str) -> dict[str, str]:
    """What this run did not send, with the reason."""
    return {what: each.reason for each in UNSENT if _covers(each, pair, scenario) for what in each.what}


def wrong(pair: str, scenario: str, what: str) -> str:
    """Why this is expected to fail; "" where it is not."""
    return next((each.reason for each in WRONG if each.what == what and _covers(each, pair, scenario)), "")


def _covers(each: Unsent | Wrong, pair: str, scenario: str) -> bool:
    return (not each.pairs or pair in each.pairs) and (not each.scenarios or scenario in each.scenarios)


def stale(pairs: Sequence[str], scenarios: Sequence[str]) -> Iterator[str]:
    """Names in the tables that are no pair or no scenario."""
    for each in (*UNSENT, *WRONG):
        yield from (name for name in each.pairs if name not in pairs)
        yield from (name for name in each.scenarios if name not in scenarios)
