"""From hits to findings: each fact is told once, revised where more of its trace changes how sure it is, and taken back where it falls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from otel_ext.arrivals import Arrival, Given, Place
from otel_ext.detectors.base import END, KIND, NAME, SPAN, Hit
from otel_ext.judge import STEP_RULES, Judge, started
from otel_ext.model import Evidence, Finding
from otel_ext.tracebook import FindingKey, Trace
from otel_ext.wire.steps import AGENT


@dataclass(frozen=True, slots=True)
class Giving:
    """Writes findings into the traces that they are about."""

    judge: Judge
    name: Callable[[int], str]

    def tell(self, trace: Trace, trace_id: bytes, hit: Hit, place: Place) -> list[Finding]:
        """What is new in *hit*: the finding, or the earlier one taken back and what it now is, or nothing."""
        known = trace.given.get((hit.rule, hit.subject)) if trace.given else None
        if known and not known.withdrawn:
            return self._revise(trace, known, hit) if revises(trace, hit) else []
        agent = self.name(place.agent or _agent_at(trace, place.end))
        if self.judge.is_off(hit.rule, agent):
            return []
        return [self._give(trace, trace_id, hit, place, agent)]

    def _give(self, trace: Trace, trace_id: bytes, hit: Hit, place: Place, agent: str) -> Finding:
        message, evidence = self._said(hit)
        finding = Finding(
            time_unix_nano=place.end,
            trace_id=trace_id,
            span_id=place.span_id.to_bytes(8, "big"),
            type=hit.type,
            rule=hit.rule,
            severity=hit.severity,
            message=message,
            agent=agent,
            service=self.name(place.service),
            conversation=place.conversation,
            evidence=evidence,
            complete=hit.complete,
            langfuse_trace_id=trace.langfuse_id or trace_id.hex(),
        )
        trace.given = {**(trace.given or {}), (hit.rule, hit.subject): finding}
        return finding

    def _revise(self, trace: Trace, known: Finding, hit: Hit) -> list[Finding]:
        message, evidence = self._said(hit)
        finding = replace(known, severity=hit.severity, message=message, evidence=evidence, complete=hit.complete)
        trace.given = {**(trace.given or {}), (hit.rule, hit.subject): finding}
        return [replace(known, withdrawn=True), finding]

    def _said(self, hit: Hit) -> tuple[str, Evidence]:
        """Message and evidence with the names of the tools."""
        tools = sorted(filter(None, map(self.name, hit.tools)))
        message = hit.message.replace("{tool}", ", ".join(tools) or "a tool")
        if not hit.tools:
            return message, hit.evidence
        return message, {**hit.evidence, "tool": tools[0]} if len(tools) == 1 else {**hit.evidence, "tools": tools}


def revises(trace: Trace, hit: Hit) -> bool:
    """*hit* was given before, of less of the trace, and is more or less sure now. Several runs may share a fact: the surest of them stands.

    Not where steps are gone: what was said of all of them was better founded.
    """
    known = trace.given.get((hit.rule, hit.subject)) if trace.given else None
    if known is None or known.withdrawn or trace.evicted or hit.rule in STEP_RULES:
        return False
    if (known.severity, known.complete) == (hit.severity, hit.complete):
        return False
    return (hit.complete and not known.complete) or low_of(known.span_id) == hit.span


def withdraw(trace: Trace, stale: Iterable[FindingKey]) -> list[Finding]:
    """Take back what is given under these keys."""
    given = dict(trace.given or {})
    taken_back = [key for key in stale if not given[key].withdrawn]
    for key in taken_back:
        given[key] = replace(given[key], withdrawn=True)
    trace.given = given
    return [given[key] for key in taken_back]


def placed(arrival: Arrival, findings: Iterable[Finding]) -> list[Given]:
    """New findings with the rows of their spans."""
    return [Given(finding, None if finding.withdrawn else _row(arrival, finding)) for finding in findings]


def _row(arrival: Arrival, finding: Finding) -> int | None:
    place = arrival.place(low_of(finding.span_id))
    return place.row if place.span_id == int.from_bytes(finding.span_id) else None


def standing(arrival: Arrival, trace: Trace, given: Sequence[Given]) -> list[Given]:
    """Earlier findings about spans that came again: Langfuse replaces a span as a whole, and would lose them."""
    if not trace.given:
        return []
    here = {step[SPAN] for step in arrival.steps}
    new = {id(each.finding) for each in given}
    again = []
    for finding in trace.given.values():
        if not finding.withdrawn and id(finding) not in new and low_of(finding.span_id) in here:
            row = _row(arrival, finding)
            if row is not None:
                again.append(Given(finding, row))
    return again


def _agent_at(trace: Trace, time_ns: int) -> int:
    """The agent whose run had begun last at that time, of those whose spans are here; 0 for none."""
    runs = [step for step in trace.rows() if step[KIND] == AGENT and started(step) <= time_ns <= step[END]]
    return max(runs, key=started)[NAME] if runs else 0


def low_of(span_id: bytes) -> int:
    """The low half of a span id, as in steps."""
    return int.from_bytes(span_id[4:], "big")
