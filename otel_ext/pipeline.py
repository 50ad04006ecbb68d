"""Payload in, outcome out: scan, link, judge, splice. No I/O, and no clock but the one passed in.

payload --scan--> columns --+--> links ------+--> full payload (whole tree)
                            +--> verdicts ---+--> LLM payload (kept spans only)
                            +--> fresh steps     findings
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import numpy as np

from otel_ext.correlate.links import SpanLinks
from otel_ext.correlate.projection import LlmLinks
from otel_ext.correlate.tree import LlmTree
from otel_ext.detectors.base import END, KIND, SPAN, Hit, Step
from otel_ext.detectors.skipping import Request, Run, hollow
from otel_ext.dialects import Text
from otel_ext.findings import Marked, finding_spans, mark, mark_observations
from otel_ext.judge import RUN_RULES, Judge, runs_of
from otel_ext.ledger import Answer, record
from otel_ext.model import Finding, StepKind
from otel_ext.settings import Settings
from otel_ext.tracebook import ROW, Added, FindingKey, Trace, TraceBook
from otel_ext.wire import Codec
from otel_ext.wire.table import SPAN as SPAN_ROW
from otel_ext.wire.table import Column, Flag, Scan

LANGFUSE_ID_BYTES_MAX: Final = 200
_OPAQUE: Final = np.dtype((np.void, SPAN_ROW.itemsize))
_NO_SPANS: Final = np.zeros(0, dtype=SPAN_ROW)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a payload. An empty payload means that there is nothing for that destination."""

    full: bytes = b""
    llm: bytes = b""
    spans: int = 0
    llm_spans: int = 0
    rejected: int = 0
    findings: Sequence[Finding] = ()
    fresh: np.ndarray = field(default_factory=lambda: _NO_SPANS)  # SPAN rows of steps not seen before
    trace_ids: Sequence[bytes] = ()


class Waiting(NamedTuple):
    """An agent run that is judged for good at `due_ns`."""

    due_ns: int
    trace_id: bytes
    span: int
    span_id: int
    service: int
    conversation: str


class Group(NamedTuple):
    """The steps of one trace in one payload."""

    trace: int
    trace_id: bytes
    steps: list[Step]
    packed: bytes
    rows: np.ndarray


@dataclass(slots=True)
class _Batch:
    """One payload while it is worked on."""

    payload: bytes
    scan: Scan
    now_ns: int
    langfuse_ids: list[str]
    findings: list[Finding] = field(default_factory=list)
    marked: dict[int, list[Finding]] = field(default_factory=dict)  # row -> findings that go onto that span
    unplaced: list[Finding] = field(default_factory=list)  # findings whose span is not in this payload
    repeated: list[int] = field(default_factory=list)  # rows of steps seen before
    requests: dict[int, list[Request]] = field(default_factory=dict)  # by trace
    answers: dict[int, list[Answer]] = field(default_factory=dict)


@dataclass(slots=True)
class Pipeline:
    """All state between payloads: open traces, the LLM tree, agents' baselines. One thread at a time."""

    settings: Settings
    codec: Codec
    with_llm: bool = True
    dropped: dict[str, int] = field(default_factory=lambda: {"requests": 0, "waiting": 0, "langfuse_id": 0, "wire": 0})
    book: TraceBook = field(init=False)
    judge: Judge = field(init=False)
    tree: LlmTree = field(init=False)
    _links: SpanLinks = field(init=False)
    _llm_links: LlmLinks = field(init=False)
    _waiting: deque[Waiting] = field(init=False, default_factory=deque)

    def __post_init__(self) -> None:
        self.book = TraceBook(self.settings.traces)
        self.judge = Judge(self.settings.detect, self.codec.name, self.codec.intern)
        self.tree = LlmTree()
        self._links = SpanLinks(self.settings.links, self.codec.name)
        self._llm_links = LlmLinks(self.settings.links)

    # -- payloads

    def process(self, payload: bytes, now_ns: int) -> Outcome:
        """Link and judge one request. Raises MalformedPayload, and has changed nothing then."""
        scan = self.codec.scan(payload)
        if not len(scan.spans):
            return Outcome()
        self.dropped["wire"] += scan.overflow
        batch = _Batch(payload, scan, now_ns, [""] * len(scan.trace_ids))
        self._read_texts(batch)
        self._read_calls(batch)
        for group in _groups(scan):
            self._group(batch, group)
        self._look_up_links(batch)
        return self._outcome(batch)

    def _read_texts(self, batch: _Batch) -> None:
        spans = batch.scan.spans
        for row, number, value in batch.scan.texts:
            if spans["flags"][row] & Flag.INVALID_ID:
                continue
            trace_id = batch.scan.trace_ids[spans["trace"][row]]
            if number == Text.LANGFUSE_TRACE_ID:
                self._learn_link(trace_id, value, batch.now_ns)
            elif number == Text.EXPECTED_TOOLS and spans["kind"][row] == StepKind.AGENT:
                self._expect(self.book.touch(trace_id, batch.now_ns), int(spans["span_id"][row]) & 0xFFFFFFFF, value)

    def _learn_link(self, trace_id: bytes, value: str | list[str], now_ns: int) -> None:
        if isinstance(value, str) and 0 < len(value) <= LANGFUSE_ID_BYTES_MAX and value.isprintable():
            self.book.link(trace_id, self.book.touch(trace_id, now_ns), value)
        else:
            self.dropped["langfuse_id"] += 1

    def _expect(self, trace: Trace, span: int, value: str | list[str]) -> None:
        tools = [value] if isinstance(value, str) else value
        trace.expected = {**(trace.expected or {}), span: tuple(self.codec.intern(tool) for tool in tools)}

    def _read_calls(self, batch: _Batch) -> None:
        """Requests and answers by trace, less those that a tool span of the same payload settles: in a healthy run, all."""
        scan = batch.scan
        if not len(scan.requests) and not len(scan.answers):
            return
        ran = _calls_run(scan)
        for rows, take in ((scan.requests, self._take_request), (scan.answers, self._take_answer)):
            traces = scan.spans["trace"][rows["row"]]
            calls = _fold(rows["call_id"])
            for at in np.flatnonzero(~np.isin(_pair(traces, calls), ran)).tolist():
                take(batch, int(traces[at]), int(calls[at]), at)

    def _take_request(self, batch: _Batch, trace: int, call: int, at: int) -> None:
        asked = batch.scan.requests[at]
        model = batch.scan.spans[int(asked["row"])]
        span = int(model["span_id"]) & 0xFFFFFFFF
        # without an id: a number of its own below zero, the same however often the span is delivered
        number = call or -((span << 8 | (at - int(model["request_first"])) & 0xFF) + 1)
        request = Request(number, int(asked["tool"]), span, int(model["end"]), answered=False, refused=False)
        batch.requests.setdefault(trace, []).append(request)

    def _take_answer(self, batch: _Batch, trace: int, call: int, at: int) -> None:
        if call:
            batch.answers.setdefault(trace, []).append(Answer(call, bool(batch.scan.answers["refused"][at])))

    # -- one trace

    def _group(self, batch: _Batch, group: Group) -> None:
        trace = self.book.touch(group.trace_id, batch.now_ns)
        batch.langfuse_ids[group.trace] = trace.langfuse_id or group.trace_id.hex()
        added = self.book.add(trace, group.steps, group.packed)
        if len(added.fresh) < len(group.steps):
            seen = {step[:2] for step in added.fresh}
            batch.repeated += [int(row) for row, step in zip(group.rows, group.steps, strict=True) if step[:2] not in seen]
        requests, answers = batch.requests.get(group.trace, ()), batch.answers.get(group.trace, ())
        if trace.requests or requests or answers:
            self.dropped["requests"] += record(trace, added.fresh, requests, answers)
        if added.fresh:
            self._judge(batch, group, trace, added)

    def _judge(self, batch: _Batch, group: Group, trace: Trace, added: Added) -> None:
        stale: set[FindingKey] = set()
        hits = list(self.judge.steps(trace, added))
        if added.late and trace.given:
            stale.update(key for key in trace.given if not key[0].startswith(RUN_RULES) and key[0] != "loop/max_iterations")
        late_in_run = trace.agent_end >= added.fresh[0][END]
        agents = {step[SPAN]: step for step in added.fresh if step[KIND] == StepKind.AGENT}
        if agents or late_in_run:
            hits += self._runs(batch, group, trace, added, agents, late_in_run, stale)
        for hit in hits:
            stale.discard((hit.rule, hit.subject))
            self._give(batch, group, trace, hit)
        if stale and not trace.evicted:
            self._withdraw(batch, group, trace, stale)

    def _runs(
        self,
        batch: _Batch,
        group: Group,
        trace: Trace,
        added: Added,
        agents: dict[int, Step],
        late: bool,
        stale: set[FindingKey],
    ) -> list[Hit]:
        """Hits of the runs that can be judged now; in *stale*, those given earlier that late steps may have overturned."""
        service = int(batch.scan.spans["service"][group.rows[0]])
        rows = trace.rows() if added.history else added.fresh
        hits: list[Hit] = []
        if late and trace.given:
            stale.update(key for key in trace.given if key[0].startswith(RUN_RULES))
        for run in runs_of(trace, rows, service):
            if run.span in agents:
                self._wait(batch, group, run)
            elif not late:
                continue
            found = self.judge.run(run)
            if run.outstanding:
                stale.difference_update((hit.rule, hit.subject) for hit in found)
            else:
                hits += found
        trace.agent_end = max(trace.agent_end, *(step[END] for step in agents.values())) if agents else trace.agent_end
        return hits

    def _wait(self, batch: _Batch, group: Group, run: Run) -> None:
        if len(self._waiting) >= self.settings.traces.max_traces:
            self._waiting.popleft()
            self.dropped["waiting"] += 1
        row = _row_of(group, run.span)
        spans = batch.scan.spans
        due_ns = batch.now_ns + self.settings.detect.tool_skipping.settle
        conversation = _conversation(batch, row)
        self._waiting.append(Waiting(due_ns, group.trace_id, run.span, int(spans["span_id"][row]), run.service, conversation))

    # -- findings

    def _give(self, batch: _Batch, group: Group, trace: Trace, hit: Hit) -> None:
        key = (hit.rule, hit.subject)
        known = trace.given.get(key) if trace.given else None
        if known and not known.withdrawn:
            return
        row = _row_of(group, hit.span)
        span = batch.scan.spans[row]
        finding = self._finding(
            hit,
            group.trace_id,
            int(span["span_id"]),
            int(span["end"]),
            self.codec.name(int(span["agent"])),
            int(span["service"]),
            _conversation(batch, row),
            batch.langfuse_ids[group.trace],
        )
        trace.given = {**(trace.given or {}), key: finding}
        batch.findings.append(finding)
        batch.marked.setdefault(row, []).append(finding)

    def _withdraw(self, batch: _Batch, group: Group, trace: Trace, stale: Iterable[FindingKey]) -> None:
        given = dict(trace.given or {})
        for key in stale:
            if not given[key].withdrawn:
                given[key] = _withdrawn(given[key], batch.now_ns)
                batch.findings.append(given[key])
                batch.unplaced.append(given[key])
        trace.given = given

    def _finding(
        self, hit: Hit, trace_id: bytes, span_id: int, time_ns: int, agent: str, service: int, conversation: str, langfuse_id: str
    ) -> Finding:
        return Finding(
            time_unix_nano=time_ns,
            trace_id=trace_id,
            span_id=span_id.to_bytes(8, "big"),
            type=hit.type,
            rule=hit.rule,
            severity=hit.severity,
            message=hit.message.replace("{tool}", self.codec.name(hit.tool) or "a tool"),
            agent=agent,
            service=self.codec.name(service),
            conversation=conversation,
            evidence={**hit.evidence, "tool": self.codec.name(hit.tool)} if hit.tool else hit.evidence,
            langfuse_trace_id=langfuse_id,
        )

    # -- output

    def _look_up_links(self, batch: _Batch) -> None:
        """Traces that have only other spans in this payload, and were seen to be in Langfuse before."""
        for index, trace_id in enumerate(batch.scan.trace_ids):
            if not batch.langfuse_ids[index] and (trace := self.book.get(trace_id)):
                batch.langfuse_ids[index] = trace.langfuse_id or (trace_id.hex() if trace.steps else "")

    def _outcome(self, batch: _Batch) -> Outcome:
        spans = batch.scan.spans
        marked = Marked(batch.marked, spans)
        columns = [*self._links.columns(spans, batch.langfuse_ids), *mark(marked)]
        rejected = int(np.count_nonzero(spans["flags"] & np.uint32(Flag.INVALID_ID)))
        full = self._full(batch, columns, rejected)
        llm, llm_spans = self._llm(batch, marked) if self.with_llm else (b"", 0)
        return Outcome(
            full=full + finding_spans(batch.unplaced),
            llm=llm,
            spans=len(spans) - rejected,
            llm_spans=llm_spans,
            rejected=rejected,
            findings=batch.findings,
            fresh=_fresh(batch),
            trace_ids=batch.scan.trace_ids,
        )

    def _full(self, batch: _Batch, columns: Sequence[Column], rejected: int) -> bytes:
        if not rejected:
            return self.codec.splice(batch.payload, columns)
        spans = batch.scan.spans
        keep = (spans["flags"] & np.uint32(Flag.INVALID_ID) == 0).astype(np.uint8)
        return self.codec.project(batch.payload, keep, np.ascontiguousarray(spans["parent_id"]), columns)

    def _llm(self, batch: _Batch, marked: Marked) -> tuple[bytes, int]:
        spans = batch.scan.spans
        branch = self.tree.branch(spans)
        count = int(np.count_nonzero(branch.keep))
        if not count:
            return b"", 0
        links = self._llm_links.columns(spans, branch, batch.scan.trace_ids, batch.langfuse_ids)
        columns = [*links, *mark_observations(marked)]
        keep = branch.keep.astype(np.uint8)
        return self.codec.project(batch.payload, keep, branch.parents, columns, self._llm_links.id_key), count

    # -- time

    def tick(self, now_ns: int) -> Outcome:
        """Verdicts that have waited long enough, and the closing of quiet traces. Call it a few times a second."""
        findings: list[Finding] = []
        while self._waiting and self._waiting[0].due_ns <= now_ns:
            findings += self._settle(self._waiting.popleft())
        self.book.expire(now_ns)
        return Outcome(full=finding_spans(findings), spans=len(findings), findings=findings)

    def settle_all(self) -> Outcome:
        """Every verdict that still waits, as if its time had come: for the end of an input, or of the process."""
        return self.tick(max((each.due_ns for each in self._waiting), default=0))

    def _settle(self, waiting: Waiting) -> list[Finding]:
        trace = self.book.get(waiting.trace_id)
        if trace is None:
            return []
        run = next((run for run in runs_of(trace, trace.rows(), waiting.service) if run.span == waiting.span), None)
        if run is None:
            return []
        given = dict(trace.given or {})
        findings = []
        for hit in self.judge.run(run):
            key = (hit.rule, hit.subject)
            if key not in given or given[key].withdrawn:
                agent = self.codec.name(run.agent)
                langfuse_id = trace.langfuse_id or waiting.trace_id.hex()
                found = self._finding(
                    hit, waiting.trace_id, waiting.span_id, run.end, agent, waiting.service, waiting.conversation, langfuse_id
                )
                given[key] = found
                findings.append(found)
        if findings:
            trace.given = given
        self.judge.spikes.learn(run)
        return findings


def _groups(scan: Scan) -> Iterable[Group]:
    steps_ = scan.steps.copy()
    agents = steps_["kind"] == StepKind.AGENT
    rows_ = scan.step_rows[agents]
    steps_["b"][agents] = (scan.spans["end"][rows_] - scan.spans["start"][rows_] + np.uint64(999_999)) // np.uint64(1_000_000)
    packed = steps_.tobytes()
    steps = list(ROW.iter_unpack(packed))
    for trace, first, count in scan.groups.tolist():
        last = first + count
        yield Group(trace, scan.trace_ids[trace], steps[first:last], packed[first * ROW.size : last * ROW.size], scan.step_rows[first:last])


def _fold(hashes: np.ndarray) -> np.ndarray:
    """32 bits of each 64-bit hash, as the codec folds them into steps."""
    folded = (hashes ^ (hashes >> np.uint64(32))) & np.uint64(0xFFFFFFFF)
    return np.where((folded == 0) & (hashes != 0), np.uint64(1), folded)


def _pair(traces: np.ndarray, calls: np.ndarray) -> np.ndarray:
    return traces.astype(np.uint64) << np.uint64(32) | calls


def _calls_run(scan: Scan) -> np.ndarray:
    """(trace, call id) of every tool span of the payload that shows that the tool ran."""
    steps = scan.steps
    traces = np.repeat(scan.groups["trace"], scan.groups["count"])
    ran = (steps["kind"] == StepKind.TOOL) & (steps["c"] != 0) & ~hollow_rows(steps["flags"])
    return _pair(traces[ran], steps["c"][ran].astype(np.uint64))


def hollow_rows(flags: np.ndarray) -> np.ndarray:
    """As `detectors.skipping.hollow`, for a column."""
    table = np.array([hollow((0, 0, 0, flag, 0, 0, 0, 0)) for flag in range(8)])
    return table[flags & 7]


def _row_of(group: Group, span: int) -> int:
    """The payload's row of the step with this low half of a span id; of the last step where it is not in the payload."""
    for row, step in zip(group.rows.tolist(), group.steps, strict=True):
        if step[SPAN] == span:
            return int(row)
    return int(group.rows[-1])


def _conversation(batch: _Batch, row: int) -> str:
    span = batch.scan.spans[row]
    at = int(span["conversation_at"])
    return batch.payload[at : at + int(span["conversation_len"])].decode("utf-8", "replace")


def _fresh(batch: _Batch) -> np.ndarray:
    rows = batch.scan.step_rows
    if batch.repeated:
        rows = rows[~np.isin(rows, batch.repeated)]
    # as opaque records: numpy copies structured rows field by field, twenty times slower
    return batch.scan.spans[rows]


def _withdrawn(finding: Finding, now_ns: int) -> Finding:
    return replace(finding, time_unix_nano=now_ns, withdrawn=True, message=f"withdrawn, a late span shows otherwise: {finding.message}")
