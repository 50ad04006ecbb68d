"""The processor with exporters of its own: what arrives where, what is never sent twice, and how it ends."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from langfuse._client.span_processor import LangfuseSpanProcessor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from tests.doubles.langfuse import LangfuseDouble
from tests.doubles.tempo import TempoDouble
from tests.sdk.kit import App


@pytest.fixture
async def tempo() -> AsyncIterator[TempoDouble]:
    double = TempoDouble()
    await double.start()
    yield double
    await double.stop()


@pytest.fixture
async def langfuse() -> AsyncIterator[LangfuseDouble]:
    double = LangfuseDouble()
    await double.start()
    yield double
    await double.stop()


def to(tempo: TempoDouble | None = None, langfuse: LangfuseDouble | None = None, protocol: str = "http") -> dict[str, Any]:
    sections: dict[str, Any] = {}
    if tempo:
        sections["tempo"] = {"endpoint": tempo.http_endpoint if protocol == "http" else tempo.grpc_endpoint, "protocol": protocol}
    if langfuse:
        sections["langfuse"] = {"host": langfuse.host, "public_key": langfuse.public_key, "secret_key": langfuse.secret_key}
    return sections


async def flushed(app: App) -> bool:
    return await asyncio.to_thread(app.processor.force_flush, 10_000)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
async def test_both_trees_and_scores_arrive(tempo: TempoDouble, langfuse: LangfuseDouble, protocol: str) -> None:
    """Tempo has the whole tree with links and findings; Langfuse the LLM tree, with level and score."""
    app = App(exporters=to(tempo, langfuse, protocol), links={"grafana_url": "https://grafana.example"})
    with app.tracer.start_as_current_span("POST /ask"):
        app.loop(3)
    assert await flushed(app)
    assert Counter(span.name for span in tempo.spans) == {
        "POST /ask": 1,
        "invoke_agent planner": 1,
        "chat gpt-4o": 3,
        "execute_tool search": 3,
    }
    assert Counter(span.name for span in langfuse.spans.values()) == {"invoke_agent planner": 1, "chat gpt-4o": 3, "execute_tool search": 3}
    marked = [span for span in tempo.spans if any(pair.key == "otel_ext.findings" for pair in span.attributes)]
    assert [(span.name, len(span.events)) for span in marked] == [("execute_tool search", 1)]
    observed = [span for span in langfuse.spans.values() if span.attributes.get("langfuse.observation.level") == "ERROR"]
    assert [span.span_id for span in observed] == [marked[0].span_id.hex()]
    assert [score["name"] for score in langfuse.scores.values()] == ["otel_ext.loop"]
    root = next(span for span in langfuse.spans.values() if span.name == "invoke_agent planner")
    assert "grafana.example" in root.attributes["langfuse.trace.metadata.tempo_url"]
    await asyncio.to_thread(app.processor.shutdown)


@pytest.mark.parametrize("first", [True, False])
async def test_beside_batch_and_langfuse_processors(tempo: TempoDouble, langfuse: LangfuseDouble, first: bool) -> None:
    """Without exporters of ours the others send everything, once, with what we add."""
    others = (
        BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{tempo.http_endpoint}/v1/traces")),
        LangfuseSpanProcessor(public_key=langfuse.public_key, secret_key=langfuse.secret_key, base_url=langfuse.host),
    )
    app = App(*others, first=first)
    app.loop(3)
    await asyncio.to_thread(app.provider.force_flush)
    assert set(tempo.arrivals().values()) == {1}
    assert len(tempo.arrivals()) == 7
    assert set(langfuse.arrivals.values()) == {1}
    assert len(langfuse.arrivals) == 7
    assert sum(any(pair.key == "otel_ext.findings" for pair in span.attributes) for span in tempo.spans) == 1
    assert sum("otel_ext.findings" in span.attributes for span in langfuse.spans.values()) == 1
    await asyncio.to_thread(app.provider.shutdown)


@pytest.mark.parametrize("first", [True, False])
async def test_one_place_gets_a_span_once(tempo: TempoDouble, langfuse: LangfuseDouble, first: bool) -> None:
    """Where another processor sends to our destination already, ours leaves the spans to it; scores are still sent."""
    others = (
        BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{tempo.http_endpoint.replace('127.0.0.1', 'localhost')}/v1/traces")),
        LangfuseSpanProcessor(public_key=langfuse.public_key, secret_key=langfuse.secret_key, base_url=langfuse.host),
    )
    app = App(*others, first=first, exporters=to(tempo, langfuse))
    app.loop(3)
    await asyncio.to_thread(app.provider.force_flush)
    assert await flushed(app)
    assert set(tempo.arrivals().values()) == {1}
    assert set(langfuse.arrivals.values()) == {1}
    assert len(langfuse.scores) == 1
    await asyncio.to_thread(app.provider.shutdown)


async def test_an_outage_blocks_nobody(tempo: TempoDouble) -> None:
    """The application does not wait for a dead destination; what waits arrives when it is back."""
    await tempo.stop()
    app = App(exporters=to(tempo), shutdown_timeout="5s")
    started = time.perf_counter()
    app.loop(50)
    assert time.perf_counter() - started < 1
    assert not await asyncio.to_thread(app.processor.force_flush, 300)
    await tempo.start()
    assert await flushed(app)
    assert len(tempo.arrivals()) == 101
    await asyncio.to_thread(app.processor.shutdown)
    assert app.processor.stats.dropped == {}


async def test_the_queue_is_bounded_and_counted(tempo: TempoDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit is dropped and counted, by reason."""
    monkeypatch.setattr("otel_ext.fanout.QUEUE_SPANS_MAX", 10)
    await tempo.stop()
    app = App(exporters={"tempo": {**to(tempo)["tempo"], "queue_batches": 1}}, shutdown_timeout="100ms")
    app.loop(100)
    stats = app.processor.stats
    assert stats.dropped["queue full"] > 0
    assert stats.dropped["queue full"] + stats.queued == 201
    await asyncio.to_thread(app.processor.shutdown)
    assert sum(stats.dropped.values()) == 201


async def test_shutdown_during_traffic(tempo: TempoDouble) -> None:
    """Every span that ended before it arrives; the others are counted; no thread raises."""
    app = App(exporters=to(tempo))
    stop = asyncio.Event()

    def traffic() -> int:
        made = 0
        while not stop.is_set():
            app.loop(2)
            made += 5
        return made

    running = [asyncio.create_task(asyncio.to_thread(traffic)) for _ in range(3)]
    await asyncio.sleep(0.3)
    await asyncio.to_thread(app.processor.shutdown)
    stop.set()
    await asyncio.gather(*running)
    stats = app.processor.stats
    assert len(tempo.arrivals()) == stats.queued - stats.dropped.get("background thread ended", 0)
    assert set(tempo.arrivals().values()) == {1}
    assert stats.swallowed == {}


SCRIPT = """
    import os, sys
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from otel_ext import AgentSpanProcessor
    provider = TracerProvider()
    processor = AgentSpanProcessor(exporters={"tempo": {"endpoint": sys.argv[1], "protocol": sys.argv[2]}})
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("t")
    def step(name):
        tracer.start_span(name, attributes={"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name}).end()
"""


async def run(body: str, *arguments: str, timeout_s: float = 60) -> str:
    script = textwrap.dedent(SCRIPT) + textwrap.dedent(body)
    environ = {**os.environ, "PYTHONWARNINGS": "error::ResourceWarning"}
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=timeout_s, env=environ
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


@pytest.mark.parametrize("protocol", ["http", "grpc"])
async def test_at_interpreter_exit_everything_arrives(tempo: TempoDouble, protocol: str) -> None:
    """A script that ends at once loses nothing: also where a name has to be resolved after the executors are gone."""
    endpoint = (tempo.http_endpoint if protocol == "http" else tempo.grpc_endpoint).replace("127.0.0.1", "localhost")
    await run("step('a'); step('b')", endpoint, protocol)
    assert sorted(span.name for span in tempo.spans) == ["a", "b"]


async def test_a_forked_worker_sends_its_own_spans(tempo: TempoDouble) -> None:
    """As gunicorn's prefork does it: spans before the fork are the parent's, spans after it each process's own, all once."""
    body = """
    step('before')
    pids = []
    for number in range(3):
        pid = os.fork()
        if pid == 0:
            step(f'child {number}')
            ok = processor.force_flush(10_000)
            processor.shutdown()
            os._exit(0 if ok else 3)
        pids.append(pid)
    step('after')
    print([os.waitpid(pid, 0)[1] for pid in pids])
    """
    assert await run(body, tempo.http_endpoint, "http") == "[0, 0, 0]\n"
    assert sorted(span.name for span in tempo.spans) == ["after", "before", "child 0", "child 1", "child 2"]
    assert set(tempo.arrivals().values()) == {1}


async def test_a_fork_while_other_threads_judge(tempo: TempoDouble) -> None:
    """The lock that another thread holds at the moment of the fork is not held in the child."""
    body = """
    import threading
    stop = threading.Event()
    def work():
        while not stop.is_set(): step('x')
    threads = [threading.Thread(target=work) for _ in range(4)]
    [t.start() for t in threads]
    codes = []
    for _ in range(20):
        pid = os.fork()
        if pid == 0:
            step('child'); os._exit(0)
        codes.append(os.waitpid(pid, 0)[1])
    stop.set(); [t.join() for t in threads]
    print(set(codes), dict(processor.stats.swallowed))
    """
    assert await run(body, tempo.http_endpoint, "http") == "{0} {}\n"


def test_a_sidecar_loads_nothing_of_the_sdk() -> None:
    """`import otel_ext` is light, and serving needs no SpanProcessor."""
    code = "import sys, otel_ext, otel_ext.app; assert not [m for m in sys.modules if m.startswith('opentelemetry.sdk')]"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr == ""
