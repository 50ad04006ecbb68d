"""What an instrumentation does not send, and what otel_ext does not get right yet: each with its reason, and nothing else is excused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

ALL: Sequence[str] = ()


@dataclass(frozen=True)
class Unsent:
    """Numbers on no span of these pairs, which must stay unknown: token types; `models`, `tools` where calls have no span."""

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


NO_CONTENT = ("agent-framework+no-content", "anthropic+no-content", "google-genai+official", "openai+official")
NO_MODELS = ("autogen", "crewai+openinference", "mcp")
NO_TOOLS = ("crewai+openllmetry", "haystack+openinference")
DETAILS = ("cached", "reasoning")
TOKENS = ("input", "output", *DETAILS)
WITH_TOOLS = ("healthy", "streaming", "parallel", "polling", "looping", "cycling", "failing")
REPEATING = ("looping", "cycling", "failing")
REFUSED = ("unknown_tool", "withheld")

UNSENT: Sequence[Unsent] = (
    Unsent(
        (
            "autogen+openinference",
            "haystack+openinference",
            "litellm",
            "openai-agents+official",
            "semantic-kernel",
            "smolagents+openinference",
        ),
        DETAILS,
        "the instrumentation does not record them",
    ),
    Unsent(
        (
            "crewai+openinference-events",
            "langchain+openllmetry",
            "mlflow",
            "openai+openlit",
            "strands",
            "strands+latest",
            "vercel-ai",
        ),
        ("reasoning",),
        "the instrumentation does not record them",
    ),
    Unsent(
        ("crewai+openllmetry", "openai+openllmetry"),
        ("reasoning",),
        "OpenLLMetry leaves them out where the answer is streamed",
        ("streaming",),
    ),
    Unsent(("llama-index",), TOKENS, "a streamed call has no event at its end", ("streaming",)),
    Unsent(NO_MODELS, ("models", *TOKENS), "model calls have no span"),
    Unsent(("claude-agent-sdk+openinference",), ("models",), "model calls have no span"),
    Unsent(NO_TOOLS, ("tools",), "tool calls have no span"),
)
WRONG: Sequence[Wrong] = (
    # What the spans cannot show.
    Wrong(NO_CONTENT, "findings", ("claimed", *REFUSED), "content capture is off: neither text nor requested calls are sent"),
    Wrong(NO_MODELS, "findings", ("claimed", *REFUSED), "neither text nor requested calls are sent"),
    Wrong(("semantic-kernel",), "findings", ("unknown_tool",), "requested calls are in log records alone"),
    Wrong(("openai-agents+official",), "findings", ("unknown_tool",), "the requested call is the repr of an object inside a text"),
    Wrong(("google-adk+openinference",), "models", ALL, "each call overwrites the one before on the agent's span"),
    Wrong(("google-adk+openinference",), "tokens", ALL, "only those of the last call are left, on the agent's span"),
    Wrong(("google-adk+litellm",), "tokens", ("healthy", "streaming"), "ADK adds the reasoning tokens to an output that has them already"),
    Wrong(("google-adk-1",), "tokens", ("healthy", "streaming"), "ADK 1 leaves Gemini's thoughts out of the output"),
    Wrong(("openai-agents+openinference",), "models", ("withheld",), "nothing of a resumed run is exported"),
    Wrong(("openai-agents+openinference",), "tokens", ("withheld",), "nothing of a resumed run is exported"),
    Wrong(("litellm",), "findings", REFUSED, "requests have no call id, and no call has a span: answers belong to nobody"),
    # What is not read yet.
    Wrong(
        (
            "anthropic",
            "autogen+openinference",
            "claude-agent-sdk",
            "claude-agent-sdk+openinference",
            "haystack+openinference",
            "openai+openlit",
            "openai-agents+official",
            "openai-agents+openinference",
            "openai-agents+openllmetry",
        ),
        "findings",
        ("claimed",),
        "no span declares the tools, and no call has shown them before",
    ),
    Wrong(("langchain+openinference-openai",), "models", ALL, "the client's span does not hang below the framework's"),
    Wrong(("langchain+openinference-openai",), "tokens", ALL, "the client's span does not hang below the framework's"),
    Wrong(("anthropic+openllmetry",), "models", ("streaming",), "OpenLLMetry counts one output token more, and is no parent"),
    Wrong(("anthropic+openllmetry",), "tokens", ("streaming",), "OpenLLMetry counts one output token more, and is no parent"),
    Wrong(("autogen+openinference-openai",), "tokens", ("healthy",), "of two spans the outer counts, which lacks the details"),
    Wrong(("llama-index+openinference",), "tokens", ALL, "of two spans the outer counts, which has no tokens"),
    Wrong(("claude-agent-sdk", "claude-agent-sdk+openinference"), "tools", WITH_TOOLS, "the two spans of a call are siblings"),
    Wrong(("claude-agent-sdk+openinference",), "tokens", ALL, "they are on the agent's span alone"),
    Wrong(("claude-agent-sdk+openinference",), "findings", ("cycling",), "a call has two spans"),
    Wrong(("crewai+openllmetry",), "findings", REPEATING, "calls that show only as requests and answers are not compared"),
    Wrong(
        ("haystack+openinference",), "findings", (*REPEATING, "unknown_tool"), "neither call ids nor tool spans: answers belong to nobody"
    ),
    Wrong(("claude-agent-sdk", "claude-agent-sdk+openinference", "mastra"), "findings", ("unknown_tool",), "the request is not read"),
    Wrong(
        ("google-adk+litellm", "google-adk+openinference", "google-adk-1", "openai-agents+logfire", "openai-agents+official"),
        "findings",
        ("withheld",),
        "what stands in for the result is not read as a refusal",
    ),
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
