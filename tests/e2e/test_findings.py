"""What is found, and every place that says it: Tempo, Langfuse, scores, metrics, log. Real requests, both codecs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otel_ext import samples
from tests.e2e.app import AGENT, App, encoded
from tests.e2e.conftest import Rig
from tests.e2e.kit import Inside, Langfuse, Process, Stage, Tempo, attributes_of, config, keys_of, new_trace, spans_of, until

Make = Callable[[bytes, int], bytes]


def failing(trace_id: bytes, start_ns: int) -> bytes:
    """The same call fails four times."""
    agent = samples.Agent(trace_id, "booker", start_ns)
    for _ in range(4):
        agent.call("book", {"room": 7}, "", error="timeout")
    agent.chat("I could not book it.")
    return agent.end()


def requesting(trace_id: bytes, start_ns: int) -> bytes:
    """The model asks for a tool twice, and gets neither."""
    agent = samples.Agent(trace_id, "careless", start_ns)
    agent.chat(calls=[("call_a", "refund", {"order": 1})])
    agent.chat("Refunded.")
    return agent.end()


AT_ONCE: dict[str, tuple[Make, str, str]] = {
    "looping": (samples.looping, "loop/identical_calls", "critical"),
    "skipping": (samples.skipping, "tool_skipping/expected", "critical"),
    "failing": (failing, "loop/failing_call", "critical"),
    "spiking": (samples.spiking, "token_spike/run", "low"),
}


def now_ns() -> int:
    return time.time_ns() - 10_000_000_000


def split(data: bytes, *sizes: int) -> list[bytes]:
    """Requests with the spans of *data* in order, of the given sizes and the rest."""
    whole = ExportTraceServiceRequest.FromString(data)
    spans, parts = spans_of(whole), []
    for first, last in zip([0, *sizes], [*sizes, len(spans)], strict=True):
        part = ExportTraceServiceRequest()
        part.CopyFrom(whole)
        del part.resource_spans[0].scope_spans[0].spans[:]
        part.resource_spans[0].scope_spans[0].spans.extend(spans[first:last])
        parts.append(part.SerializeToString())
    return parts


def found_by(rig: Rig, make: Make) -> tuple[str, list[Span], dict[str, Any]]:
    """Send a run; its trace id, the spans in Tempo that carry findings, and the log line."""
    trace_id = new_trace()
    rig.sidecar.export(make(trace_id, now_ns()))
    line = until(lambda: rig.sidecar.findings(trace_id.hex()), "the log line")[0]
    marked = until(
        lambda: [span for span in rig.tempo.of(trace_id.hex()).values() if "otel_ext.findings" in keys_of(span)], "a marked span"
    )
    return trace_id.hex(), marked, line


@pytest.mark.parametrize("name", AT_ONCE)
def test_the_span_at_fault_is_marked_in_tempo(both: Rig, name: str) -> None:
    """A verdict that is due when its span passes travels on it: rule ids, severity, and an event with type, rule, severity, message."""
    make, rule, severity = AT_ONCE[name]
    _, (span,), line = found_by(both, make)
    found = attributes_of(span)
    assert (found["otel_ext.findings"], found["otel_ext.severity"]) == ([rule], severity)
    (event,) = [event for event in span.events if event.name == "otel_ext.finding"]
    message = line["message"]
    assert attributes_of(event) == {"type": rule.split("/")[0], "rule": rule, "severity": severity, "message": message}
    assert span.span_id.hex() == line["span_id"]


@pytest.mark.parametrize("name", AT_ONCE)
def test_the_observation_at_fault_is_marked_in_langfuse(both: Rig, name: str) -> None:
    """Level and status message where it is an alert or nearly one, the rule and the severity as metadata always."""
    make, rule, severity = AT_ONCE[name]
    trace_id, (span,), line = found_by(both, make)
    observation = until(lambda: both.langfuse.of(trace_id).get(span.span_id.hex()), "Langfuse").attributes
    loud = severity != "low"
    assert observation.get("langfuse.observation.level") == ("ERROR" if loud else None)
    assert observation.get("langfuse.observation.status_message") == (line["message"] if loud else None)
    assert observation["langfuse.observation.metadata.otel_ext.findings"] == [rule]
    assert observation["langfuse.observation.metadata.otel_ext.severity"] == severity


@pytest.mark.parametrize("name", AT_ONCE)
def test_a_finding_is_a_score(both: Rig, name: str) -> None:
    """One score, named for the type, on the observation at fault."""
    make, rule, severity = AT_ONCE[name]
    trace_id, (span,), line = found_by(both, make)
    (score,) = until(lambda: both.langfuse.scores_of(trace_id), "the score")
    assert (score["name"], score["value"], score["dataType"]) == (f"otel_ext.{rule.split('/')[0]}", 1, "BOOLEAN")
    assert (score["observationId"], score["comment"]) == (span.span_id.hex(), line["message"])
    assert (score["metadata"]["rule"], score["metadata"]["severity"]) == (rule, severity)


@pytest.mark.parametrize("name", AT_ONCE)
def test_a_finding_is_counted_with_an_exemplar(both: Rig, name: str) -> None:
    """The counter has the labels of the finding, and its exemplar leads to a trace that has it."""
    make, rule, severity = AT_ONCE[name]
    trace_id, _, line = found_by(both, make)
    (sample,) = both.sidecar.samples("otel_ext_findings_total", rule=rule, agent=line["agent"])
    assert sample.labels == {"type": rule.split("/")[0], "rule": rule, "severity": severity, "agent": line["agent"]}
    assert sample.exemplar.labels["trace_id"] == trace_id


@pytest.mark.parametrize("name", AT_ONCE)
def test_a_finding_is_one_log_line(both: Rig, name: str) -> None:
    """One JSON object on standard error, with the ids of both systems and what happened."""
    make, rule, severity = AT_ONCE[name]
    trace_id, _, line = found_by(both, make)
    assert len(both.sidecar.findings(trace_id)) == 1
    assert (line["type"], line["rule"], line["severity"], line["service"]) == (rule.split("/")[0], rule, severity, "demo")
    assert (line["trace_id"], line["langfuse_trace_id"], line["complete"]) == (trace_id, trace_id, True)
    assert line["message"]
    assert line["evidence"]


def test_a_healthy_run_raises_nothing(both: Rig) -> None:
    """Links only: no mark, no score, no line, also once it has settled."""
    healthy, last = new_trace(), new_trace()
    both.sidecar.export(samples.healthy(healthy, now_ns()))
    both.sidecar.export(requesting(last, now_ns()))
    until(lambda: both.sidecar.findings(last.hex()), "a later verdict that had to settle")
    assert both.sidecar.findings(healthy.hex()) == []
    assert both.langfuse.scores_of(healthy.hex()) == []
    assert not any("otel_ext.findings" in keys_of(span) for span in both.tempo.of(healthy.hex()).values())


def test_a_verdict_after_settling_is_a_span_below_the_agent(both: Rig) -> None:
    """The agent's span has left: the finding comes as `otel_ext finding <rule>`, its child, with the same attributes and event."""
    trace_id = new_trace()
    both.sidecar.export(requesting(trace_id, now_ns()))
    name = "otel_ext finding tool_skipping/requested_not_executed"
    (span,) = until(lambda: both.tempo.named(trace_id.hex(), name), "the finding span")
    (agent,) = both.tempo.named(trace_id.hex(), "invoke_agent careless")
    assert span.parent_span_id == agent.span_id
    assert "otel_ext.findings" not in keys_of(agent)
    found = attributes_of(span)
    assert (found["otel_ext.findings"], found["otel_ext.severity"]) == (["tool_skipping/requested_not_executed"], "high")
    assert found["langfuse.trace_id"] == trace_id.hex()
    (event,) = span.events
    assert (event.name, attributes_of(event)["rule"]) == ("otel_ext.finding", "tool_skipping/requested_not_executed")
    (score,) = until(lambda: both.langfuse.scores_of(trace_id.hex()), "the score")
    assert score["observationId"] == agent.span_id.hex()


def test_a_late_verdict_stays_out_of_langfuses_tree(both: Rig) -> None:
    """Langfuse learns of it by the score; the finding span is Tempo's."""
    trace_id = new_trace()
    both.sidecar.export(requesting(trace_id, now_ns()))
    until(lambda: both.langfuse.scores_of(trace_id.hex()), "the score")
    assert {span.name for span in both.langfuse.of(trace_id.hex()).values()} == {"chat gpt-4o", "invoke_agent careless"}


def test_expected_tools_on_a_span_of_the_sdk(both: Rig) -> None:
    """An application states its expectation with `otel_ext.expected_tools`; the missing tools are named, the called are not."""
    app = App()
    with app.agent(otel_ext__expected_tools=["search", "calculate"]) as root, app.chat("", [("c1", "search", {})]):
        pass
    with app.agent(otel_ext__expected_tools=["search", "calculate"]) as root, app.tool("search", "c1", result="x"):
        pass
    both.sidecar.export(encoded(app.finished))
    trace_id = format(root.get_span_context().trace_id, "032x")
    (line,) = until(lambda: both.sidecar.findings(trace_id), "the line")
    assert (line["rule"], line["evidence"]["tools"], line["agent"]) == ("tool_skipping/expected", ["calculate"], "planner")
    (agent,) = until(lambda: both.tempo.named(trace_id, AGENT))
    assert attributes_of(agent)["otel_ext.findings"] == ["tool_skipping/expected"]


def test_a_redelivered_request_changes_no_count(both: Rig) -> None:
    """A sender that did not see our answer sends again: same findings, same tokens, same tool calls, same scores."""
    data = samples.looping(new_trace(), now_ns())
    trace_id = spans_of(ExportTraceServiceRequest.FromString(data))[0].trace_id.hex()
    both.sidecar.export(data)
    until(lambda: both.langfuse.scores_of(trace_id), "the score")
    names = ("otel_ext_findings_total", "llm_tokens_used_total", "mcp_tool_duration_seconds_count", "llm_request_duration_seconds_count")
    before = {name: both.sidecar.value(name) for name in names}
    both.sidecar.export(data)
    both.sidecar.call(data)
    until(lambda: set(both.tempo.counts(trace_id).values()) == {3}, "Tempo")
    assert {name: both.sidecar.value(name) for name in names} == before
    assert len(both.sidecar.findings(trace_id)) == 1
    assert len([post for post in both.langfuse.score_posts if post["traceId"] == trace_id]) == 1


@pytest.mark.parametrize("name", AT_ONCE)
def test_a_redelivered_span_keeps_its_marks(both: Rig, name: str) -> None:
    """Langfuse replaces a span as a whole when it comes again: the copy of a span at fault says so too, as the first one did."""
    make, rule, _ = AT_ONCE[name]
    trace_id = new_trace()
    data = make(trace_id, now_ns())
    both.sidecar.export(data)
    until(lambda: both.langfuse.of(trace_id.hex()), "Langfuse")
    first = both.langfuse.of(trace_id.hex())
    both.sidecar.export(data)
    until(lambda: set(both.langfuse.counts(trace_id.hex()).values()) == {2}, "the second delivery")
    assert both.langfuse.of(trace_id.hex()) == first
    assert any(rule in span.attributes.get("langfuse.observation.metadata.otel_ext.findings", []) for span in first.values())


def test_a_span_that_is_in_a_request_twice_is_marked_twice(both: Rig) -> None:
    """A Collector may put both deliveries of a span into one request; Langfuse keeps the last, which says what the first says."""
    trace_id = new_trace()
    data = samples.skipping(trace_id, now_ns())
    both.sidecar.export(data + data)
    until(lambda: set(both.langfuse.counts(trace_id.hex()).values()) == {2} and len(both.tempo.of(trace_id.hex())) == 2, "both copies")
    agents = both.tempo.named(trace_id.hex(), "invoke_agent fact-checker")
    assert [attributes_of(span).get("otel_ext.findings") for span in agents] == [["tool_skipping/expected"]] * 2
    assert agents[0] == agents[1]
    stored = both.langfuse.of(trace_id.hex())[agents[0].span_id.hex()]
    assert stored.attributes["langfuse.observation.level"] == "ERROR"
    assert len(both.sidecar.findings(trace_id.hex())) == 1


def test_the_same_finding_has_the_same_score_id_everywhere(stage: Stage, both: Rig, inside: Callable[[dict[str, Any]], Inside]) -> None:
    """Another sidecar, or the same one after a restart, changes the score instead of adding one; so does the finding span."""
    trace_id, start_ns = new_trace(), now_ns()
    other = inside(config(both.tempo, both.langfuse))
    for sidecar in (both.sidecar, other):
        sidecar.export(requesting(trace_id, start_ns))
    other.pass_time(10)
    posts = until(lambda: [p for p in both.langfuse.score_posts if p["traceId"] == trace_id.hex()] if other.delivered() else None)
    posts = until(lambda: (found := [p for p in both.langfuse.score_posts if p["traceId"] == trace_id.hex()])[1:] and found, "both scores")
    assert len({post["id"] for post in posts}) == 1
    assert len(both.langfuse.scores_of(trace_id.hex())) == 1
    name = "otel_ext finding tool_skipping/requested_not_executed"
    until(lambda: len(both.tempo.named(trace_id.hex(), name)) == 2, "both finding spans")
    assert len({span.span_id for span in both.tempo.named(trace_id.hex(), name)}) == 1


@pytest.mark.parametrize("sizes", [(1,), (3, 4), tuple(range(1, 14))])
def test_the_same_findings_however_it_is_cut(both: Rig, sizes: tuple[int, ...]) -> None:
    """A looping run in two, three or fourteen exports: one finding, on the same span, as in one export."""
    trace_id = new_trace()
    for part in split(samples.looping(trace_id, now_ns()), *sizes):
        both.sidecar.export(part)
    (line,) = until(lambda: both.sidecar.findings(trace_id.hex()), "the line")
    whole = samples.looping(trace_id, now_ns())
    third_call = [span for span in spans_of(ExportTraceServiceRequest.FromString(whole)) if span.name == "execute_tool search"][2]
    assert (line["rule"], line["span_id"]) == ("loop/identical_calls", third_call.span_id.hex())


UUID = "4f6c1d4e-9e3b-4d52-8e0b-2f1a7c9d0e11"


def test_an_id_of_its_own_in_langfuse_is_used_from_then_on(both: Rig) -> None:
    """A span brings `langfuse.trace_id` as a UUID: later spans of the trace carry it, and the page is that one's."""
    app = App()
    with app.agent() as root:
        with app.chat("hello", langfuse__trace_id=UUID):
            pass
        with app.tool("search", "c1", result="x"):
            pass
    chat, tool, agent = app.finished
    for span in (chat, tool, agent):
        both.sidecar.export(encoded([span]))
    trace_id = format(root.get_span_context().trace_id, "032x")
    until(lambda: len(both.tempo.of(trace_id)) == 3)
    assert {attributes_of(span)["langfuse.trace_id"] for span in both.tempo.of(trace_id).values()} == {UUID}
    (top,) = both.tempo.named(trace_id, AGENT)
    assert attributes_of(top)["langfuse.trace_url"] == f"https://lf.example/project/proj/traces/{UUID}"


def test_langfuse_spans_of_such_a_trace_name_tempos(both: Rig) -> None:
    """Where the ids differ, every span of Langfuse's copy carries the trace id in Tempo, from the first that could know."""
    app = App()
    with app.agent() as root, app.chat("hello", langfuse__trace_id=UUID + "-b"), app.tool("search", "c1", result="x"):
        pass
    both.sidecar.export(encoded(app.finished))
    trace_id = format(root.get_span_context().trace_id, "032x")
    until(lambda: len(both.langfuse.of(trace_id)) == 3)
    found = {span.attributes.get("langfuse.trace.metadata.tempo_trace_id") for span in both.langfuse.of(trace_id).values()}
    assert found == {trace_id}


def test_the_score_of_such_a_trace_goes_to_its_own_id(both: Rig) -> None:
    """The score's trace is the id in Langfuse, its metadata keep Tempo's, and so does the log line."""
    own = f"{UUID}-{new_trace().hex()}"
    app = App()
    with app.agent(otel_ext__expected_tools=["never"]) as root, app.chat("hello", langfuse__trace_id=own):
        pass
    both.sidecar.export(encoded(app.finished))
    trace_id = format(root.get_span_context().trace_id, "032x")
    (score,) = until(lambda: both.langfuse.scores_of(own), "the score")
    assert score["metadata"]["tempo_trace_id"] == trace_id
    (line,) = both.sidecar.findings(trace_id)
    assert line["langfuse_trace_id"] == own


# -- in this process, with a clock that tests move


@pytest.fixture
def slow(destinations: tuple[Tempo, Langfuse], inside: Callable[[dict[str, Any]], Inside]) -> tuple[Inside, Tempo, Langfuse]:
    """Verdicts settle in an hour, and traces stay open for a day."""
    tree = config(*destinations, detect={"tool_skipping": {"settle": "1h"}}, traces={"idle_timeout": "24h"})
    return inside(tree), *destinations


def test_what_arrives_while_settling_counts(slow: tuple[Inside, Tempo, Langfuse]) -> None:
    """The tool's span comes after its agent's, within `settle`: nothing was skipped."""
    sidecar, tempo, _ = slow
    app = App()
    with app.agent(otel_ext__expected_tools=["refund"]) as root:
        with app.chat("", [("c9", "refund", {})]):
            pass
        with app.tool("refund", "c9", result="done"):
            pass
    chat, tool, agent = app.finished
    sidecar.export(encoded([chat, agent]))
    sidecar.pass_time(3000)
    sidecar.export(encoded([tool]))
    sidecar.pass_time(3000)
    trace_id = format(root.get_span_context().trace_id, "032x")
    until(lambda: len(tempo.of(trace_id)) == 3 and sidecar.delivered())
    assert sidecar.value("otel_ext_findings_total") == 0
    assert not any(span.name.startswith("otel_ext finding") for span in tempo.spans)


def test_a_late_span_takes_a_verdict_back(slow: tuple[Inside, Tempo, Langfuse]) -> None:
    """A tool that was called after all, seen too late: the score goes to 0 under the same id, and Tempo gets the withdrawal."""
    sidecar, tempo, langfuse = slow
    app = App()
    with app.agent(otel_ext__expected_tools=["refund"]) as root:
        with app.chat("", [("c9", "refund", {})]):
            pass
        with app.tool("refund", "c9", result="done"):
            pass
    chat, tool, agent = app.finished
    trace_id = format(root.get_span_context().trace_id, "032x")
    sidecar.export(encoded([chat, agent]))
    sidecar.pass_time(3601)
    until(lambda: {score["value"] for score in langfuse.scores_of(trace_id)} == {1}, "the verdict")
    sidecar.export(encoded([tool]))
    until(lambda: {score["value"] for score in langfuse.scores_of(trace_id)} == {0}, "the withdrawal")
    until(sidecar.delivered)
    withdrawn = [span for span in tempo.of(trace_id).values() if attributes_of(span).get("otel_ext.withdrawn")]
    assert {rule for span in withdrawn for rule in attributes_of(span)["otel_ext.findings"]} == {
        rule
        for span in tempo.of(trace_id).values()
        if span.name.startswith("otel_ext finding")
        for rule in attributes_of(span)["otel_ext.findings"]
    }


def test_a_verdict_outlives_its_trace(slow: tuple[Inside, Tempo, Langfuse]) -> None:
    """A run that comes again after its trace was closed is marked as before, and told no second time."""
    sidecar, _, langfuse = slow
    trace_id = new_trace()
    data = samples.skipping(trace_id, now_ns())
    sidecar.export(data)
    until(sidecar.delivered, "delivery")
    first = langfuse.of(trace_id.hex())
    sidecar.pass_time(25 * 3600)
    assert sidecar.value("otel_ext_open_traces") == 0
    sidecar.export(data)
    until(lambda: set(langfuse.counts(trace_id.hex()).values()) == {2}, "the second delivery")
    assert langfuse.of(trace_id.hex()) == first
    assert len(langfuse.score_posts) == 1
    assert sidecar.value("otel_ext_findings_total") == 1


def test_a_verdict_that_settles_after_its_trace_went_idle(
    destinations: tuple[Tempo, Langfuse], inside: Callable[[dict[str, Any]], Inside]
) -> None:
    """`settle` may be longer than `idle_timeout`: what waits is judged all the same."""
    tree = config(*destinations, detect={"tool_skipping": {"settle": "10m"}}, traces={"idle_timeout": "1m"})
    sidecar, trace_id = inside(tree), new_trace()
    sidecar.export(requesting(trace_id, now_ns()))
    for _ in range(11):
        sidecar.pass_time(60)
    assert sidecar.value("otel_ext_findings_total", rule="tool_skipping/requested_not_executed") == 1


def test_a_verdict_that_waits_when_its_trace_makes_room(
    destinations: tuple[Tempo, Langfuse], inside: Callable[[dict[str, Any]], Inside]
) -> None:
    """A trace that is closed for `max_traces` takes no waiting verdict with it in silence: it is given, or counted as given up."""
    tree = config(*destinations, traces={"max_traces": 2}, detect={"tool_skipping": {"settle": "1m"}})
    sidecar, trace_id = inside(tree), new_trace()
    sidecar.export(requesting(trace_id, now_ns()))
    app = App()
    for _ in range(3):
        with app.chat("hello"):
            pass
    sidecar.export(encoded(app.finished))
    sidecar.pass_time(61)
    given = sidecar.value("otel_ext_findings_total", rule="tool_skipping/requested_not_executed")
    assert given + sidecar.value("otel_ext_dropped_total", what="pipeline", reason="waiting_runs") == 1


def test_waiting_verdicts_are_given_at_shutdown(slow: tuple[Inside, Tempo, Langfuse]) -> None:
    """What has not settled when the sidecar stops is judged then, and delivered."""
    sidecar, tempo, langfuse = slow
    trace_id = new_trace()
    sidecar.export(requesting(trace_id, now_ns()))
    sidecar.close()
    assert tempo.named(trace_id.hex(), "otel_ext finding tool_skipping/requested_not_executed")
    assert langfuse.scores_of(trace_id.hex())


def test_expectations_of_the_configuration(destinations: tuple[Tempo, Langfuse], serve: Callable[..., Process]) -> None:
    """`require`, `any_of`, `before` and `forbid` of the file are judged for the agents that their glob names, and no others."""
    tempo, langfuse = destinations
    expectations = [
        {"agent": "req*", "require": ["search"]},
        {"agent": "any", "any_of": [["kb", "web"]]},
        {"agent": "before", "before": [["lookup", "refund"]]},
        {"agent": "forbid", "forbid": ["refund"]},
    ]
    detect = {"tool_skipping": {"expectations": expectations, "settle": "0s"}}
    sidecar = serve(config(tempo, langfuse, detect=detect))
    app, ids = App(), {}
    for name in ("requirer", "any", "before", "forbid", "nobody"):
        with app.agent(name) as root, app.chat("hello"), app.tool("refund", "", result="done"):
            ids[name] = format(root.get_span_context().trace_id, "032x")
    sidecar.export(encoded(app.finished))
    until(lambda: all(sidecar.findings(ids[name]) for name in ids if name != "nobody"), "the findings")
    found = {name: [line["evidence"]["expectation"] for line in sidecar.findings(trace_id)] for name, trace_id in ids.items()}
    assert found == {"requirer": ["require"], "any": ["any_of"], "before": ["before"], "forbid": ["forbid"], "nobody": []}
