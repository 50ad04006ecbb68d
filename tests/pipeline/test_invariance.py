"""What is found is a function of what happened: not of batching, interleaving, order of arrival inside `settle`, or redelivery.

Real traces where they are at hand, written ones always. Each is cut into single spans, and these are dealt anew.
"""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from otel_ext.configfile import load
from otel_ext.dialects import KEYS, RULES
from otel_ext.model import Finding
from otel_ext.pipeline import Pipeline
from otel_ext.wire import make_codec
from otel_ext.wire.otlp_json import to_protobuf
from tests.pipeline.written import NS, PAST_RUNS, past, written

SHARED = Path(__file__).parents[3] / "shared"
CODEC = make_codec(KEYS, RULES)
CONFIG = """
detect:
  baselines: {tool_samples: 10}
  latency_spike: {min_samples: 10}
  iterations: {min_samples: 10}
  degraded_output: {min_samples: 10}
  tool_skipping:
    expectations:
      - {agent: "*", forbid: [transfer_to_human_agents], before: [[get_user_details, book_reservation]]}
"""


def real() -> list[bytes]:
    """The traces of the captures, and some of the benchmark runs."""
    files = sorted((SHARED / "captures").glob("*/S*.otlp.jsonl.gz")) if SHARED.is_dir() else []
    wanted = ("openai-client__v2-experimental", "openai-agents__openinference", "langchain__openinference", "smolagents__openinference")
    traces = []
    for file in files:
        if file.parent.name in wanted and "logs" not in file.name:
            with gzip.open(file) as lines:
                traces.append(b"".join(map(to_protobuf, lines)))
    stored = SHARED / "data" / "dev.otlp.jsonl.gz"
    if stored.exists():
        with gzip.open(stored) as lines:
            traces += [to_protobuf(line) for line in itertools.islice(lines, 0, 671, 9)]
    return traces


def spans_of(trace: bytes) -> list[bytes]:
    """Each span as a request of its own."""
    spans = CODEC.scan(trace).spans
    rows = np.arange(len(spans))
    return [CODEC.project(trace, (rows == row).astype(np.uint8), spans["parent_id"], []) for row in rows]


def experienced() -> Pipeline:
    """A pipeline that knows what is usual for one agent."""
    pipeline = Pipeline(load(CONFIG, {}), make_codec(KEYS, RULES))
    for number in range(PAST_RUNS):
        pipeline.process(past(number), NS)
    pipeline.settle_all()
    return pipeline


Fact = tuple[str, str, str, str, bool]


def standing(requests: Iterable[bytes]) -> set[Fact]:
    """What is left of the findings once everything has settled: trace, rule, what about, severity, completeness."""
    pipeline = experienced()
    found: dict[tuple[str, str, str], Finding] = {}
    for request in requests:
        keep(found, pipeline.process(request, NS).findings)
    keep(found, pipeline.settle_all().findings)
    return {(*key, str(finding.severity), finding.complete) for key, finding in found.items()}


def keep(found: dict[tuple[str, str, str], Finding], news: Sequence[Finding]) -> None:
    for finding in news:
        key = (finding.trace_id.hex(), finding.rule, subject(finding))
        if finding.withdrawn:
            del found[key]
        else:
            assert key not in found, f"{finding.rule} was given twice"
            found[key] = finding


def subject(finding: Finding) -> str:
    """What the fact is about. The numbers in a message say how much had been seen when it was given."""
    if finding.type == "token_spike":
        return finding.span_id.hex()
    return str(finding.evidence.get("tools", finding.evidence.get("tool", "")))


WRITTEN = written()
REAL = real()


def dealt(traces: Sequence[bytes], random: Random, *, shuffled: bool, repeated: bool) -> list[bytes]:
    """The spans of all traces, interleaved, cut into batches of any size; in order within a trace unless *shuffled*."""
    decks = [spans_of(trace) for trace in traces]
    if shuffled:
        spans = [span for deck in decks for span in deck]
        random.shuffle(spans)
    else:
        spans = []
        while decks:
            deck = random.choice(decks)
            spans.append(deck.pop(0))
            decks = [deck for deck in decks if deck]
    if repeated:
        for span in random.sample(spans, len(spans) // 3):
            spans.insert(random.randrange(spans.index(span), len(spans)) + 1, span)
    batches = []
    while spans:
        size = random.choice((1, 2, 3, 7, 40))
        batches.append(b"".join(spans[:size]))
        spans = spans[size:]
    return batches


@pytest.mark.parametrize(("shuffled", "repeated"), [(False, False), (False, True), (True, False), (True, True)])
# not made smaller: a deal that fails is read by its facts, and each try takes a while
@settings(
    max_examples=25, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate), suppress_health_check=[HealthCheck.too_slow]
)
@given(random=st.randoms(use_true_random=False))
def test_written_traces(shuffled: bool, repeated: bool, random: Random) -> None:
    """Cut, interleaved, out of order, sent again: the same findings."""
    assert standing(dealt(WRITTEN, random, shuffled=shuffled, repeated=repeated)) == standing(WRITTEN)


@pytest.mark.skipif(not REAL, reason="the stored traces are not here")
@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_real_traces(seed: int, shuffled: bool) -> None:
    """The same for runs of real agents and frameworks."""
    random = Random(seed)
    assert standing(dealt(REAL, random, shuffled=shuffled, repeated=True)) == standing(REAL)


def test_the_traces_hold_something_to_find() -> None:
    """Else the comparisons above would compare nothing with nothing."""
    rules = {fact[1] for fact in standing(WRITTEN)}
    assert rules >= {
        "loop/identical_calls",
        "loop/failing_call",
        "loop/cycle",
        "tool_skipping/expected",
        "tool_skipping/requested_not_executed",
        "token_spike/run",
        "loop/changing_arguments",
        "loop/identical_output",
        "loop/similar_output",
        "loop/handoffs",
        "loop/recursion",
        "loop/max_iterations",
        "tool_skipping/claimed",
        "tool_skipping/learned",
        "degraded_output/empty",
        "degraded_output/truncated",
        "degraded_output/repetitive",
        "latency_spike/run",
        "anomaly/iterations",
    }


def test_a_redelivered_span_is_counted_once() -> None:
    """Metrics get every step once, however often its span comes, and in whatever batch."""
    pipeline = Pipeline(load("", {}), make_codec(KEYS, RULES))
    spans = spans_of(WRITTEN[1])
    sent = [WRITTEN[1], *spans[3:], WRITTEN[1] + WRITTEN[1]]
    fresh = [pipeline.process(request, NS).fresh for request in sent]
    assert sum(map(len, fresh)) == len(spans)


def test_a_span_twice_in_one_payload_is_counted_once() -> None:
    """Also where the trace was never seen before."""
    pipeline = Pipeline(load("", {}), make_codec(KEYS, RULES))
    outcome = pipeline.process(WRITTEN[0] + WRITTEN[0], NS)
    assert len(outcome.fresh) == len(spans_of(WRITTEN[0]))
