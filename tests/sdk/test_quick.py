"""In the application most steps take a short way. It finds what the long way finds that is given the same trace at once."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from otel_ext.configfile import load
from otel_ext.detectors.baselines import MEASURES
from otel_ext.dialects import KEYS, RULES
from otel_ext.model import Finding
from otel_ext.pipeline import Pipeline
from otel_ext.sdk.judging import Judging
from otel_ext.sdk.reading import reading_of
from otel_ext.wire import encode, make_codec

NS = 1_800_000_000_000_000_000
PAST = 12
LONG = "a result that is long enough to be more than an acknowledgement, as a page of a list would be"
TIMETABLE = "Flights leave in the morning, at noon, in the evening and at night on every day of the week but Sunday, as they always did and"
TEXTS = (
    "",
    f"{TIMETABLE} still.",
    f"{TIMETABLE} once.",
    "Your flight has been booked. The confirmation number is 7.",
    " ".join(["around and around it goes"] * 12),
)
TOOLS = json.dumps([{"type": "function", "name": "book_flight"}])
# every count is low, and the minimum of runs differs from rule to rule
CONFIG = load(
    """
detect:
  loop: {max_iterations: 4, changing_arguments: 3, similar_outputs: 3}
  baselines: {tool_samples: 10}
  token_spike: {min_samples: 14}
  latency_spike: {min_samples: 5}
  iterations: {min_samples: 5, multiplier: 1.5}
  degraded_output: {min_samples: 5}
""",
    {},
)
Attributes = dict[str, encode.Value]
Span = tuple[str, Attributes, int]  # name, attributes, seconds it took


def chat(text: int, asks: int, *, declares: bool, seconds: int) -> Span:
    parts: list[dict[str, object]] = [{"type": "text", "content": TEXTS[text]}] if text else []
    parts += [{"type": "tool_call", "id": f"call_{asks}", "name": "search", "arguments": {}}] if asks else []
    attributes: Attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "m",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": parts, "finish_reason": "stop"}]),
    }
    return "chat m", attributes | ({"gen_ai.tool.definitions": TOOLS} if declares else {}), seconds


def tool(name: str, argument: int, answers: int, *, failed: bool, long: bool) -> Span:
    attributes: Attributes = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": name,
        "gen_ai.tool.call.arguments": json.dumps({"page": argument}),
        "gen_ai.tool.call.result": LONG if long else "no",
    }
    attributes |= {"gen_ai.tool.call.id": f"call_{answers}"} if answers else {}
    return f"execute_tool {name}", attributes | ({"error.type": "Timeout"} if failed else {}), 1


CHATS = st.builds(chat, st.integers(0, 4), st.integers(0, 2), declares=st.booleans(), seconds=st.sampled_from((1, 1, 60)))
CALLS = st.builds(
    tool, st.sampled_from(("search", "book_flight")), st.integers(0, 3), st.integers(0, 2), failed=st.booleans(), long=st.booleans()
)
HANDED = st.sampled_from([(f"handoff {to}", {"gen_ai.operation.name": "handoff", "gen_ai.handoff.to_agent": to}, 1) for to in "ab"])
FIRST = chat(0, 1, declares=False, seconds=1)
PLAIN = st.builds(chat, st.integers(1, 2), st.just(0), declares=st.booleans(), seconds=st.sampled_from((1, 60)))
STEPS = st.lists(st.one_of(CHATS, CHATS, CALLS, CALLS, HANDED), min_size=1, max_size=14) | st.lists(
    st.one_of(PLAIN, CALLS), min_size=1, max_size=6
)
USUAL = (FIRST, tool("search", 0, 1, failed=False, long=True), chat(1, 0, declares=False, seconds=1))


def spans_of(steps: Sequence[Span], start: int) -> Iterable[tuple[int, str, int, int, Attributes, int]]:
    """Span id, name, start, end, attributes and parent, in the order in which they end; the agent's own is the last."""
    now = start
    for number, (name, attributes, seconds) in enumerate(steps, start=2):
        begun, now = now, now + seconds * 10**9
        yield number, name, begun, now, attributes, 1
    yield 1, "invoke_agent planner", start, now + 10**6, {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "planner"}, 0


Facts = set[tuple[str, str]]


def kept(found: Facts, news: Iterable[Finding]) -> None:
    for finding in news:
        fact = finding.rule, str(finding.severity)
        (found.discard if finding.withdrawn else found.add)(fact)


def in_the_application(runs: Sequence[Sequence[Span]]) -> tuple[Facts, list[float]]:
    """Step by step, as spans end; what was found in the last run, and what is usual after it."""
    codec = make_codec(KEYS, RULES)
    judging = Judging(CONFIG, codec)
    found: Facts = set()
    for number, steps in enumerate(runs):
        found = set()
        for span_id, name, start, end, attributes, parent in spans_of(steps, NS + number * 10**13):
            status = 2 if "error.type" in attributes else 0
            single = codec.span(name, b"test", b"shop", span_id, start, end, status, dict(attributes), True, parent, 1)
            assert single is not None
            judged = judging.take((number + 1).to_bytes(16, "big"), span_id, reading_of(single))
            kept(found, (*judged.here, *judged.late))
        kept(found, judging.verdicts.settle_all())
    past = judging.verdicts.judge.past
    return found, past.means(next(iter(past._agents))) or []


def at_once(runs: Sequence[Sequence[Span]]) -> tuple[Facts, list[float]]:
    """Each run as one request, by the long way."""
    pipeline = Pipeline(CONFIG, make_codec(KEYS, RULES), with_llm=False)
    pipeline.verdicts.observe = lambda _: None  # every run is looked at when it settles
    found: Facts = set()
    for number, steps in enumerate(runs):
        trace_id = (number + 1).to_bytes(16, "big")
        spans = [
            encode.span(
                trace_id,
                span_id.to_bytes(8, "big"),
                parent.to_bytes(8, "big") if parent else b"",
                name,
                start,
                end,
                attributes,
                1,
                status=2 if "error.type" in attributes else 0,
            )
            for span_id, name, start, end, attributes, parent in spans_of(steps, NS + number * 10**13)
        ]
        found = set()
        kept(found, pipeline.process(encode.request({"service.name": "shop"}, "test", "", spans), NS).findings)
        kept(found, pipeline.settle_all().findings)
    past = pipeline.verdicts.judge.past
    return found, past.means(next(iter(past._agents))) or []


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow], phases=(Phase.explicit, Phase.reuse, Phase.generate)
)
@given(steps=STEPS, runs=st.sampled_from((0, PAST)))
def test_the_short_way_misses_nothing(steps: list[Span], runs: int) -> None:
    """Of an agent without a past, and of one with: the same findings, and the same learned."""
    dealt = [*itertools.repeat(USUAL, runs), steps]
    found, means = in_the_application(dealt)
    expected, expected_means = at_once(dealt)
    assert found == expected
    assert means == expected_means
    assert len(means) == MEASURES


def test_the_runs_hold_something_to_find() -> None:
    """Of the rules that the short way could miss, each has a run that it fires on."""
    talks = [chat(text, 0, declares=False, seconds=1) for text in (1, 2, 1, 2)]
    claims = [chat(3, 0, declares=True, seconds=1)]
    slow = [*USUAL[:2], chat(1, 0, declares=False, seconds=60)]
    for steps, rule in ((talks, "loop/similar_output"), (claims, "tool_skipping/claimed"), (slow, "latency_spike/run")):
        assert rule in {rule for rule, _ in in_the_application([*itertools.repeat(USUAL, PAST), steps])[0]}
