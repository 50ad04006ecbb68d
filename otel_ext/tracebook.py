"""Open traces: what is remembered of each, compactly and within bounds.

A trace keeps its steps as packed rows (28 bytes each), sorted by what happened and not by what arrived, so that verdicts are a function of
the run and not of batching. No I/O, no clock: times come in.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from otel_ext.detectors.base import END, SPAN, Step
from otel_ext.detectors.runs import Request, Text
from otel_ext.model import Finding
from otel_ext.settings import Traces
from otel_ext.wire.table import STEP_STRUCT

ROW: Final = struct.Struct(STEP_STRUCT)
_KIND_AT: Final = 12  # of the kind in a packed row

LEARNED_MAX: Final = 10_000  # links that wait to be kept; of more, the oldest go

FindingKey = tuple[str, int]


class _Rare:
    """What few traces have, apart, so that the others do not pay for it."""

    __slots__ = ("evicted", "expected", "langfuse_id", "said")

    def __init__(self) -> None:
        self.evicted = False
        self.expected: dict[int, tuple[int, ...]] | None = None
        self.langfuse_id: str | None = None
        self.said: tuple[Text, ...] = ()


class Trace:
    """One open trace. Slots that most traces never fill stay None: a hundred thousand of these must fit."""

    __slots__ = ("_rare", "agent_end", "cost", "given", "models", "requests", "seen_ns", "steps", "tools")

    def __init__(self) -> None:
        self.steps = b""
        self.seen_ns = 0
        self.models = 0  # model calls so far
        self.cost = 0.0  # dollars of its model calls, as far as known
        self.agent_end = 0  # end of the agent run that ended last
        self.requests: dict[int, Request] | None = None
        self.given: dict[FindingKey, Finding] | None = None
        self.tools: frozenset[int] | None = None  # state-changing tools declared to its models; shared between traces
        self._rare: _Rare | None = None

    def _own_rare(self) -> _Rare:
        if self._rare is None:
            self._rare = _Rare()
        return self._rare

    @property
    def langfuse_id(self) -> str | None:
        """Where it is not the trace's own id."""
        return self._rare.langfuse_id if self._rare else None

    @langfuse_id.setter
    def langfuse_id(self, value: str | None) -> None:
        if value is not None or self._rare:
            self._own_rare().langfuse_id = value

    @property
    def expected(self) -> dict[int, tuple[int, ...]] | None:
        """Tools by agent span, where the span itself says them."""
        return self._rare.expected if self._rare else None

    @expected.setter
    def expected(self, value: dict[int, tuple[int, ...]] | None) -> None:
        self._own_rare().expected = value

    @property
    def evicted(self) -> bool:
        """Older steps were dropped."""
        return self._rare.evicted if self._rare else False

    @evicted.setter
    def evicted(self, value: bool) -> None:
        self._own_rare().evicted = value

    @property
    def said(self) -> tuple[Text, ...]:
        """What texts claimed to have been done, in order."""
        return self._rare.said if self._rare else ()

    @said.setter
    def said(self, value: tuple[Text, ...]) -> None:
        self._own_rare().said = value

    def rows(self) -> list[Step]:
        """All steps kept, in order."""
        return list(ROW.iter_unpack(self.steps))


def last_of(steps: bytes, kinds: Container[int], count: int) -> list[Step]:
    """The last *count* steps of *kinds* among packed rows, in order."""
    found: list[Step] = []
    for at in range(len(steps) - ROW.size, -1, -ROW.size):
        if steps[at + _KIND_AT] in kinds:
            found.append(ROW.unpack_from(steps, at))
            if len(found) == count:
                break
    found.reverse()
    return found


class Added(NamedTuple):
    """What adding steps to a trace came to: those not seen before, and whether any belongs before one that was."""

    fresh: list[Step]
    history: bytes  # the rows before, where `late` is False
    late: bool


class Verdict(NamedTuple):
    """What outlives a trace, so that a late span gets the same answer."""

    given: dict[FindingKey, Finding] | None
    langfuse_id: str | None


@dataclass(slots=True)
class TraceBook:
    """Bounded in traces, in steps a trace, and in age since the last span. What is evicted is counted by reason."""

    settings: Traces
    evicted: dict[str, int] = field(default_factory=lambda: {"idle": 0, "max_traces": 0, "max_steps": 0, "max_verdicts": 0})
    steps_bytes_max: int = field(init=False)
    lookup: Callable[[bytes], Trace | None] = field(init=False)  # `get`, for who calls it once a span
    learned: deque[tuple[bytes, str]] = field(default_factory=lambda: deque(maxlen=LEARNED_MAX))  # links, for whoever keeps them
    _open: dict[bytes, Trace] = field(default_factory=dict)  # the longest quiet first
    _verdicts: dict[bytes, Verdict] = field(default_factory=dict)
    _by_langfuse: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.lookup = self._open.get
        self.steps_bytes_max = self.settings.max_steps * ROW.size

    def __len__(self) -> int:
        return len(self._open)

    def get(self, trace_id: bytes) -> Trace | None:
        """The trace where it is open."""
        return self._open.get(trace_id)

    def knows(self, trace_id: bytes) -> bool:
        """The trace is open, or its verdict is remembered."""
        return trace_id in self._open or trace_id in self._verdicts

    def begin(self, trace_id: bytes, packed: bytes, models: int, agent_end: int, now_ns: int) -> Trace:
        """Open a trace that is not known with its first steps."""
        trace = Trace()
        trace.steps = packed
        trace.seen_ns = now_ns
        trace.models = models
        trace.agent_end = agent_end
        self._open[trace_id] = trace
        if len(self._open) > self.settings.max_traces:
            self._close(next(iter(self._open)), "max_traces")
        self.bound(trace)
        return trace

    def touch(self, trace_id: bytes, now_ns: int) -> Trace:
        """The trace, opened where it was not, and now the one seen last."""
        trace = self._open.pop(trace_id, None) or self._begin(trace_id)
        trace.seen_ns = now_ns
        self._open[trace_id] = trace
        if len(self._open) > self.settings.max_traces:
            self._close(next(iter(self._open)), "max_traces")
        return trace

    def _begin(self, trace_id: bytes) -> Trace:
        trace = Trace()
        if verdict := self._verdicts.pop(trace_id, None):
            trace.given, trace.langfuse_id = verdict
        return trace

    def expire(self, now_ns: int) -> None:
        """Close every trace without a span for `idle_timeout`."""
        oldest_ns = now_ns - self.settings.idle_timeout
        while self._open:
            trace_id, trace = next(iter(self._open.items()))
            if trace.seen_ns >= oldest_ns:
                break
            self._close(trace_id, "idle")

    def _close(self, trace_id: bytes, reason: str) -> None:
        trace = self._open.pop(trace_id)
        self.evicted[reason] += 1
        if trace.given or trace.langfuse_id:
            self._verdicts[trace_id] = Verdict(trace.given, trace.langfuse_id)
            if len(self._verdicts) > self.settings.max_verdicts:
                del self._verdicts[next(iter(self._verdicts))]
                self.evicted["max_verdicts"] += 1

    def link(self, trace_id: bytes, trace: Trace, langfuse_id: str) -> None:
        """Remember, both ways, that the trace goes by another id in Langfuse."""
        if langfuse_id == trace_id.hex() or trace.langfuse_id == langfuse_id:
            return
        trace.langfuse_id = langfuse_id
        self._by_langfuse[langfuse_id] = trace_id
        self.learned.append((trace_id, langfuse_id))
        if len(self._by_langfuse) > self.settings.max_verdicts:
            del self._by_langfuse[next(iter(self._by_langfuse))]

    def trace_of(self, langfuse_id: str) -> bytes | None:
        """The trace that goes by *langfuse_id* in Langfuse, where the two ids differ and it is remembered."""
        return self._by_langfuse.get(langfuse_id)

    def add(self, trace: Trace, steps: list[Step], packed: bytes, *, duplicates: bool) -> Added:
        """Add *steps*, sorted, and the same *packed*; a step seen before (the same span with the same end) is left out.

        *duplicates*: one of the steps stands among them twice.
        """
        history = trace.steps
        late = bool(history) and steps[0][:2] <= ROW.unpack_from(history, len(history) - ROW.size)[:2]
        if late or duplicates:
            return self._merge(trace, steps)
        trace.steps = history + packed
        self.bound(trace)
        return Added(steps, history, late=False)

    def append(self, trace: Trace, packed: bytes) -> None:
        """Add *packed* steps that come after all others."""
        trace.steps += packed
        if len(trace.steps) > self.steps_bytes_max:
            self.bound(trace)

    def _merge(self, trace: Trace, steps: list[Step]) -> Added:
        known = {(step[END], step[SPAN]): step for step in trace.rows()}
        fresh = list({(step[END], step[SPAN]): step for step in steps if (step[END], step[SPAN]) not in known}.values())
        history = trace.steps
        late = bool(known and fresh) and fresh[0][:2] < max(known)
        merged = sorted([*known.values(), *fresh])
        trace.steps = b"".join(ROW.pack(*step) for step in merged)
        self.bound(trace)
        return Added(fresh, history, late)

    def bound(self, trace: Trace) -> None:
        """Past the bound the older half goes: the rest still shows what repeats now."""
        if len(trace.steps) <= self.settings.max_steps * ROW.size:
            return
        keep = self.settings.max_steps // 2 * ROW.size
        self.evicted["max_steps"] += (len(trace.steps) - keep) // ROW.size
        trace.steps = trace.steps[-keep:]
        trace.evicted = True
