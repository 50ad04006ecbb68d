"""One trace as a readable timeline: its steps, the evidence marked, and each rule's arithmetic. Pure text, and no payload in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from otel_ext.arithmetic import Reached, reached
from otel_ext.detectors.base import CALLS, END, FLAGS, KIND, NAME, SPAN, A, B, Step, alike
from otel_ext.detectors.runs import Run, distinct
from otel_ext.judge import runs_of
from otel_ext.model import Finding, StepKind
from otel_ext.report import table
from otel_ext.settings import NS_PER_S
from otel_ext.tracebook import Trace
from otel_ext.verdicts import Verdicts
from otel_ext.wire.steps import AGENT, LLM
from otel_ext.wire.table import StepFlag

_FLAGS: Final = (
    (StepFlag.ERROR, "failed"),
    (StepFlag.TRUNCATED, "cut off by the length limit"),
    (StepFlag.CUT, "attributes were dropped"),
    (StepFlag.EMPTY, "empty"),
    (StepFlag.REPETITIVE, "repeats itself"),
)


def explain(trace_id: bytes, trace: Trace, service: int, verdicts: Verdicts, findings: Sequence[Finding]) -> str:
    """What happened in the trace, and why each rule fired or did not. *findings* are those that stand."""
    rows = trace.rows()
    kept = distinct(rows)
    evidence = _evidence(kept, findings)
    again = f", {len(rows) - len(kept)} of them told twice" if len(kept) < len(rows) else ""
    parts = [f"trace {trace_id.hex()}: {len(rows)} steps{again}"]
    if trace.evicted:
        parts.append("older steps are not kept (traces.max_steps)")
    lines = [_line(step, kept[0][END], evidence, verdicts.name) for step in kept]
    parts.append(table(lines, ("seconds", "", "step", "name", "in", "out", "")))
    parts += [_of_run(run, verdicts, findings) for run in runs_of(trace, rows, service)]
    if not any(step[KIND] == AGENT for step in rows):
        parts.append("no agent span: rules over whole runs had nothing to judge")
    return "\n\n".join(parts)


def _evidence(steps: Sequence[Step], findings: Sequence[Finding]) -> set[int]:
    """Spans that findings are about, and the calls equal to one of them."""
    marked = {int.from_bytes(finding.span_id[4:]) for finding in findings}
    calls = {step[NAME : B + 1] for step in steps if step[SPAN] in marked and step[KIND] in CALLS}
    return marked | {step[SPAN] for step in steps if step[KIND] in CALLS and step[NAME : B + 1] in calls}


def _line(step: Step, first_ns: int, evidence: set[int], name: Callable[[int], str]) -> list[str]:
    kind = StepKind(step[KIND])
    if step[KIND] in CALLS:
        given, got = _print(step[A]), f"{step[B]:08x}" if step[B] else "-"
    elif step[KIND] == LLM:
        given, got = f"{step[B]} tokens" if step[B] else "-", _print(step[A])
    else:
        given, got = f"{step[B]} ms" if step[KIND] == AGENT else "-", f"{step[A]:08x}" if step[A] else "-"
    notes = ", ".join(said for flag, said in _FLAGS if step[FLAGS] & flag)
    mark = "*" if step[SPAN] in evidence else ""
    return [f"{(step[END] - first_ns) / NS_PER_S:.3f}", mark, kind.name.lower(), name(step[NAME]) or "-", given, got, notes]


def _print(pair: int) -> str:
    """A fingerprint: the likeness before the dot, the exact value behind it."""
    return f"{alike(pair):04x}.{pair & 0xFFFF:04x}" if pair else "-"


def _of_run(run: Run, verdicts: Verdicts, findings: Sequence[Finding]) -> str:
    head = f"run of {verdicts.name(run.agent) or 'an agent without a name'}: {len(run.models)} model calls, {len(run.calls)} calls"
    head += f", {run.tokens} tokens, {run.milliseconds / 1000:.1f} s" + (", ended in an error" if run.error else "")
    settings = verdicts.settings.detect
    fired = {finding.rule for finding in findings}
    lines = [_said(each, fired) for each in reached(run, settings, verdicts.judge.past)]
    lines += list(_found(findings, {line[1] for line in lines}))
    if run.lossy:
        lines.append(["", "", "attributes or steps were dropped: what is missing proves nothing", ""])
    return f"{head}\n{table(lines, ('', 'rule', 'came to', 'fires at'))}"


def _said(each: Reached, fired: set[str]) -> list[str]:
    mark = "fired" if each.rule in fired else "would" if each.fires else ""
    value = f"{each.value:g} {each.what}"
    return [mark, each.rule, value, f"{each.limit:g}" + (f" (detect.{each.key})" if each.key else "")]


def _found(findings: Sequence[Finding], told: set[str]) -> Iterator[list[str]]:
    """Findings of rules that do not count."""
    for finding in findings:
        if finding.rule not in told:
            yield ["fired", finding.rule, finding.message, "-"]
