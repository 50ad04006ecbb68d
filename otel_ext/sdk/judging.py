"""The shared verdicts behind a lock, one span at a time, in the order in which spans really end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, NamedTuple

from otel_ext.arrivals import Arrival, Place
from otel_ext.detectors.runs import Request, Text
from otel_ext.dialects import Text as TextField
from otel_ext.hearing import Hearing
from otel_ext.ledger import Answer
from otel_ext.model import Finding, StepKind
from otel_ext.rules import Rule
from otel_ext.sdk.reading import LOW, Reading, reading_of
from otel_ext.settings import Settings
from otel_ext.tracebook import Trace
from otel_ext.verdicts import Verdicts
from otel_ext.wire import Codec
from otel_ext.wire.memory import Single, Tools

_AGENT: Final = int(StepKind.AGENT)
_TICK_EVERY: Final = 256  # steps between two looks for quiet traces


class Judged(NamedTuple):
    """Findings about the span that ended, and findings about spans that have left."""

    here: Sequence[Finding]
    late: Sequence[Finding]


CLEAN: Final = Judged((), ())


@dataclass(slots=True)
class _Ended:
    trace_id: bytes
    span_id: int
    reading: Reading


class Judging:
    """Verdicts for one processor. Any thread may call; a call from inside a call (a finalizer that ends a span) waits for its end."""

    def __init__(self, settings: Settings, codec: Codec, rules: Sequence[Rule] = ()) -> None:
        skipping = replace(settings.detect.tool_skipping, settle=0)  # nothing is on its way: what ended was seen
        self.settings = replace(settings, detect=replace(settings.detect, tool_skipping=skipping))
        self.verdicts = Verdicts(self.settings, codec.name, codec.intern, rules)
        self._hearing = Hearing(self.verdicts.judge.tools, codec.intern)
        # A finalizer may run wherever Python allocates, also in here, and end a span: a plain lock would wait for itself for ever.
        self._lock = threading.RLock()
        self._inside = False
        self._deferred: list[_Ended] = []
        self._steps = 0

    def after_fork(self) -> None:
        """In a child process: the lock may have been held by a thread that is not here."""
        self._lock = threading.RLock()
        if self._inside:
            self.verdicts = Verdicts(self.settings, self.verdicts.name, self.verdicts.intern, self.verdicts.rules)
            self._hearing = Hearing(self.verdicts.judge.tools, self.verdicts.intern)
        self._inside = False

    @property
    def trace(self) -> Callable[[bytes], Trace | None]:
        """What is known of a trace. To be read only."""
        return self.verdicts.book.lookup

    def learn_link(self, trace_id: bytes, langfuse_id: str) -> bool:
        """The trace is in Langfuse, under *langfuse_id*: also where that is its own id, which the steps of another service told."""
        with self._lock:
            now_ns = time.time_ns()
            if langfuse_id != trace_id.hex():
                return self.verdicts.learn_link(trace_id, langfuse_id, now_ns)
            known = self.verdicts.book.touch(trace_id, now_ns)
            known.langfuse_id = known.langfuse_id or langfuse_id
            return True

    def take(self, trace_id: bytes, span_id: int, reading: Reading) -> Judged:
        """Judge a step that ended."""
        return self.judge(trace_id, span_id, reading.packed, reading.requests, reading.answers, reading)

    def judge(
        self,
        trace_id: bytes,
        span_id: int,
        packed: bytes,
        requests: Sequence[Request],
        answers: Sequence[Answer],
        read: Reading | Single,
    ) -> Judged:
        """Like `take`, without the Reading where the codec gave the step: a quiet one needs none."""
        with self._lock:
            if self._inside:
                self._deferred.append(_Ended(trace_id, span_id, _reading(read)))
                return CLEAN
            self._inside = True
            try:
                now_ns = time.time_ns()
                more = read.more if isinstance(read, Reading) else read[9]
                if (more is None or not more[1]) and self.verdicts.take_next(trace_id, packed, requests, answers, now_ns):
                    if more is not None and more[2]:
                        self.verdicts.tell_of(trace_id, self._tools(more[2]))
                    judged = CLEAN
                else:
                    judged = self._take(trace_id, span_id, _reading(read), now_ns)
                return self._catch_up(judged) if self._deferred else judged
            finally:
                self._inside = False

    def _catch_up(self, judged: Judged) -> Judged:
        """What ended meanwhile."""
        while self._deferred:
            ended = self._deferred.pop()
            later = self._take(ended.trace_id, ended.span_id, ended.reading, time.time_ns())
            judged = Judged(judged.here, [*judged.late, *later.here, *later.late])
        return judged

    def _take(self, trace_id: bytes, span_id: int, reading: Reading, now_ns: int) -> Judged:
        verdicts = self.verdicts
        if reading.kind == _AGENT:
            if reading.texts:
                self._expect(trace_id, span_id, reading, now_ns)
            quiet = reading.more is None or not reading.more[1]
            if quiet and verdicts.take_agent_next(trace_id, reading.packed, reading.agent_and_service[1], now_ns):
                return CLEAN
        place = partial(_place, span_id, reading)
        said, tools = self._heard(reading)
        arrival = Arrival(trace_id, [reading.step], reading.packed, place, reading.requests, reading.answers, said=said, tools=tools)
        taken = verdicts.take(arrival, now_ns)
        self._steps += 1
        if not taken.given and reading.kind != _AGENT and self._steps % _TICK_EVERY:
            return CLEAN
        findings = [finding for finding, _ in taken.given] + verdicts.tick(now_ns)
        if not findings:
            return CLEAN
        own = span_id.to_bytes(8, "big")
        here = [finding for finding in findings if finding.span_id == own and finding.trace_id == trace_id and not finding.withdrawn]
        return Judged(here, [finding for finding in findings if finding not in here])

    def _heard(self, reading: Reading) -> tuple[Sequence[Text], frozenset[int] | None]:
        """What the span's text claims, and the state-changing tools that its model was given."""
        if reading.more is None:
            return (), None
        _, output, declared = reading.more
        text = self._hearing.text(output.encode(), reading.step[0], of_agent=reading.kind == _AGENT) if output else None
        return (text,) if text else (), self._tools(declared) if declared else None

    def _tools(self, declared: Tools) -> frozenset[int]:
        return self._hearing.declared(frozenset(each[1] for each in declared), lambda value_hash: _declaration(declared, value_hash))

    def _expect(self, trace_id: bytes, span_id: int, reading: Reading, now_ns: int) -> None:
        for number, text in reading.texts:
            if number == TextField.EXPECTED_TOOLS:
                self.verdicts.expect(trace_id, span_id & LOW, [text] if isinstance(text, str) else text, now_ns)


def _reading(read: Reading | Single) -> Reading:
    return read if isinstance(read, Reading) else reading_of(read)


def _declaration(declared: Tools, value_hash: int) -> tuple[bytes, int]:
    return next((value, how) for how, known, value in declared if known == value_hash)


def _place(span_id: int, reading: Reading, _low: int) -> Place:
    return Place(0, span_id, reading.step[0], *reading.agent_and_service, reading.conversation)
