"""The real Langfuse SDK with its base URL at the sidecar: what it records reaches Tempo and Langfuse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from langfuse import Langfuse as LangfuseClient
from langfuse import propagate_attributes
from opentelemetry.sdk.trace import TracerProvider

from tests.e2e.conftest import Rig
from tests.e2e.kit import attributes_of, keys_of, new_trace, until


@pytest.fixture(scope="module")
def recorded(rig: Rig) -> str:
    """One run of an agent; its trace id."""
    trace_id = new_trace().hex()
    rig.langfuse.projects["sk-lf-app"] = ("app", "pk-lf-app")
    base_url = f"http://{rig.sidecar.http}/"
    client = LangfuseClient(public_key="pk-lf-app", secret_key="sk-lf-app", base_url=base_url, tracer_provider=TracerProvider())
    with (
        client.start_as_current_observation(name="planner", as_type="agent", trace_context={"trace_id": trace_id}),
        propagate_attributes(user_id="u-1", session_id="s-1", tags=["prod"]),
    ):
        with client.start_as_current_observation(name="answer", as_type="generation", model="gpt-4o", input="question") as generation:
            generation.update(output="fine", usage_details={"input": 7, "output": 3})
        for _ in range(3):
            with client.start_as_current_observation(name="search", as_type="tool", input={"q": "x"}) as tool:
                tool.update(output="nothing")
        with client.start_as_current_observation(name="kb", as_type="retriever", input="x"):
            pass
    client.flush()
    client.shutdown()
    until(lambda: len(rig.tempo.of(trace_id)) == 6 and len(rig.langfuse.of(trace_id)) == 6, "all six observations")
    return trace_id


def test_every_observation_reaches_both_once(rig: Rig, recorded: str) -> None:
    """Each observation of the SDK is once in Tempo and once in Langfuse, under the trace id that the SDK chose."""
    assert set(rig.tempo.counts(recorded).values()) == {1}
    assert set(rig.langfuse.counts(recorded).values()) == {1}


def test_tempo_sees_the_sdks_spans_as_steps(rig: Rig, recorded: str) -> None:
    """The short names and the link are there: the sidecar reads the SDK's own attributes."""
    spans = [attributes_of(span) for span in rig.tempo.of(recorded).values()]
    assert {span["langfuse.trace_id"] for span in spans} == {recorded}
    assert {span["langfuse.model"] for span in spans if "langfuse.model" in span} == {"gpt-4o"}
    assert {span["mcp.tool"] for span in spans if "mcp.tool" in span} == {"search"}


def test_langfuse_gets_what_the_sdk_wrote(rig: Rig, recorded: str) -> None:
    """Type, input, output, usage, user and session arrive as the SDK set them, and no key twice."""
    spans = rig.langfuse.of(recorded)
    answer = next(span for span in spans.values() if span.name == "answer").attributes
    assert (answer["langfuse.observation.type"], answer["langfuse.observation.input"]) == ("generation", "question")
    assert (answer["user.id"], answer["session.id"]) == ("u-1", "s-1")
    wire = [span for span in rig.langfuse.wire if span.trace_id.hex() == recorded]
    assert {key for span in wire for key, count in Counter(keys_of(span)).items() if count > 1} == set()


def test_the_sdks_root_stays_the_root(rig: Rig, recorded: str) -> None:
    """One topmost span, the agent, and everything else below it."""
    spans = rig.langfuse.of(recorded)
    roots = [span for span in spans.values() if span.attributes.get("langfuse.internal.is_app_root") in (True, "true")]
    assert [span.name for span in roots] == ["planner"]
    assert {span.parent_span_id for span in spans.values() if span.name != "planner"} == {roots[0].span_id}


def test_what_the_sdk_records_is_judged(rig: Rig, recorded: str) -> None:
    """Three equal calls of a tool are a loop, whichever SDK wrote them down."""
    (line,) = until(lambda: rig.sidecar.findings(recorded), "the finding")
    assert (line["rule"], line["evidence"]["tool"], line["conversation"]) == ("loop/identical_calls", "search", "s-1")


def test_the_senders_keys_decide_the_project_and_are_told_nobody(rig: Rig, recorded: str) -> None:
    """Spans and findings are in the application's project; its keys are nowhere in what we say."""
    assert {request.status for request in rig.langfuse.requests} == {200}
    assert {rig.langfuse.project_of[recorded, span_id] for span_id in rig.langfuse.of(recorded)} == {"app"}
    until(lambda: rig.langfuse.scores_of(recorded), "the score")
    assert {rig.langfuse.score_projects[score["id"]] for score in rig.langfuse.scores_of(recorded)} == {"app"}
    pages: list[Callable[[], str]] = [
        lambda: rig.sidecar.stderr,
        lambda: rig.sidecar.get("/metrics")[1],
        lambda: rig.sidecar.get("/ready")[1],
    ]
    assert not any("sk-lf-app" in page() for page in pages)
