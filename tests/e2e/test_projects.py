"""Many teams, one sidecar: whose spans and findings go to which Langfuse project."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.app import App, encoded
from tests.e2e.kit import Inside, Langfuse, Tempo, config, until

PATH = "/api/public/otel/v1/traces"
Inner = Callable[[dict[str, Any]], Inside]


@pytest.fixture
def langfuse(destinations: tuple[Tempo, Langfuse]) -> Langfuse:
    langfuse = destinations[1]
    langfuse.projects |= {f"sk-{team}": (team, f"pk-{team}") for team in ("a", "b", "c", "d")}
    return langfuse


def basic(team: str) -> str:
    return "Basic " + base64.b64encode(f"pk-{team}:sk-{team}".encode()).decode()


def looping(service: str = "shop") -> tuple[str, bytes]:
    """A trace with a finding."""
    app = App(service=service)
    with app.agent() as root:
        for _ in range(4):
            with app.tool("search", arguments='{"q": "x"}', result="nothing"):
                pass
    return format(root.get_span_context().trace_id, "032x"), encoded(app.finished)


def sent(sidecar: Inside, body: bytes, team: str = "") -> int:
    headers = {"Authorization": basic(team)} if team else {}
    return sidecar.post(body, path=PATH, **headers)[0]


def homes(langfuse: Langfuse, trace_id: str) -> tuple[set[str], set[str]]:
    """Projects of a trace's spans, and of its scores, once both are there."""
    until(lambda: len(langfuse.of(trace_id)) == 5 and langfuse.scores_of(trace_id), "spans and a score")
    scores = {langfuse.score_projects[score["id"]] for score in langfuse.scores_of(trace_id)}
    return {langfuse.project_of[trace_id, span_id] for span_id in langfuse.of(trace_id)}, scores


def tree(langfuse: Langfuse, **options: Any) -> dict[str, Any]:
    return config(langfuse=langfuse, exporters={"langfuse": options})


def test_the_callers_keys_decide(langfuse: Langfuse, inside: Inner) -> None:
    """Spans and findings of each team are in its own project; what comes without keys is in the configured one."""
    sidecar = inside(tree(langfuse))
    for team in ("a", "b", ""):
        trace_id, body = looping()
        assert sent(sidecar, body, team) == 200
        assert homes(langfuse, trace_id) == ({team}, {team})


def test_small_requests_of_several_teams_do_not_mix(langfuse: Langfuse, inside: Inner) -> None:
    """Also where they are worked on together."""
    sidecar = inside(tree(langfuse))
    traces = [(team, *looping()) for team in ("a", "b", "", "a", "b", "")]
    for team, _, body in traces:
        assert sent(sidecar, body, team) == 200
    for team, trace_id, _ in traces:
        assert homes(langfuse, trace_id) == ({team}, {team})


def test_caller_keys_can_be_left_aside(langfuse: Langfuse, inside: Inner) -> None:
    """With `caller_keys: false` the configured project gets everything."""
    sidecar = inside(tree(langfuse, caller_keys=False))
    trace_id, body = looping()
    assert sent(sidecar, body, "a") == 200
    assert homes(langfuse, trace_id) == ({""}, {""})


def test_a_table_maps_resources_to_projects(langfuse: Langfuse, inside: Inner) -> None:
    """Globs over resource attributes; the first project that fits; one request may hold several."""
    projects = [
        {
            "name": "a",
            "public_key": "pk-a",
            "secret_key": "sk-a",
            "resource": {"service.name": "shop-*", "deployment.environment.name": "prod"},
        },
        {"name": "b", "public_key": "pk-b", "secret_key": "sk-b", "resource": {"service.name": "*-bot"}},
    ]
    sidecar = inside(tree(langfuse, projects=projects))
    traces = {service: looping(service) for service in ("shop-eu", "help-bot", "shop-bot", "other")}
    sidecar.export(b"".join(body for _, body in traces.values()))
    found = {service: homes(langfuse, trace_id) for service, (trace_id, _) in traces.items()}
    wanted = {"shop-eu": "a", "help-bot": "b", "shop-bot": "a", "other": ""}
    assert found == {service: ({team}, {team}) for service, team in wanted.items()}


def test_a_table_maps_public_keys_to_projects(langfuse: Langfuse, inside: Inner) -> None:
    """A caller's key stands for a project of the table; its secret is not needed."""
    sidecar = inside(tree(langfuse, projects=[{"name": "b", "public_key": "pk-b", "secret_key": "sk-b", "callers": ["pk-legacy-*"]}]))
    trace_id, body = looping()
    assert sidecar.post(body, path=PATH, Authorization="Basic " + base64.b64encode(b"pk-legacy-7:gone").decode())[0] == 200
    assert homes(langfuse, trace_id) == ({"b"}, {"b"})


def test_lanes_are_bounded_and_idle_ones_make_room(langfuse: Langfuse, inside: Inner) -> None:
    """Two lanes serve four teams, one after the other; what is shown about them is bounded too."""
    sidecar = inside(tree(langfuse, max_callers=2))
    for team in ("a", "b", "c", "d", "a"):
        trace_id, body = looping()
        assert sent(sidecar, body, team) == 200
        assert homes(langfuse, trace_id) == ({team}, {team})
        until(sidecar.delivered)
    names = set(sidecar.ready()[1])
    assert names == {"langfuse", "langfuse_scores", *(f"langfuse_caller_{n}{tail}" for n in (1, 2) for tail in ("", "_scores"))}


def test_busy_lanes_are_not_closed(langfuse: Langfuse, inside: Inner) -> None:
    """While every lane has something to deliver, a new caller is asked to come again; it is taken once there is room."""
    langfuse.fail_next(1, 503, retry_after_s=2)
    sidecar = inside(tree(langfuse, max_callers=1))
    assert sent(sidecar, looping()[1], "a") == 200
    trace_id, body = looping()
    until(lambda: sidecar.sidecar.made.tenants and not sidecar.sidecar.made.tenants.all[-1].idle, "a lane at work")
    assert sent(sidecar, body, "b") == 503
    until(sidecar.delivered, "the first lane's delivery")
    assert sent(sidecar, body, "b") == 200
    assert homes(langfuse, trace_id) == ({"b"}, {"b"})


def test_wrong_keys_cost_nobody_else(langfuse: Langfuse, inside: Inner) -> None:
    """Spans under keys that the server does not know are counted as lost, on their own lane; the others arrive."""
    sidecar = inside(tree(langfuse))
    assert sent(sidecar, looping()[1], "nobody") == 200
    trace_id, body = looping()
    assert sent(sidecar, body, "a") == 200
    assert homes(langfuse, trace_id) == ({"a"}, {"a"})
    until(lambda: sidecar.value("otelcol_exporter_send_failed_spans_total", exporter="langfuse_caller_1") == 5, "the count")
    assert sidecar.value("otelcol_exporter_send_failed_spans_total", exporter="langfuse_caller_2") == 0


def test_spans_are_acknowledged_while_the_server_does_not_answer(langfuse: Langfuse, inside: Inner) -> None:
    """An SDK gives up after five seconds: the answer does not wait for the server."""
    langfuse.delay_s = 3
    sidecar = inside({**tree(langfuse), "shutdown_timeout": "0s"})
    assert sent(sidecar, looping()[1], "a") == 200
    assert not sidecar.delivered()


def test_critical_findings_are_queued_for_review_once(langfuse: Langfuse, inside: Inner) -> None:
    """One item a trace, however many findings it has and however often they come; other projects have other queues."""
    sidecar = inside(tree(langfuse, annotation_queue="queue/1"))
    trace_id, body = looping()
    for _ in range(2):
        sidecar.export(body)
    assert sent(sidecar, looping()[1], "a") == 200
    until(lambda: langfuse.scores_of(trace_id) and langfuse.api.annotations and sidecar.delivered(), "score and item")
    assert langfuse.api.annotations == [("queue/1", trace_id)]
    assert sidecar.ready()[1]["langfuse_annotations"]["ready"]


def test_scores_name_their_config(langfuse: Langfuse, inside: Inner) -> None:
    """Where the configuration has one for them."""
    sidecar = inside(tree(langfuse, score_configs={"otel_ext.loop": "config-7"}))
    trace_id, body = looping()
    sidecar.export(body)
    (score,) = until(lambda: langfuse.scores_of(trace_id), "the score")
    assert (score["configId"], score["metadata"]["severity"]) == ("config-7", "critical")


def test_scores_have_counters_and_a_row(langfuse: Langfuse, inside: Inner) -> None:
    """Sent and failed in /metrics, and a row in /ready that says why it is not well."""
    sidecar = inside(tree(langfuse))
    sidecar.export(looping()[1])
    until(lambda: sidecar.value("otel_ext_scores_sent_total", exporter="langfuse_scores") == 1, "the score")
    langfuse.fail_next(1, 401, lane="scores")
    sidecar.export(looping()[1])
    until(lambda: sidecar.value("otel_ext_scores_send_failed_total", exporter="langfuse_scores") == 1, "the failure")
    assert sidecar.ready()[1]["langfuse_scores"]["last_error"] == "unauthenticated"
