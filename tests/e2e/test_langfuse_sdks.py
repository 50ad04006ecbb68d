"""Every current line of the Langfuse SDK with nothing but its base URL set to us: it works as if the server stood here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Rig
from tests.e2e.kit import ROOT, environment, until

TYPES = ("span", "generation", "embedding", "agent", "tool", "chain", "retriever", "evaluator", "guardrail")
FLOOD = 1_500
# `pip install --no-deps --target .venv/langfuse3 'langfuse<4'` puts another line there; 5 is the one that is installed.
PLACES = {
    "3": Path(os.environ.get("LANGFUSE3_PATH", Path(sys.prefix) / "langfuse3")),
    "4": Path(os.environ.get("LANGFUSE4_PATH", Path(sys.prefix) / "langfuse4")),
    "5": Path(),
}
KEYS = {"LANGFUSE_PUBLIC_KEY": "pk-lf-team", "LANGFUSE_SECRET_KEY": "sk-lf-team"}


@dataclass
class Tour:
    """What the program saw, and the rig that it ran against."""

    line: str
    seen: dict[str, Any]
    rig: Rig

    def spans(self) -> dict[str, Any]:
        """The tour's observations in Langfuse, by name."""
        return {span.name: span for span in self.rig.langfuse.of(self.seen["tour"]).values()}


@pytest.fixture(scope="module", params=list(PLACES))
def tour(request: pytest.FixtureRequest, rig: Rig) -> Tour:
    place = PLACES[request.param]
    if request.param != "5" and not place.is_dir():
        pytest.skip(f"the {request.param}.x line of the Langfuse SDK is not in {place}")
    rig.langfuse.score_form = "array" if request.param == "5" else "object"  # the server that each line was made for
    rig.langfuse.projects["sk-lf-team"] = ("team", "pk-lf-team")
    path = os.pathsep.join([*([str(place)] if place.name else []), str(ROOT)])
    surroundings = environment(PYTHONPATH=path, LANGFUSE_BASE_URL=f"http://{rig.sidecar.http}/", **KEYS)
    done = subprocess.run(
        [sys.executable, "-m", "tests.sdk.langfuse_tour"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=surroundings,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["version"].startswith(request.param)
    until(lambda: len(rig.langfuse.of(seen["tour"])) == len(TYPES) + 2, "the tour's observations")
    until(lambda: len(rig.langfuse.of(seen["flood"])) == FLOOD + 1, "the flood")
    return Tour(request.param, seen, rig)


def test_reads_come_from_the_real_server(tour: Tour) -> None:
    """auth_check, prompts and datasets work, with the application's own keys."""
    assert (tour.seen["auth_check"], tour.seen["prompt"], tour.seen["items"]) == (True, "Say hello to Ada.", ["1+1"])
    assert {asked.public_key for asked in tour.rig.langfuse.api.asked} == {"pk-lf-team"}


def test_spans_go_to_the_project_of_the_applications_keys(tour: Tour) -> None:
    """Not to that of the sidecar's own keys."""
    for trace in (tour.seen["tour"], tour.seen["flood"]):
        assert {tour.rig.langfuse.project_of[trace, span_id] for span_id in tour.rig.langfuse.of(trace)} == {"team"}


def test_every_observation_type_arrives_as_it_was_said(tour: Tour) -> None:
    """`@observe` with each type; input and output under the SDK's own mask."""
    spans = tour.spans()
    assert {kind: spans[f"a {kind}"].attributes["langfuse.observation.type"] for kind in TYPES} == {kind: kind for kind in TYPES}
    for kind in TYPES:
        assert "****" in spans[f"a {kind}"].attributes["langfuse.observation.input"]
        assert "4711" not in str(spans[f"a {kind}"].attributes)


def test_a_generation_keeps_model_usage_and_prompt(tour: Tour) -> None:
    """As the SDK wrote them, in the types that a server takes."""
    attributes = tour.spans()["a generation"].attributes
    assert attributes["langfuse.observation.model.name"] == "gpt-4o"
    assert json.loads(attributes["langfuse.observation.usage_details"]) == {"input": 7, "output": 3}
    assert (attributes["langfuse.observation.prompt.name"], attributes["langfuse.observation.prompt.version"]) == ("greeting", 3)


def test_session_user_and_tags_arrive(tour: Tour) -> None:
    """On every observation that was recorded below them."""
    for kind in TYPES:
        attributes = tour.spans()[f"a {kind}"].attributes
        assert (attributes["user.id"], attributes["session.id"]) == ("u-1", "s-1")
        assert list(attributes["langfuse.trace.tags"]) == ["prod", "eu"]


def test_scores_of_the_application_pass_through(tour: Tour) -> None:
    """Whichever form the SDK sends them in."""
    until(lambda: [score for score in tour.rig.langfuse.scores_of(tour.seen["tour"]) if score["name"] == "quality"], "the score")
    (score,) = [score for score in tour.rig.langfuse.scores_of(tour.seen["tour"]) if score["name"] == "quality"]
    assert score["value"] == 0.5
    assert tour.rig.langfuse.score_projects[score["id"]] == "team"


def test_media_is_uploaded(tour: Tour) -> None:
    """Announced through us, written to the storage directly, confirmed through us; the span holds the reference."""
    api = tour.rig.langfuse.api
    until(lambda: any("done" in media for media in api.media.values()), "the upload")
    assert b"PNG" in api.uploads.values()
    assert "@@@langfuseMedia:" in tour.spans()["with media"].attributes["langfuse.observation.input"]


def test_flush_under_load_loses_nothing(tour: Tour) -> None:
    """Each of the flood's observations is stored once."""
    counts = tour.rig.langfuse.counts(tour.seen["flood"])
    assert Counter(counts.values()) == {1: FLOOD + 1}


def test_the_page_that_the_sdk_prints_opens(tour: Tour) -> None:
    """It has our address, and leads to the real UI."""
    prefix = f"http://{tour.rig.sidecar.http}/"
    assert tour.seen["url"].startswith(prefix)
    status, _, headers = tour.rig.sidecar.ask("GET", "/" + tour.seen["url"].removeprefix(prefix).lstrip("/"))
    assert (status, headers["Location"]) == (302, f"https://lf.example/project/project-1/traces/{tour.seen['tour']}")


def test_what_passed_is_counted(tour: Tour) -> None:
    """By class of status, in /metrics."""
    assert tour.rig.sidecar.value("otel_ext_stand_in_requests_total", outcome="2xx") >= 5
    assert tour.rig.sidecar.value("otelcol_exporter_sent_spans_total", exporter="langfuse_caller_1") >= FLOOD
