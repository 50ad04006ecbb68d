"""AgentSpanProcessor on the real SDK: what lands on spans, who hears of findings and when."""

from __future__ import annotations

import asyncio
import gc
import threading
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import baggage, trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Decision, Sampler, SamplingResult

from otel_ext import AgentSpanProcessor, Finding, Severity
from otel_ext.errors import ConfigError
from otel_ext.sdk import spans
from tests.sdk.kit import App

LINKS = {"langfuse_url": "https://langfuse.example", "langfuse_project": "p1"}


def test_links_are_on_the_spans() -> None:
    """From the first step on every span of the trace has its Langfuse id; model and tool have the short names; roots have the page."""
    app = App(links=LINKS)
    with app.agent():
        app.chat()
        app.tool()
        with app.tracer.start_as_current_span("GET"):
            pass
    trace_id = trace.format_trace_id(app.spans["GET"].context.trace_id)
    for span in app.spans.values():
        assert span.attributes["langfuse.trace_id"] == trace_id
    assert app.spans["chat gpt-4o"].attributes["langfuse.model"] == "gpt-4o"
    assert app.spans["execute_tool search"].attributes["mcp.tool"] == "search"
    assert app.spans["invoke_agent planner"].attributes["langfuse.trace_url"] == f"https://langfuse.example/project/p1/traces/{trace_id}"
    assert "langfuse.trace_url" not in app.spans["GET"].attributes


def test_a_trace_without_agent_steps_gains_nothing() -> None:
    """Plain web traffic is left as it is."""
    app = App(links=LINKS)
    with app.tracer.start_as_current_span("GET", attributes={"http.request.method": "GET"}):
        pass
    assert dict(app.spans["GET"].attributes) == {"http.request.method": "GET"}


def test_what_the_application_set_stays() -> None:
    """No key of ours overwrites one that is there."""
    app = App(links=LINKS)
    with app.agent():
        app.chat(**{"langfuse.model": "mine", "langfuse.trace_id": "abc"})
    assert app.spans["chat gpt-4o"].attributes["langfuse.model"] == "mine"
    assert app.spans["invoke_agent planner"].attributes["langfuse.trace_id"] == "abc"


@pytest.mark.parametrize("first", [True, False])
def test_a_finding_is_on_the_span_at_fault(first: bool) -> None:
    """Whatever the order of processors, what the application's exporter gets has the finding."""
    app = App(first=first)
    app.loop()
    marked = [span for span in app.memory.get_finished_spans() if "otel_ext.findings" in span.attributes]
    assert [span.name for span in marked] == ["execute_tool search"]
    assert marked[0].attributes["otel_ext.findings"] == ("loop/identical_calls",)
    assert marked[0].attributes["otel_ext.severity"] == "critical"
    (event,) = marked[0].events
    assert (event.name, event.attributes["rule"], event.attributes["type"]) == ("otel_ext.finding", "loop/identical_calls", "loop")


def test_the_agent_hears_before_its_next_call() -> None:
    """on_finding runs in the agent's own thread, before the span's end returns."""
    heard: list[tuple[Finding, int]] = []
    app = App(on_finding=lambda finding: heard.append((finding, threading.get_ident())))
    with app.agent():
        for number in range(3):
            assert not heard, number
            app.tool()
        assert [(f.rule, f.agent, f.service, f.severity) for f, _ in heard] == [("loop/identical_calls", "", "shop", Severity.CRITICAL)]
    assert heard[0][1] == threading.get_ident()


def test_skipping_is_said_when_the_agent_ends() -> None:
    """Of a call that was asked for and not made, and of what the span's own expectation lacks."""
    app = App()
    with app.agent(**{"otel_ext.expected_tools": ["search"]}):
        app.chat(calls=(("c1", "lookup"),))
        app.chat("I looked it up.")
        assert not app.findings
    assert sorted(finding.rule for finding in app.findings) == ["tool_skipping/expected", "tool_skipping/requested_not_executed"]
    assert set(app.spans["invoke_agent planner"].attributes["otel_ext.findings"]) == {finding.rule for finding in app.findings}


def test_a_late_tool_takes_a_verdict_back() -> None:
    """A tool that ends after its agent, but ran inside, withdraws what was said."""
    app = App()
    with app.agent():
        app.chat(calls=(("c1", "lookup"),))
        late = app.tracer.start_span(
            "execute_tool lookup", attributes={"gen_ai.operation.name": "execute_tool", "gen_ai.tool.call.id": "c1"}
        )
        late.set_attributes({"gen_ai.tool.name": "lookup", "gen_ai.tool.call.result": "x"})
        app.chat("done")
    assert [finding.withdrawn for finding in app.findings] == [False]
    agent_end = app.spans["invoke_agent planner"].end_time
    assert agent_end
    late.end(end_time=agent_end - 1)
    assert [finding.withdrawn for finding in app.findings] == [False, True]


def test_a_healthy_run_says_nothing() -> None:
    """Asked, made, answered."""
    app = App()
    with app.agent():
        for number in range(5):
            app.chat(calls=((f"c{number}", "search"),))
            app.tool(arguments=f'{{"q": {number}}}', call=f"c{number}")
        app.chat("done")
    assert app.findings == []
    assert app.processor.stats.swallowed == {}
    assert app.processor.stats.steps == 12


def test_baggage_on_the_allow_list_lands_on_spans() -> None:
    """The Langfuse id always, else only what was named."""
    app = App(baggage=("user.id",))
    context = baggage.set_baggage("langfuse_trace_id", "f" * 32)
    context = baggage.set_baggage("user.id", "u1", context)
    token = attach(baggage.set_baggage("secret", "s", context))
    try:
        with app.tracer.start_as_current_span("GET"):
            pass
        app.chat()
    finally:
        detach(token)
    assert dict(app.spans["GET"].attributes) == {"langfuse.trace_id": "f" * 32, "user.id": "u1"}
    assert app.spans["chat gpt-4o"].attributes["langfuse.trace_id"] == "f" * 32


def test_without_the_ending_hook_findings_come_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """An SDK, or a wrapper around the processor, that knows no `_on_ending`: judged at the end, seen by the processors behind ours."""
    monkeypatch.setattr(AgentSpanProcessor, "_on_ending", lambda *_: None)
    app = App()
    app.loop()
    assert [finding.rule for finding in app.findings] == ["loop/identical_calls"]
    assert any("otel_ext.findings" in span.attributes for span in app.memory.get_finished_spans())
    assert spans.HAS_ENDING


def test_limits_of_the_span_hold() -> None:
    """A full span stays within its limit, and nothing raises."""
    memory, findings = InMemorySpanExporter(), list[Finding]()
    provider = TracerProvider(span_limits=SpanLimits(max_span_attributes=3, max_span_attribute_length=8), shutdown_on_exit=False)
    provider.add_span_processor(AgentSpanProcessor(environ={}, on_finding=findings.append))
    provider.add_span_processor(SimpleSpanProcessor(memory))
    for _ in range(3):
        given = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search", "other": 1}
        provider.get_tracer("t").start_span("execute_tool search", context=Context(), attributes=given).end()
    assert all(len(span.attributes) == 3 for span in memory.get_finished_spans())


class RecordOnly(Sampler):
    """Records, and does not sample."""

    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
        return SamplingResult(Decision.RECORD_ONLY)

    def get_description(self) -> str:
        return "record only"


def test_spans_that_are_not_sampled() -> None:
    """Recorded ones are judged; those that do not record cost nothing and break nothing."""
    app = App(sampler=RecordOnly())
    app.loop()
    assert [finding.rule for finding in app.findings] == ["loop/identical_calls"]
    silent = App(sampler=ALWAYS_OFF)
    silent.loop()
    assert silent.findings == []
    assert silent.processor.stats.spans == 0


def test_a_callback_that_raises_is_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """The application's spans end as ever."""

    def broken(finding: Finding) -> None:
        raise RuntimeError("no")

    app = App(on_finding=broken)
    for _ in range(3):
        app.loop()
    assert app.processor.stats.swallowed == {"on_finding": 3}
    assert sum("on_finding failed" in record.getMessage() for record in caplog.records) == 1


def test_broken_attributes_do_not_break_the_application() -> None:
    """Values of any type, a name that is no text, a surrogate: the span ends."""
    app = App()
    span = app.tracer.start_span("chat \ud800", attributes={"gen_ai.operation.name": "chat", "gen_ai.output.messages": "\ud800["})
    span._attributes._dict.update({"gen_ai.tool.name": object(), "gen_ai.request.model": {"a": {"b": [None, b"x", 2**70]}}})  # type: ignore[attr-defined]
    span.end()
    with app.tracer.start_as_current_span("execute_tool ", attributes={"gen_ai.operation.name": ["execute_tool"]}):
        pass
    assert app.processor.stats.swallowed == {}


def test_a_span_that_a_finalizer_ends_inside_of_our_lock() -> None:
    """The lock does not wait for itself."""
    app = App()
    late: list[Any] = []
    original = app.processor._judging.verdicts.take_next

    def reentrant(*args: Any) -> bool:
        if not late:
            late.append(1)
            app.tool("inner")
        return original(*args)

    object.__setattr__(app.processor._judging, "verdicts", _Proxy(app.processor._judging.verdicts, reentrant))
    app.tool("outer")
    assert app.processor.stats.swallowed == {}
    assert app.processor.stats.steps == 2


class _Proxy:
    def __init__(self, inner: Any, take_next: Any) -> None:
        self._inner, self.take_next = inner, take_next

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def test_many_threads() -> None:
    """Each thread's agent loops in its own trace: each is told once, and counted right."""
    app = App()

    def work() -> None:
        for _ in range(20):
            token = attach(Context())
            app.loop(3)
            detach(token)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(app.findings) == 160
    assert len({finding.trace_id for finding in app.findings}) == 160
    assert app.processor.stats.swallowed == {}
    assert app.processor.stats.spans == 8 * 20 * 7


async def test_many_tasks() -> None:
    """Tasks under one loop: findings come inside the task that looped."""
    heard: list[tuple[str, str]] = []
    app = App(on_finding=lambda finding: heard.append((asyncio.current_task().get_name(), finding.agent)))  # type: ignore[union-attr]

    async def work(number: int) -> None:
        with app.agent(f"a{number}"):
            for _ in range(3):
                await asyncio.sleep(0)
                app.tool()

    await asyncio.gather(*(asyncio.create_task(work(number), name=f"t{number}") for number in range(20)))
    assert sorted(name for name, _ in heard) == sorted(f"t{number}" for number in range(20))


def test_two_processors_do_not_disturb_each_other() -> None:
    """The finding is on the span once; both tell of it."""
    more: list[Finding] = []
    app = App(AgentSpanProcessor(environ={}, on_finding=more.append))
    app.loop()
    assert len(app.findings) == len(more) == 1
    marked = [span for span in app.memory.get_finished_spans() if "otel_ext.findings" in span.attributes]
    assert marked[0].attributes["otel_ext.findings"] == ("loop/identical_calls",)


def test_after_shutdown_spans_pass_by() -> None:
    """Shut down twice, before and during traffic: nothing raises, nothing is judged any more."""
    app = App()
    with app.agent():
        app.processor.shutdown()
        app.processor.shutdown()
        app.tool()
    assert app.processor.force_flush()
    assert app.processor.stats.spans == 0
    AgentSpanProcessor(environ={}).shutdown()


def test_a_processor_is_not_kept_alive() -> None:
    """Neither by the fork hook nor by the registry of processors."""
    import weakref

    processor = AgentSpanProcessor(environ={})
    seen = weakref.ref(processor)
    del processor
    gc.collect()
    assert seen() is None


def test_configuration_from_a_file_and_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sidecar's file; arguments in its shape; variables alone; and faults with their path."""
    file = tmp_path / "otel-ext.yaml"
    file.write_text("detect: {loop: {identical_calls: 5}}\nreceivers: {grpc: null}\n")
    assert AgentSpanProcessor.from_config(file).settings.detect.loop.identical_calls == 5
    monkeypatch.setenv("OTEL_EXT_DETECT__LOOP__IDENTICAL_CALLS", "7")
    assert AgentSpanProcessor().settings.detect.loop.identical_calls == 7
    assert AgentSpanProcessor(detect={"loop": {"cycle_period": 2}}).settings.detect.loop.cycle_period == 2
    with pytest.raises(ConfigError, match=r"detect\.lop: is not a setting"):
        AgentSpanProcessor(detect={"lop": {}}, environ={})
    with pytest.raises(ConfigError, match="cannot be read"):
        AgentSpanProcessor.from_config(tmp_path / "absent.yaml")
