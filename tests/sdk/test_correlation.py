"""Two systems, two ids: the real Langfuse SDKs, and every case in which the ids differ."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace

from otel_ext import correlate_traces
from tests.doubles.langfuse import LangfuseDouble
from tests.sdk.kit import App

ROOT = Path(__file__).parent.parent.parent
# `pip install --no-deps --target .venv/langfuse3 'langfuse<4'` puts the other major version there.
OLD = Path(os.environ.get("LANGFUSE3_PATH", ROOT / ".venv" / "langfuse3"))
HAS_OLD = OLD.is_dir()
UUID = "8f14e45f-ceea-467f-a0e6-1f4b5c2d9e3a"
LINKS = {"langfuse_url": "https://lf.example", "langfuse_project": "p", "grafana_url": "https://g.example"}


@pytest.fixture
async def langfuse() -> AsyncIterator[LangfuseDouble]:
    double = LangfuseDouble()
    await double.start()
    yield double
    await double.stop()


async def run(langfuse: LangfuseDouble, version: str, mode: str) -> dict[str, Any]:
    if version == "3" and not HAS_OLD:
        pytest.skip(f"no Langfuse SDK 3 in {OLD}")
    path = os.pathsep.join([str(OLD), str(ROOT)] if version == "3" else [str(ROOT)])
    command = [sys.executable, "-m", "tests.sdk.langfuse_app", langfuse.host, mode]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert found["version"].split(".")[0] == version
    return found


@pytest.mark.parametrize("version", ["3", "5"])
async def test_under_observe_in_either_nesting(langfuse: LangfuseDouble, version: str) -> None:
    """One trace; each inside the other as written; Langfuse gets both kinds of span."""
    found = await run(langfuse, version, "shared")
    spans = {span["name"]: span for span in found["spans"]}
    assert {span["trace"] for span in found["spans"]} == {found["langfuse_id"]}
    assert spans["execute_tool inner"]["parent"] == spans["outer_observe"]["id"]
    assert spans["inner_observe"]["parent"] == spans["execute_tool outer"]["id"]
    assert spans["outer_observe"]["parent"] == spans["execute_tool outer"]["parent"] == spans["agent"]["id"]
    assert {span.name for span in langfuse.spans.values()} == set(spans)
    tool = next(span for span in langfuse.spans.values() if span.name == "execute_tool inner")
    assert tool.attributes["langfuse.observation.metadata.tempo_span_id"] == spans["execute_tool inner"]["id"]
    assert set(langfuse.arrivals.values()) == {1}


@pytest.mark.parametrize("version", ["3", "5"])
async def test_an_isolated_langfuse_provider(langfuse: LangfuseDouble, version: str) -> None:
    """The ids differ: from the moment they are correlated, spans that end carry the other one, and both pages are known."""
    found = await run(langfuse, version, "isolated")
    spans = {span["name"]: span for span in found["spans"]}
    assert found["langfuse_id"] != found["otel_id"] == spans["POST /ask"]["trace"]
    assert spans["after"]["langfuse_id"] == spans["POST /ask"]["langfuse_id"] == found["langfuse_id"]
    assert spans["before"]["langfuse_id"] is None
    assert spans["POST /ask"]["events"] == ["Correlated with Langfuse"]
    assert found["urls"][0] == f"https://lf.example/project/p/traces/{found['langfuse_id']}"
    assert found["otel_id"] in found["urls"][1]


def test_the_same_id() -> None:
    """Said all the same: the event is there, and the spans of the trace carry it."""
    app = App(links=LINKS)
    with app.tracer.start_as_current_span("GET") as span:
        same = trace.format_trace_id(span.get_span_context().trace_id)
        assert correlate_traces(same, same).langfuse_url.endswith(same)
        with app.tracer.start_as_current_span("inner"):
            pass
    assert app.spans["inner"].attributes["langfuse.trace_id"] == same
    assert [event.name for event in app.spans["GET"].events] == ["Correlated with Langfuse"]


def test_a_uuid_of_langfuse_2() -> None:
    """Kept as it is: that is how the server stores it."""
    app = App(links=LINKS)
    with app.agent():
        app.chat()
        assert correlate_traces(UUID).langfuse_url == f"https://lf.example/project/p/traces/{UUID}"
    assert app.spans["invoke_agent planner"].attributes["langfuse.trace_id"] == UUID
    app.loop()
    assert app.findings


def test_outside_of_any_span() -> None:
    """By both ids, in whatever spelling: spans of that trace that come later carry it."""
    app = App(links=LINKS)
    with app.agent() as span:
        trace_id = span.get_span_context().trace_id
    urls = correlate_traces("lf-7", f"{trace_id:032X}")
    assert f"{trace_id:032x}" in urls.tempo_url
    with trace.use_span(trace.NonRecordingSpan(span.get_span_context())):
        app.chat()
    assert app.spans["chat gpt-4o"].attributes["langfuse.trace_id"] == "lf-7"
    assert correlate_traces("lf-7").tempo_url == ""


def test_an_id_on_the_last_span_only() -> None:
    """What comes after it, and every finding of the trace, knows it."""
    app = App(links=LINKS)
    with app.agent():
        app.tool()
        app.tool()
        with app.tracer.start_as_current_span("late", attributes={"langfuse.trace_id": "lf-9"}):
            pass
        app.tool()
    assert app.spans["invoke_agent planner"].attributes["langfuse.trace_id"] == "lf-9"
    assert [finding.langfuse_trace_id for finding in app.findings] == ["lf-9"]


@pytest.mark.parametrize("bad", ["", "\n", "x" * 500, None, 7])
def test_ids_that_are_none(bad: Any) -> None:
    """Nothing raises, nothing is written for what cannot be an id."""
    app = App(links=LINKS)
    with app.tracer.start_as_current_span("GET"):
        correlate_traces(bad, bad if isinstance(bad, str) else "zz")
    assert "langfuse.trace_id" not in app.spans["GET"].attributes
