"""Payload in, outcome out: scan, link, judge, splice. No I/O, and no clock but the one passed in.

payload --scan--> columns --+--> links ------+--> full payload (whole tree)
                            +--> verdicts ---+--> LLM payload (kept spans only)
                            +--> fresh steps     findings
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import partial
from typing import Final

import numpy as np

from otel_ext.arrivals import Arrival, Extra, Place, Taken
from otel_ext.correlate.links import InLangfuse, SpanLinks
from otel_ext.correlate.projection import Costs, LlmLinks, Observations
from otel_ext.correlate.tree import LlmTree
from otel_ext.detectors.base import SPAN, Step
from otel_ext.detectors.runs import Request, Text
from otel_ext.dialects import Text as TextField
from otel_ext.findings import Marked, finding_spans, mark, mark_observations
from otel_ext.hearing import Hearing
from otel_ext.ledger import Answer, request_of
from otel_ext.model import Finding, StepKind
from otel_ext.redact import Redactor, make_redactor
from otel_ext.rules import Rule
from otel_ext.settings import Keep, Settings
from otel_ext.tracebook import ROW, Trace
from otel_ext.unknown_scopes import UnknownScopes
from otel_ext.verdicts import Verdicts
from otel_ext.wire import Codec
from otel_ext.wire.names import fold
from otel_ext.wire.steps import Summary
from otel_ext.wire.table import SPAN as SPAN_ROW
from otel_ext.wire.table import Column, Flag, Scan
from otel_ext.wire.walk import names_of

_LOW: Final = 0xFFFFFFFF
_LLM, _EMBEDDING = int(StepKind.LLM), int(StepKind.EMBEDDING)
_OPAQUE: Final = np.dtype((np.void, SPAN_ROW.itemsize))
_NO_SPANS: Final = np.zeros(0, dtype=SPAN_ROW)
_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)  # keeps one hash in two traces apart
_CLAIM: Final = np.uint32(Flag.CLAIM)
_INVALID: Final = np.uint32(Flag.INVALID_ID)


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


@dataclass(slots=True)
class _Batch:
    """One payload while it is worked on."""

    payload: bytes
    scan: Scan
    now_ns: int
    own: bytearray  # 1 a trace known to be in Langfuse under its own id
    full: bytes = b""  # the payload without secrets, for the whole tree
    llm: bytes = b""  # and for the LLM tree
    other: dict[int, str] = field(default_factory=dict)  # by trace: the id that one goes by there instead
    findings: list[Finding] = field(default_factory=list)
    marked: dict[int, list[Finding]] = field(default_factory=dict)  # row -> findings that go onto that span
    unplaced: list[Finding] = field(default_factory=list)  # findings whose span is not in this payload
    repeated: list[int] = field(default_factory=list)  # rows of steps seen before
    doubled: list[int] = field(default_factory=list)  # rows of steps of a call that another step tells of too
    requests: dict[int, list[Request]] = field(default_factory=dict)  # by trace
    said: dict[int, list[Text]] = field(default_factory=dict)
    tools: dict[int, frozenset[int]] = field(default_factory=dict)  # state-changing ones that the models were told of
    answers: dict[int, list[Answer]] = field(default_factory=dict)


@dataclass(slots=True)
class Pipeline:
    """All state between payloads: open traces and rules in `verdicts`, the LLM tree. One thread at a time."""

    settings: Settings
    codec: Codec
    with_llm: bool = True
    rules: Sequence[Rule] = ()
    costs: Costs | None = None  # what calls cost, where the application does not say
    dropped: dict[str, int] = field(default_factory=lambda: {"langfuse_id": 0, "wire_overflow": 0})
    verdicts: Verdicts = field(init=False)
    hearing: Hearing = field(init=False)
    _priced: tuple[np.ndarray, np.ndarray] = field(default=(_NO_SPANS, _NO_SPANS))  # rows of SPAN, and what they cost
    tree: LlmTree = field(init=False)
    redactors: dict[str, Redactor] = field(default_factory=dict)  # by destination
    scopes: UnknownScopes = field(init=False)
    _links: SpanLinks = field(init=False)
    _llm_links: LlmLinks = field(init=False)
    observations: Observations = field(init=False)
    _keep: Sequence[Keep] = field(init=False)

    def __post_init__(self) -> None:
        self._make_redactors()
        self._make_observations()
        self.verdicts = Verdicts(self.settings, self.codec.name, self.codec.intern, self.rules)
        self.hearing = Hearing(self.verdicts.judge.tools, self.codec.intern)
        self.tree = LlmTree(self.settings.traces.max_tree_spans)
        self.scopes = UnknownScopes(self.codec.name)
        self._make_links()

    def reconfigure(self, settings: Settings, rules: Sequence[Rule]) -> None:
        """Judge and link by other settings from the next payload on. `traces` must be the same."""
        self.settings, self.rules = settings, rules
        self.verdicts.reconfigure(settings, rules)
        self._make_links()

    def _make_links(self) -> None:
        self._links = SpanLinks(self.settings.links, self.codec.name)
        self._llm_links = LlmLinks(self.settings.links)

    def _make_observations(self) -> None:
        langfuse = self.settings.exporters.langfuse
        costs = self._dollars_of if self.costs and langfuse and langfuse.costs else None
        span_bytes_max = langfuse.max_span_bytes if langfuse else 0
        self.observations = Observations(self.codec.name, costs, self.settings.traces.max_noted, span_bytes_max)
        self._keep = langfuse.keep if langfuse else ()

    def _make_redactors(self) -> None:
        exporters = self.settings.exporters
        for name, section in (("tempo", exporters.tempo), ("langfuse", exporters.langfuse)):
            if section and (redactor := make_redactor(section.redact, f"exporters.{name}.redact")):
                self.redactors[name] = redactor
        if exporters.tempo and exporters.langfuse and exporters.tempo.redact == exporters.langfuse.redact and self.redactors:
            self.redactors["langfuse"] = self.redactors["tempo"]  # one pass does for both

    # -- payloads

    def process(self, payload: bytes, now_ns: int, scan: Scan | None = None) -> Outcome:
        """Link and judge one request; *scan* is its own, where the caller has it. Raises MalformedPayload, and has changed nothing then."""
        scan = scan or self.codec.scan(payload)
        if not len(scan.spans):
            return Outcome()
        self.dropped["wire_overflow"] += scan.overflow
        self.scopes.add(scan.scopes)
        batch = _Batch(payload, scan, now_ns, bytearray(len(scan.trace_ids)))
        self._read_texts(batch)
        self._read_calls(batch)
        self._read_said(batch)
        self._read_tools(batch)
        self._take_steps(batch)
        self._look_up_links(batch)
        self._redact(batch)
        return self._outcome(batch)

    def _redact(self, batch: _Batch) -> None:
        """From here on the payload is what may leave; what was read of it before stays true."""
        tempo, langfuse = self.redactors.get("tempo"), self.redactors.get("langfuse")
        batch.full = tempo(batch.payload) if tempo else batch.payload
        batch.llm = batch.full if langfuse is tempo else langfuse(batch.payload) if langfuse else batch.payload

    def _read_texts(self, batch: _Batch) -> None:
        spans = batch.scan.spans
        for row, number, value in batch.scan.texts:
            if spans["flags"][row] & Flag.INVALID_ID:
                continue
            trace_id = batch.scan.trace_ids[spans["trace"][row]]
            if number == TextField.LANGFUSE_TRACE_ID:
                self._learn_link(trace_id, value, batch.now_ns)
            elif number == TextField.EXPECTED_TOOLS and spans["kind"][row] == StepKind.AGENT:
                tools = [value] if isinstance(value, str) else value
                self.verdicts.expect(trace_id, int(spans["span_id"][row]) & _LOW, tools, batch.now_ns)

    def _learn_link(self, trace_id: bytes, value: str | list[str], now_ns: int) -> None:
        if not self.verdicts.learn_link(trace_id, value, now_ns):
            self.dropped["langfuse_id"] += 1

    def _read_calls(self, batch: _Batch) -> None:
        """Requests and answers by trace, less those that a tool span of the same payload settles: in a healthy run, all."""
        scan = batch.scan
        for rows, take in ((scan.requests, _take_request), (scan.answers, _take_answer)):
            if not rows["settled"].all():
                for at in np.flatnonzero(rows["settled"] == 0).tolist():
                    take(batch, int(scan.spans["trace"][rows["row"][at]]), fold(int(rows["call_id"][at])), at)

    def _read_said(self, batch: _Batch) -> None:
        """What outputs claim, where a word in them says that they may."""
        spans = batch.scan.spans
        for row in np.flatnonzero(spans["flags"] & _CLAIM).tolist():
            trace, end, at, size, kind = spans[["trace", "end", "output_at", "output_value_len", "kind"]][row].item()
            if text := self.hearing.text(batch.payload[at : at + size], end, of_agent=kind == StepKind.AGENT):
                batch.said.setdefault(trace, []).append(text)

    def _read_tools(self, batch: _Batch) -> None:
        """Which tools the models of each trace were given: the same ones, call after call."""
        rows = batch.scan.declared
        if not len(rows):
            return
        traces = batch.scan.spans["trace"][rows["row"]]
        _, first = np.unique(rows["hash"] ^ traces * _SPREAD, return_index=True)
        hashes: dict[int, set[int]] = {}
        for trace, value_hash in zip(traces[first].tolist(), rows["hash"][first].tolist(), strict=True):
            hashes.setdefault(trace, set()).add(value_hash)
        for trace, each in hashes.items():
            if tools := self.hearing.declared(frozenset(each), partial(_declaration, batch)):
                batch.tools[trace] = tools

    def _costs(self, batch: _Batch) -> list[float]:
        """Dollars of the model calls of each trace, as far as known."""
        scan = batch.scan
        if self.costs is None:
            return [0.0] * len(scan.trace_ids)
        rows = scan.step_rows[_is_model(scan.steps["kind"])]
        dollars = self._dollars_of(scan.spans, batch.now_ns, rows)
        known = dollars >= 0
        sums: list[float] = np.bincount(scan.spans["trace"][rows[known]], dollars[known], len(scan.trace_ids)).tolist()
        return sums

    def _dollars_of(self, spans: np.ndarray, now_ns: int, rows: np.ndarray) -> np.ndarray:
        """What the calls at *rows* cost (NaN: unknown), worked out once for all who ask about one payload."""
        if self._priced[0] is not spans:
            dollars = np.full(len(spans), np.nan)
            models = np.flatnonzero(_is_model(spans["kind"]))
            if self.costs is not None:
                dollars[models] = self.costs(spans, now_ns, models)
            self._priced = spans, dollars
        priced: np.ndarray = self._priced[1][rows]
        return priced

    def _take_steps(self, batch: _Batch) -> None:
        scan = batch.scan
        steps = _Steps(batch)
        last = scan.step_rows[scan.groups["first"] + scan.groups["count"] - 1]
        costs = self._costs(batch)
        ends = zip(scan.spans["span_id"][last].tolist(), scan.spans["service"][last].tolist(), strict=True)
        for (index, first, count, *known), (span_id, service) in zip(scan.groups.tolist(), ends, strict=True):
            trace_id = scan.trace_ids[index]
            summary = Summary(*known)
            asked, answered = batch.requests.get(index, ()), batch.answers.get(index, ())
            said, extra = batch.said.get(index, ()), Extra(batch.tools.get(index), costs[index])
            if not asked and not answered and not said:
                packed = steps.packed(first, count)
                if self.verdicts.take_clean(trace_id, packed, summary, span_id, service, batch.now_ns, extra):
                    batch.own[index] = 1
                    continue
            arrival = steps.arrival(trace_id, first, count, summary, asked, answered)
            arrival = replace(arrival, said=said, tools=extra.tools, cost=extra.cost)
            self._note(batch, index, arrival, self.verdicts.take(arrival, batch.now_ns), first)

    @staticmethod
    def _note(batch: _Batch, index: int, arrival: Arrival, taken: Taken, first: int) -> None:
        _know(batch, index, taken.trace)
        if len(taken.fresh) < len(arrival.steps):
            rows = batch.scan.step_rows[first : first + len(arrival.steps)]
            batch.repeated += _repeated(arrival.steps, taken.fresh, rows)
        if taken.doubled:
            told = {step[:2] for step in taken.doubled}
            rows = batch.scan.step_rows[first : first + len(arrival.steps)].tolist()
            batch.doubled += [row for step, row in zip(arrival.steps, rows, strict=True) if step[:2] in told]
        for finding, row in taken.given:
            batch.findings.append(finding)
            if row is None:
                batch.unplaced.append(finding)
            else:
                batch.marked.setdefault(row, []).append(finding)
        for finding, row in taken.standing:
            if row is not None:
                batch.marked.setdefault(row, []).append(finding)

    # -- output

    def _look_up_links(self, batch: _Batch) -> None:
        """Traces that have only other spans in this payload, and were seen to be in Langfuse before."""
        for index, trace_id in enumerate(batch.scan.trace_ids):
            if not batch.own[index] and index not in batch.other and (trace := self.verdicts.book.get(trace_id)):
                _know(batch, index, trace)

    def _outcome(self, batch: _Batch) -> Outcome:
        spans = batch.scan.spans
        if batch.marked and batch.repeated:
            _mark_copies(batch)
        marked = Marked(batch.marked, spans)
        known = InLangfuse(np.frombuffer(batch.own, np.bool_), batch.other)
        columns = [*self._links.columns(spans, known), *self._marks(marked)]
        rejected = int(np.count_nonzero(spans["flags"] & _INVALID))
        llm, llm_spans = self._llm(batch, known, marked) if self.with_llm else (b"", 0)
        return Outcome(
            full=self._full(batch, columns, rejected) + finding_spans(batch.unplaced),
            llm=llm,
            spans=len(spans) - rejected,
            llm_spans=llm_spans,
            rejected=rejected,
            findings=batch.findings,
            fresh=_fresh(batch),
            trace_ids=batch.scan.trace_ids,
        )

    def _marks(self, marked: Marked) -> list[Column]:
        return mark(marked)

    def _full(self, batch: _Batch, columns: Sequence[Column], rejected: int) -> bytes:
        if not rejected:
            return self.codec.splice(batch.full, columns)
        spans = batch.scan.spans
        keep = (spans["flags"] & _INVALID == 0).astype(np.uint8)
        return self.codec.project(batch.full, keep, spans["parent_id"], columns) if keep.any() else b""

    def _llm(self, batch: _Batch, known: InLangfuse, marked: Marked) -> tuple[bytes, int]:
        spans = batch.scan.spans
        branch = self.tree.branch(spans, self._kept_by_rule(batch.payload, len(spans)) if self._keep else None)
        count = int(np.count_nonzero(branch.keep))
        if not count:
            return b"", 0
        projected = self.observations.project(
            batch.llm, spans, branch, batch.now_ns, ranges=len(batch.llm) == len(batch.payload), marked=marked.rows.keys()
        )
        columns = [*self._llm_links.columns(spans, branch, known), *mark_observations(marked), *projected.columns]
        return self.codec.project(batch.llm, branch.keep, branch.parents, columns, projected.cuts), count

    def _kept_by_rule(self, payload: bytes, rows: int) -> np.ndarray:
        fits = (
            any(fnmatchcase(scope, each.scope) and fnmatchcase(name, each.name) for each in self._keep) for scope, name in names_of(payload)
        )
        return np.fromiter(fits, np.bool_, rows)

    # -- time

    def tick(self, now_ns: int) -> Outcome:
        """Verdicts that have waited long enough, as spans of their own. Call it a few times a second."""
        return _told(self.verdicts.tick(now_ns))

    def settle_all(self) -> Outcome:
        """Every verdict that still waits, as if its time had come: for the end of an input, or of the process."""
        return _told(self.verdicts.settle_all())


def _told(findings: Sequence[Finding]) -> Outcome:
    return Outcome(full=finding_spans(findings), spans=len(findings), findings=findings)


def _is_model(kinds: np.ndarray) -> np.ndarray:
    return np.asarray((kinds == _LLM) | (kinds == _EMBEDDING))


def _declaration(batch: _Batch, value_hash: int) -> tuple[bytes, int]:
    rows = batch.scan.declared
    _, at, size, how, _, _ = rows[np.flatnonzero(rows["hash"] == value_hash)[0]].item()
    return batch.payload[at : at + size], how


def _take_request(batch: _Batch, trace: int, call: int, at: int) -> None:
    asked = batch.scan.requests[at]
    model = batch.scan.spans[int(asked["row"])]
    place = at - int(model["request_first"])
    request = request_of(call, int(asked["tool"]), int(model["span_id"]) & _LOW, int(model["end"]), place)
    batch.requests.setdefault(trace, []).append(request)


def _take_answer(batch: _Batch, trace: int, call: int, at: int) -> None:
    if call:
        batch.answers.setdefault(trace, []).append(Answer(call, bool(batch.scan.answers["refused"][at])))


class _Steps:
    """The steps of one payload, and what findings say of their spans; unpacked and read where a trace needs a closer look."""

    def __init__(self, batch: _Batch) -> None:
        self._batch = batch
        self._packed = batch.scan.steps.tobytes()
        self._rows: list[int] = batch.scan.step_rows.tolist()
        self._places: dict[int, Place] = {}

    def packed(self, first: int, count: int) -> bytes:
        """*count* packed steps from step *first* on."""
        return self._packed[first * ROW.size : (first + count) * ROW.size]

    def arrival(
        self, trace_id: bytes, first: int, count: int, known: Summary, requests: Sequence[Request], answers: Sequence[Answer]
    ) -> Arrival:
        """The same steps for `Verdicts.take`."""
        packed = self.packed(first, count)
        steps = list(ROW.iter_unpack(packed))
        return Arrival(trace_id, steps, packed, partial(self._place, steps, first), requests, answers, known)

    def _place(self, steps: Sequence[Step], first: int, low: int) -> Place:
        """Of the step with this low half of a span id among *steps*, which start at step *first*; else of the last one."""
        at = len(steps) - 1
        if steps[at][SPAN] != low:
            at = next((number for number, step in enumerate(steps) if step[SPAN] == low), at)
        row = self._rows[first + at]
        if row not in self._places:
            self._places[row] = self._read(row)
        return self._places[row]

    def _read(self, row: int) -> Place:
        span = self._batch.scan.spans[row]
        at, size = int(span["conversation_at"]), int(span["conversation_len"])
        conversation = self._batch.payload[at : at + size].decode("utf-8", "replace")
        return Place(row, int(span["span_id"]), int(span["end"]), int(span["agent"]), int(span["service"]), conversation)


def _mark_copies(batch: _Batch) -> None:
    """A span that is in a request twice is marked twice: Langfuse keeps the copy that it reads last."""
    spans = batch.scan.spans[["trace", "span_id"]]
    found = {spans[row].item(): findings for row, findings in batch.marked.items()}
    for row in batch.repeated:
        if findings := found.get(spans[row].item()):
            batch.marked.setdefault(row, findings)


def _repeated(steps: Sequence[Step], fresh: Sequence[Step], rows: np.ndarray) -> list[int]:
    """The rows of *steps* that are not *fresh*: each fresh step takes one row, a second row of the same span is a repetition."""
    left = {step[:2] for step in fresh}
    repeated = []
    for step, row in zip(steps, rows.tolist(), strict=True):
        if step[:2] in left:
            left.discard(step[:2])
        else:
            repeated.append(int(row))
    return repeated


def _know(batch: _Batch, index: int, trace: Trace) -> None:
    if trace.langfuse_id:
        batch.other[index] = trace.langfuse_id
    elif trace.steps:
        batch.own[index] = 1


def _fresh(batch: _Batch) -> np.ndarray:
    rows = batch.scan.step_rows
    if batch.repeated or batch.doubled:
        rows = rows[~np.isin(rows, [*batch.repeated, *batch.doubled])]
    # as opaque records: numpy copies structured rows field by field, twenty times slower
    records = np.take(batch.scan.spans.view(_OPAQUE), rows)
    return np.frombuffer(records, SPAN_ROW)
