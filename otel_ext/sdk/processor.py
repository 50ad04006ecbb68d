"""The SpanProcessor: links and baggage onto spans as they start, verdicts as they end, never an exception, never a wait."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from opentelemetry import baggage as baggage_api
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import Context, get_current
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from otel_ext import semconv
from otel_ext.correlate import urls
from otel_ext.detectors.skipping import EXPECTED
from otel_ext.dialects import KEYS, RULES
from otel_ext.logs import log_finding
from otel_ext.model import Finding, StepKind
from otel_ext.rules import Rule
from otel_ext.sdk import calls, scopes, spans
from otel_ext.sdk.judging import CLEAN, Judged, Judging
from otel_ext.sdk.reading import Reader, Reading, answered, asked, reading_of
from otel_ext.sdk.stats import Stats
from otel_ext.settings import Settings
from otel_ext.tracebook import Trace
from otel_ext.wire import Codec, make_codec
from otel_ext.wire.table import NAME_OTHER, Limits

# Baggage entries that land on spans by themselves: the id by which another service's Langfuse knows this trace.
LANGFUSE_BAGGAGE: Final = "langfuse_trace_id"
ENDED_MAX: Final = 10_000  # spans between `_on_ending` and `on_end`
SETTLED_MAX: Final = 10_000
BAGGAGE_VALUE_MAX: Final = 1_024  # characters of an entry that is put on a span

_OTHER: Final = int(StepKind.OTHER)
_SHORT: Final = {int(StepKind.LLM): semconv.LANGFUSE_MODEL, int(StepKind.TOOL): semconv.MCP_TOOL}
_AGENT: Final = int(StepKind.AGENT)
# Found once by looking: the key under which the API keeps baggage in a context is not public, and asking the API costs a copy a span.
_BAGGAGE_KEY: Final = next(iter(baggage_api.set_baggage("key", "value", Context())))
# A SpanContext is a tuple; its properties are a call each.
_TRACE: Final = 0
_SPAN: Final = 1
_LANGFUSE_TRACE_ID: Final = semconv.LANGFUSE_TRACE_ID
_pending: Final = calls.pending
_live: Final = scopes.live
_put_missing: Final = spans.put_missing
_NO_FINDINGS: Final[tuple[Finding, ...]] = ()


class Sink(Protocol):
    """Where ended spans and findings go besides the application's own exporters."""

    def started(self, span: Any) -> None:
        """A span started: a look at who else exports it."""
        ...

    def put(self, span: ReadableSpan, findings: Sequence[Finding]) -> None:
        """Queue a span with the findings about it; drops and counts where there is no room."""
        ...

    def tell(self, findings: Sequence[Finding]) -> None:
        """Queue findings about spans that have left."""
        ...

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything queued so far was delivered; False when it was not."""
        ...

    def shutdown(self) -> None:
        """Deliver what is queued within its bound, then stop. Idempotent."""
        ...

    def after_fork(self) -> None:
        """In a child process: what was queued is the parent's to send."""
        ...


class Processor(SpanProcessor):
    """The processor over ready settings. `otel_ext.AgentSpanProcessor` builds one, with its sink."""

    def __init__(
        self,
        settings: Settings,
        *,
        on_finding: Callable[[Finding], object] | None = None,
        baggage: Sequence[str] = (),
        sink: Sink | None = None,
        stats: Stats | None = None,
        codec: Codec | None = None,
        rules: Sequence[Rule] = (),
    ) -> None:
        self.settings = settings
        self.stats = stats or Stats()
        self.codec = codec or make_codec(KEYS, RULES, Limits(names_max=settings.traces.max_names))
        self.reader = Reader(self.codec)
        self._judging = Judging(settings, self.codec, rules)
        # Once a span: no property, and no call in between.
        self._trace = self._judging.trace
        self._judge = self._judging.judge
        self._single = self.reader.single
        self._on_finding = on_finding
        self._baggage = frozenset(baggage)
        self._sink = sink
        self._page = urls.langfuse_template(settings.links)
        self._names: dict[int, str] = {}
        self._ended: dict[int, Sequence[Finding]] = {}
        self._settled: dict[tuple[bytes, int], None] = {}
        self._open = True
        scopes.sources.add(self)
        if hasattr(os, "register_at_fork"):
            _register_fork(self)

    # -- what the SDK calls

    def on_start(self, span: Any, parent_context: Context | None = None) -> None:
        """Put links and allowed baggage onto the span."""
        if not self._open:
            return
        try:
            if _live:
                scopes.started(self, span)
            context: Any = get_current() if parent_context is None else parent_context
            trace_id = span._context[_TRACE].to_bytes(16, "big")
            if _BAGGAGE_KEY in context:
                self._carry(span, trace_id, context[_BAGGAGE_KEY])
            trace = self._trace(trace_id)
            if trace is not None and (trace.steps or trace.langfuse_id):
                _put_missing(span, _LANGFUSE_TRACE_ID, trace.langfuse_id or trace_id.hex())
            if self._sink is not None:
                self._sink.started(span)
        except Exception as error:
            self.stats.swallow("on_start", error)

    def _on_ending(self, span: Any) -> None:
        """Judge, and put findings onto the span, before any processor is given the ended one."""
        if not self._open:
            return
        span_id = span._context[_SPAN]
        try:
            found = self._end(span, span_id)
        except Exception as error:
            found = _NO_FINDINGS
            self.stats.swallow("on_ending", error)
        ended = self._ended
        ended[span_id] = found
        if len(ended) > ENDED_MAX:
            ended.pop(next(iter(ended)), None)

    def on_end(self, span: Any) -> None:
        """Tell of findings in the caller's thread, and hand the span to the background thread where there is one."""
        if not self._open:
            return
        try:
            span_id = span._context[_SPAN]
            found = self._ended.pop(span_id, None)
            if found is None:  # an SDK, or a wrapper around us, without the hook
                found = self._end(span, span_id)
            if self._sink is not None and span._context.trace_flags.sampled:
                self._sink.put(span, found)
            if found:
                for finding in found:
                    self._tell(finding)
        except Exception as error:
            self.stats.swallow("on_end", error)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Deliver everything that ended so far; False when that took longer than *timeout_millis*."""
        try:
            return self._sink is None or self._sink.flush(timeout_millis / 1_000)
        except Exception as error:
            self.stats.swallow("force_flush", error)
            return False

    def shutdown(self) -> None:
        """Deliver what is queued within `shutdown_timeout` and stop; spans that end later pass by. May be called again."""
        was_open, self._open = self._open, False
        scopes.sources.discard(self)
        if not was_open or self._sink is None:
            return
        try:
            self._sink.shutdown()
        except Exception as error:
            self.stats.swallow("shutdown", error)

    def after_fork(self) -> None:
        """In a child process: fresh locks, an empty queue, a new thread once it is needed."""
        self._ended.clear()
        self._judging.after_fork()
        self._trace = self._judging.trace
        if self._sink is not None:
            self._sink.after_fork()

    # -- start

    def _carry(self, span: Any, trace_id: bytes, carried: Mapping[str, object]) -> None:
        """Baggage onto the span: the Langfuse id, and what the allow-list names."""
        there = spans.attributes_of(span)
        langfuse_id = carried.get(LANGFUSE_BAGGAGE)
        if isinstance(langfuse_id, str) and semconv.LANGFUSE_TRACE_ID not in there and self._learn(trace_id, langfuse_id):
            spans.put(span, semconv.LANGFUSE_TRACE_ID, langfuse_id)
        for key in self._baggage.intersection(carried):
            value = carried[key]
            if isinstance(value, str) and key not in there:
                spans.put(span, key, value[:BAGGAGE_VALUE_MAX])

    # -- end

    def _end(self, span: Any, span_id: int) -> Sequence[Finding]:
        """Judge the span, write on it what was found, return what must be told."""
        stats = self.stats
        stats.spans += 1
        trace_id = span._context[_TRACE].to_bytes(16, "big")
        held = span._attributes
        # Most spans keep them like this; then they are also written without a call, below.
        plain = type(held) is BoundedAttributes and held.max_value_len is None
        attributes = held._dict if plain else spans.attributes_of(span)
        trace = self._trace(trace_id)
        langfuse_id = attributes.get(_LANGFUSE_TRACE_ID)
        if langfuse_id is not None and (trace is None or langfuse_id != (trace.langfuse_id or trace_id.hex())):
            self._learn(trace_id, langfuse_id)
        # Answers only tell of calls that were asked for before: without any, a long conversation need not be read again.
        known = calls.with_call(attributes, span_id) if _pending else attributes
        single = self._single(span, span_id, known, trace is not None and trace.requests is not None)
        if single is None:
            if trace is not None and (trace.steps or trace.langfuse_id):
                self._identify(span, trace, trace_id, _OTHER)
            return _NO_FINDINGS
        stats.steps += 1
        kind, name, packed, _, _, requests, answers, _, _, _ = single
        judged = self._judge(
            trace_id, span_id, packed, asked(requests, packed) if requests else (), answered(answers) if answers else (), single
        )
        if langfuse_id is None or self._page:
            trace = trace or self._trace(trace_id)
            if trace is not None:
                self._identify(span, trace, trace_id, kind)
        key = _SHORT.get(kind)
        if key is not None and name > NAME_OTHER and key not in attributes:
            text = self._names.get(name) or self._learn_name(name)
            if plain and (held.maxlen is None or len(attributes) < held.maxlen):
                attributes[key] = text
            else:
                spans.put(span, key, text)
        if judged is CLEAN and not _live:
            return _NO_FINDINGS
        return self._found(span, trace_id, span_id, reading_of(single), judged)

    def _learn(self, trace_id: bytes, langfuse_id: object) -> bool:
        """By which id Langfuse knows the trace; False where that cannot be one."""
        trace = self._trace(trace_id)
        if trace is not None and langfuse_id == (trace.langfuse_id or (trace.steps and trace_id.hex())):
            return True
        return isinstance(langfuse_id, str) and self._judging.learn_link(trace_id, langfuse_id)

    def _found(self, span: Any, trace_id: bytes, span_id: int, reading: Reading, judged: Judged) -> Sequence[Finding]:
        here = [finding for finding in judged.here if not self._was_told(finding, trace_id, span_id)]
        late = list(judged.late)
        if _live:
            here += self._ask_blocks(trace_id, span_id, reading, [*here, *late])
        if here:
            spans.mark(span, here)
        if late and self._sink is not None:
            self._sink.tell(late)
        return [*here, *late]

    def _ask_blocks(self, trace_id: bytes, span_id: int, reading: Reading, found: Sequence[Finding]) -> list[Finding]:
        """What the open blocks of the span find that the processor did not."""
        more: list[Finding] = []
        known = {(finding.rule, finding.span_id) for finding in found}
        for block in scopes.owners(int.from_bytes(trace_id, "big"), span_id):
            if found:
                block.heard(found)
            for finding in block.ended(self, trace_id, span_id, reading):
                if (finding.rule, finding.span_id) not in known:
                    known.add((finding.rule, finding.span_id))
                    more.append(finding)
        return more

    def _identify(self, span: Any, trace: Trace, trace_id: bytes, kind: int) -> None:
        """The trace's id in Langfuse; its page on local roots and agents."""
        langfuse_id = trace.langfuse_id or trace_id.hex()
        spans.put_missing(span, semconv.LANGFUSE_TRACE_ID, langfuse_id)
        if self._page and (kind == _AGENT or span._parent is None or span._parent.is_remote):
            langfuse_id = str(spans.attributes_of(span)[semconv.LANGFUSE_TRACE_ID])  # the application's own, where it set one
            spans.put_missing(span, semconv.LANGFUSE_TRACE_URL, urls.fill(self._page, langfuse_id))

    def _learn_name(self, number: int) -> str:
        """The short name that queries use; one that did not fit the table of names would say nothing true."""
        name = self._names[number] = self.codec.name(number)
        return name

    # -- findings

    def report(self, finding: Finding) -> None:
        """Tell of a finding that is not about a span that just ended."""
        if self._sink is not None:
            self._sink.tell([finding])
        self._tell(finding)

    def correlate(self, trace_id: bytes, langfuse_id: str) -> None:
        """Learn the id by which Langfuse knows the trace."""
        self._learn(trace_id, langfuse_id)

    def langfuse_id(self, trace_id: int) -> str:
        """The id by which Langfuse knows the trace; "" while it is not known to be there."""
        known = self._trace(trace_id.to_bytes(16, "big"))
        if known is None:
            return ""
        return known.langfuse_id or (f"{trace_id:032x}" if known.steps else "")

    def settled(self, trace_id: bytes, span_id: int) -> None:
        """What this span was expected to call was told already: its end says nothing more of it."""
        self._settled[trace_id, span_id] = None
        if len(self._settled) > SETTLED_MAX:
            self._settled.pop(next(iter(self._settled)), None)

    def _was_told(self, finding: Finding, trace_id: bytes, span_id: int) -> bool:
        return finding.rule == EXPECTED and finding.evidence.get("expectation") == "require" and (trace_id, span_id) in self._settled

    def _tell(self, finding: Finding) -> None:
        self.stats.findings += 1
        log_finding(finding)
        if self._on_finding is None:
            return
        try:
            self._on_finding(finding)
        except Exception as error:
            self.stats.swallow("on_finding", error)


def _register_fork(processor: Processor) -> None:
    """A weak one: a processor that nobody holds any more is not kept for the sake of a fork."""
    method = weakref.WeakMethod(processor.after_fork)

    def after_fork() -> None:
        if found := method():
            found()

    os.register_at_fork(after_in_child=after_fork)
