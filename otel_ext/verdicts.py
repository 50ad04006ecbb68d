"""Steps of one trace in, findings out: what the sidecar and the in-process SpanProcessor share. No I/O, no clock, no bytes of OTLP.

A step verdict (loops) is given when the step comes, a run verdict (skipping, tokens) when the agent's own span does, or once the trace
has settled.
What late spans overturn is taken back: what stands at the end is a function of what happened, not of how it arrived.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from otel_ext.arrivals import NOTHING, Arrival, Extra, Given, Place, Taken, Waiting
from otel_ext.detectors.base import END, KIND, NAME, SPAN, B, Hit, Step, failed
from otel_ext.detectors.baselines import Key, Values
from otel_ext.detectors.runs import Request, Run, Text, names_of, twice
from otel_ext.giving import Giving, placed, revises, standing, withdraw
from otel_ext.judge import STEP_RULES, Judge, runs_of, started, values_of, whole_run
from otel_ext.ledger import Answer, ask, record, settle
from otel_ext.model import Finding
from otel_ext.rules import Rule
from otel_ext.settings import NS_PER_S, Settings
from otel_ext.tracebook import ROW, Added, FindingKey, Trace, TraceBook
from otel_ext.wire.steps import AGENT, HANDOFF, LLM, MCP, TOOL, Summary, summary
from otel_ext.wire.table import GroupFlag

TEXTS_MAX: Final = 64  # of a trace that claim something; of more, the older ones are not judged
LANGFUSE_ID_LENGTH_MAX: Final = 200  # what a Langfuse server takes as an id is shorter
_END: Final = struct.Struct("<Q")  # where a packed step starts
_ORDER: Final = struct.Struct("<QI")  # end and span of a packed step
_order_of: Final = _ORDER.unpack_from
_ROW_BYTES: Final = ROW.size
_KIND_AT: Final = 12
_CALL: Final = slice(14, 20)  # name and arguments
_TEXT: Final = slice(16, 20)
_NO_TEXT: Final = bytes(4)
_WALK: Final = slice(18, 24)  # the shape of the arguments, and the result
_CALL_ID: Final = slice(24, 28)  # of a model step, the low half of its parent's span id
_SPAN: Final = slice(8, 12)
_IS_LLM: Final = bytes([LLM])
_NEVER_QUICK: Final = (AGENT, HANDOFF, MCP)
_DUPLICATE: Final = int(GroupFlag.DUPLICATE)
# Judged step by step; of what is over whole runs, only the likeness of texts hangs on it.
_TOLD_STEP_BY_STEP: Final = int(GroupFlag.REPEATS | GroupFlag.SIMILAR)
# A count only grows: no late span can take this one back.
_NEVER_STALE: Final = "loop/max_iterations"


@dataclass(slots=True)
class Verdicts:
    """Open traces, rules and baselines. One thread at a time."""

    settings: Settings
    name: Callable[[int], str]
    intern: Callable[[str], int]
    rules: Sequence[Rule] = ()
    dropped: dict[str, int] = field(default_factory=lambda: {"open_requests": 0, "waiting_runs": 0, "texts": 0})
    observe: Callable[[Run], None] | None = None  # told of every run that has settled
    book: TraceBook = field(init=False)
    judge: Judge = field(init=False)
    _giving: Giving = field(init=False)
    _iterations_max: int = field(init=False)
    _walk_min: int = field(init=False)  # calls before this one that a walk of arguments needs
    _waiting: deque[Waiting] = field(init=False, default_factory=deque)

    def __post_init__(self) -> None:
        self.book = TraceBook(self.settings.traces)
        self.judge = Judge(self.settings.detect, self.name, self.intern, self.rules)
        self._giving = Giving(self.judge, self.name)
        self._know_bounds()

    def reconfigure(self, settings: Settings, rules: Sequence[Rule]) -> None:
        """Judge by the `detect` section of other settings from now on; open traces too."""
        self.settings, self.rules = settings, rules
        self.judge.reconfigure(settings.detect, rules)
        self._know_bounds()

    def _know_bounds(self) -> None:
        self._iterations_max = self.settings.detect.loop.max_iterations
        self._walk_min = self.settings.detect.loop.changing_arguments - 1

    def expect(self, trace_id: bytes, agent_span: int, tools: Iterable[str], now_ns: int) -> None:
        """The agent's own span, by the low half of its id, says which tools its run must call."""
        trace = self.book.touch(trace_id, now_ns)
        trace.expected = {**(trace.expected or {}), agent_span: tuple(map(self.intern, tools))}

    def learn_link(self, trace_id: bytes, langfuse_id: object, now_ns: int) -> bool:
        """The trace goes by *langfuse_id* in Langfuse; False for what cannot be an id there."""
        if not isinstance(langfuse_id, str) or not 0 < len(langfuse_id) <= LANGFUSE_ID_LENGTH_MAX or not langfuse_id.isprintable():
            return False
        self.book.link(trace_id, self.book.touch(trace_id, now_ns), langfuse_id)
        return True

    def take(self, arrival: Arrival, now_ns: int) -> Taken:
        """Add the steps to their trace and judge what is new. Steps seen before change nothing."""
        known = arrival.summary or summary(arrival.steps)
        trace = self.book.touch(arrival.trace_id, now_ns)
        added = self.book.add(trace, arrival.steps, arrival.packed, duplicates=bool(known.flags & _DUPLICATE))
        if trace.requests or arrival.requests or arrival.answers:
            self.dropped["open_requests"] += record(trace, added.fresh, arrival.requests, arrival.answers)
        if arrival.said or arrival.tools:
            self._hear(trace, arrival)
        if not added.fresh:
            return Taken(trace, [], [], standing(arrival, trace, ()))
        trace.cost += arrival.cost * len(added.fresh) / len(arrival.steps)  # of steps sent again, nothing
        if len(added.fresh) < len(arrival.steps):
            known = summary(added.fresh)
        hits = self.judge.steps(trace, added, known)
        given = self._judge(arrival, trace, added, hits, now_ns)
        return Taken(trace, added.fresh, given, standing(arrival, trace, given), _doubled(trace, added, known))

    def tell_of(self, trace_id: bytes, tools: frozenset[int]) -> None:
        """The models of an open trace were given these state-changing tools."""
        trace = self.book.lookup(trace_id)
        if trace is not None and trace.tools is not tools and tools:
            trace.tools = tools if trace.tools is None else trace.tools | tools

    def _hear(self, trace: Trace, arrival: Arrival) -> None:
        """Remember what the texts said, the last ones where they are too many, and which tools the models were told of."""
        if arrival.tools:
            trace.tools = arrival.tools if trace.tools is None else trace.tools | arrival.tools
        if arrival.said:
            texts = sorted({*trace.said, *arrival.said}, key=_order_of_text)
            self.dropped["texts"] += max(0, len(texts) - TEXTS_MAX)
            trace.said = tuple(texts[-TEXTS_MAX:])

    def take_clean(
        self, trace_id: bytes, packed: bytes, known: Summary, span_id: int, service: int, now_ns: int, extra: Extra = NOTHING
    ) -> bool:
        """The common case for a few comparisons: steps of a trace not seen before in which nothing can be found. False: use `take`.

        *packed* are sorted steps without repetition of any kind; *span_id* and *service* are those of the last. Nothing changes on False.
        """
        if known.flags or known.agents > 1 or known.models > self.settings.detect.loop.max_iterations or self.book.knows(trace_id):
            return False
        if not known.agents:
            extra.put(self.book.begin(trace_id, packed, known.models, 0, now_ns))
            return True
        agent = ROW.unpack_from(packed, len(packed) - ROW.size)
        first_end = _END.unpack_from(packed)[0]
        if agent[KIND] != AGENT or started(agent) > first_end or not known.models:
            return False
        if not self.judge.is_clean(packed, agent, service, known, extra.cost):
            return False
        extra.put(self.book.begin(trace_id, packed, known.models, agent[END], now_ns))
        # Should late spans overturn it after all, the finding will lack the conversation: reading it for every clean run costs more.
        place = Place(-1, span_id, agent[END], agent[NAME], service, "")
        self._queue(Waiting(self._due(now_ns), trace_id, agent[SPAN], place, True, len(packed), whole=True))
        return True

    def take_next(self, trace_id: bytes, packed: bytes, requests: Sequence[Request], answers: Sequence[Answer], now_ns: int) -> bool:
        """The common case inside an application: one step that comes after all of its trace and repeats none. False: use `take`.

        An agent's own step is never taken here. No verdict has changed on False.
        """
        kind = packed[_KIND_AT]
        book = self.book
        trace = book.lookup(trace_id)
        if trace is None or now_ns - trace.seen_ns > NS_PER_S:  # what is quiet for minutes need not be known to the microsecond
            trace = book.touch(trace_id, now_ns)
        history = trace.steps
        # hand-offs and calls by MCP are rare, and their repetitions are told by more than these bytes
        if kind in _NEVER_QUICK or (history and _order_of(packed) <= _order_of(history, len(history) - _ROW_BYTES)):
            return False
        if kind == TOOL:
            if packed[_CALL] in history or history.count(packed[_WALK]) >= self._walk_min:
                return False
        elif kind == LLM:
            text = packed[_TEXT]
            # a model call inside a model call: the same one, seen by two instrumentations
            if packed[_SPAN] in history or packed[_CALL_ID] + _IS_LLM in history:
                return False
            if trace.models >= self._iterations_max and not (trace.given and (_NEVER_STALE, 0) in trace.given):
                return False
            if text in history and text != _NO_TEXT:
                return False
            trace.models += 1
        if answers:
            self.dropped["open_requests"] += record(trace, [ROW.unpack(packed)], requests, answers)
        elif requests:
            if overflow := ask(trace, requests):
                self.dropped["open_requests"] += overflow
        elif kind == TOOL and trace.requests is not None:
            settle(trace, packed)
        trace.steps = history = history + packed
        if len(history) > book.steps_bytes_max:
            book.bound(trace)
        return True

    def take_agent_next(self, trace_id: bytes, packed: bytes, service: int, now_ns: int) -> bool:
        """Like `take_next`, for an agent's own step: taken where nothing is expected of its run, outstanding in it, or unusual about it.

        For a caller to whom nothing comes late: the run is learned from at once. No verdict has changed on False.
        """
        trace = self.book.touch(trace_id, now_ns)
        history = trace.steps
        agent = ROW.unpack(packed)
        if (
            not history
            or agent[:2] <= _ORDER.unpack_from(history, len(history) - ROW.size)
            or trace.requests
            or trace.expected
            or trace.said
        ):
            return False
        begin = started(agent)
        # By the order of the steps, those of the run are the last ones: most often all.
        run = history
        if _END.unpack_from(history)[0] < begin:
            run = history[sum(step[END] < begin for step in ROW.iter_unpack(history)) * _ROW_BYTES :]
        known = summary(ROW.iter_unpack(run))
        if (
            not known.models
            or known.agents
            or known.flags & ~_TOLD_STEP_BY_STEP
            or (known.flags & GroupFlag.SIMILAR and self.judge.may_be_similar(run))
            or not self.judge.is_clean(run + packed, agent, service, known, trace.cost)
        ):
            return False
        if not self.judge.past.is_sated((agent[NAME], service)):
            self.judge.learn((agent[NAME], service), *whole_run(run + packed, agent[SPAN], trace.cost))
        trace.agent_end = agent[END]
        self.book.append(trace, packed)
        return True

    def _judge(self, arrival: Arrival, trace: Trace, added: Added, hits: list[Hit], now_ns: int) -> list[Given]:
        stale: set[FindingKey] = set()
        if added.late and trace.given:
            stale.update(key for key in trace.given if key[0] in STEP_RULES)
        hits = hits + self._runs(arrival, trace, added, stale, now_ns)
        if not hits and not stale:
            return []
        stale.difference_update((hit.rule, hit.subject) for hit in hits)
        given = [finding for hit in hits for finding in self._giving.tell(trace, arrival.trace_id, hit, arrival.place(hit.span))]
        told = placed(arrival, given)
        if stale and not trace.evicted:
            told += placed(arrival, withdraw(trace, stale))
        return told

    def _runs(self, arrival: Arrival, trace: Trace, added: Added, stale: set[FindingKey], now_ns: int) -> list[Hit]:
        """Hits of the runs that can be judged now; in *stale*, those given earlier that late steps may have overturned."""
        agents = [step for step in added.fresh if step[KIND] == AGENT]
        late = trace.agent_end >= added.fresh[0][END]
        if not agents and not late:
            return []
        ended = {step[SPAN] for step in agents}
        trace.agent_end = max([trace.agent_end, *(step[END] for step in agents)])
        if late and trace.given:
            stale.update(key for key in trace.given if key[0] not in STEP_RULES and key[0] != _NEVER_STALE)
        hits: list[Hit] = []
        rows = trace.rows() if added.history or added.late else added.fresh
        for run in runs_of(trace, rows, arrival.place(added.fresh[-1][SPAN]).service):
            if run.span in ended:
                place = arrival.place(run.span)
                waiting = Waiting(self._due(now_ns), arrival.trace_id, run.span, place, not run.outstanding, len(trace.steps))
                self._queue(waiting)
                hits += self._judge_run(run, stale)
            elif late:
                # What was said of it stands where it still holds; what is new is said when it settles, with its own span.
                found = list(self.judge.run(run))
                stale.difference_update((hit.rule, hit.subject) for hit in found)
                hits += [hit for hit in found if revises(trace, hit)]
        return hits

    def _judge_run(self, run: Run, stale: set[FindingKey]) -> list[Hit]:
        found = list(self.judge.run(run))
        if not run.outstanding:
            return found
        # What was said of it stands, but nothing more is said while something is outstanding.
        stale.difference_update((hit.rule, hit.subject) for hit in found)
        return []

    def _due(self, now_ns: int) -> int:
        return now_ns + self.settings.detect.tool_skipping.settle

    def _queue(self, waiting: Waiting) -> None:
        if len(self._waiting) >= self.settings.traces.max_traces:
            self._waiting.popleft()
            self.dropped["waiting_runs"] += 1
        self._waiting.append(waiting)

    def tick(self, now_ns: int) -> list[Finding]:
        """Verdicts that have waited long enough, and the closing of quiet traces. Call it a few times a second."""
        findings: list[Finding] = []
        learned: list[tuple[Key, Values, set[int]]] = []
        while self._waiting and self._waiting[0].due_ns <= now_ns:
            findings += self._settle(self._waiting.popleft(), learned)
        # Only now: runs that settle together are held against the same past, whichever came first.
        for lesson in learned:
            self.judge.learn(*lesson)
        # a trace stays open as long as a verdict of it may wait
        self.book.expire(now_ns - max(0, self.settings.detect.tool_skipping.settle - self.settings.traces.idle_timeout))
        return findings

    def settle_all(self) -> list[Finding]:
        """Every verdict that still waits, as if its time had come: for the end of an input, or of the process."""
        return self.tick(max((each.due_ns for each in self._waiting), default=0))

    def _settle(self, waiting: Waiting, learned: list[tuple[Key, Values, set[int]]]) -> list[Finding]:
        trace = self.book.get(waiting.trace_id)
        if trace is None:
            self.dropped["waiting_runs"] += 1
            return []
        agent, service = waiting.place.agent, waiting.place.service
        unchanged = waiting.judged and len(trace.steps) == waiting.steps_len and not trace.requests
        if unchanged and waiting.whole and not self.observe:
            if not self.judge.past.is_sated((agent, service)):
                learned.append(((agent, service), *whole_run(trace.steps, waiting.span, trace.cost)))
            return []
        run = next((run for run in runs_of(trace, trace.rows(), service) if run.span == waiting.span), None)
        if run is None:
            return []
        learned.append(((agent, service), values_of(run), names_of(run.calls)))
        if self.observe:
            self.observe(run)
        if unchanged:
            return []
        return [finding for hit in self.judge.run(run) for finding in self._giving.tell(trace, waiting.trace_id, hit, waiting.place)]


def _order_of_text(text: Text) -> tuple[int, bool, list[tuple[str, int]]]:
    """By time; texts of one moment in an order of their own, whatever order they were heard in."""
    return text.said.time, text.of_agent, [(claim.action, claim.at) for claim in text.said.claims]


def _doubled(trace: Trace, added: Added, known: Summary) -> list[Step]:
    """New steps of a call that another step tells of too, new or old: each call is counted once."""
    if not (added.history or added.late or known.flags & GroupFlag.DOUBLED) or not any(step[KIND] in (LLM, MCP) for step in added.fresh):
        return []
    rows = trace.rows()
    again = twice(rows)
    if not again:
        return []
    steps = {step[SPAN]: step for step in rows}
    new = {step[SPAN] for step in added.fresh}
    gone = {_uncounted(steps[inner], steps[outer], new) for inner, outer in again.items()}
    return [step for step in added.fresh if step[SPAN] in gone]


def _uncounted(inner: Step, outer: Step, new: set[int]) -> int | None:
    """Which of two spans of one call is not to be counted: where neither is yet, the one that knows less of tokens, or of a failure."""
    if inner[KIND] != LLM:
        tells = inner[SPAN] in new and outer[SPAN] in new and outer[KIND] == MCP and failed(inner) and not failed(outer)
        return outer[SPAN] if tells or inner[SPAN] not in new else inner[SPAN]
    if inner[SPAN] in new:
        return outer[SPAN] if outer[SPAN] in new and inner[B] > outer[B] else inner[SPAN]
    return outer[SPAN] if inner[B] or not outer[B] else None
