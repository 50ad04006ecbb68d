"""What the rules would have done with stored traces, agent by agent, and the lines of configuration that would quiet or arm them."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from otel_ext.arithmetic import reached
from otel_ext.detectors.runs import Run
from otel_ext.model import Finding
from otel_ext.report import table
from otel_ext.verdicts import Verdicts

AGENTS_MAX: Final = 200  # agents counted apart; of more, the rest is counted together
_OTHERS: Final = "(other agents)"
_LOUD: Final = 0.02  # a rule that has something to say of more than this share of an agent's runs needs a look
_RUNS_MIN: Final = 20  # runs before a share says anything
_ARM_RUNS: Final = 50
_COUNT_MAX: Final = 16  # what the settings allow
_ARM_SHARE: Final = 0.99


@dataclass(slots=True)
class _Agent:
    runs: int = 0
    values: dict[str, Counter[int]] = field(default_factory=dict)  # of each rule that counts: how often a run came to what
    keys: dict[str, str] = field(default_factory=dict)
    tools: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Census:
    """Counts runs as they settle: `Verdicts.observe` calls it."""

    verdicts: Verdicts
    agents: dict[str, _Agent] = field(default_factory=dict)

    def __call__(self, run: Run) -> None:
        """One more run."""
        name = self.verdicts.name
        agent = self._agent(name(run.agent) or name(run.service) or "-")
        agent.runs += 1
        agent.tools.update({name(step[4]) for step in run.calls})
        for each in reached(run, self.verdicts.settings.detect, self.verdicts.judge.past):
            if each.key and each.rule.startswith("loop/"):
                agent.keys[each.rule] = each.key
                agent.values.setdefault(each.rule, Counter())[int(each.value)] += 1

    def _agent(self, name: str) -> _Agent:
        if name not in self.agents and len(self.agents) >= AGENTS_MAX:
            name = _OTHERS
        return self.agents.setdefault(name, _Agent())

    def report(self, findings: Sequence[Finding]) -> str:
        """A table of agents and rules, and the lines of configuration."""
        told = Counter((finding.agent or finding.service or "-", finding.rule, str(finding.severity)) for finding in findings)
        if not told:
            return ""
        rows = [self._row(*key, count) for key, count in sorted(told.items(), key=lambda item: (-item[1], item[0]))]
        parts = ["by agent and rule", table(rows, ("agent", "rule", "severity", "findings", "of runs", "share", "99 in 100 runs stay at"))]
        if lines := [*self._quieter(told), *self._armed()]:
            parts += ["lines for the configuration, to be looked at one by one", "\n".join(lines)]
        return "\n\n".join(parts)

    def _row(self, agent: str, rule: str, severity: str, count: int) -> list[str]:
        known = self.agents.get(agent, _Agent())
        share = f"{100 * count / known.runs:.1f} %" if known.runs else "-"
        return [agent, rule, severity, str(count), str(known.runs), share, str(_high(known.values.get(rule)) or "-")]

    def _quieter(self, told: Mapping[tuple[str, str, str], int]) -> Iterator[str]:
        for (agent, rule, severity), count in sorted(told.items()):
            known = self.agents.get(agent)
            if known is None or known.runs < _RUNS_MIN or count < _LOUD * known.runs or severity not in ("critical", "high"):
                continue
            why = f"# {count} of {known.runs} runs of {agent}"
            yield f'detect: {{disable: ["{rule}@{agent}"]}}  {why}'
            if 0 < (high := _high(known.values.get(rule))) < _COUNT_MAX:
                section, name = known.keys[rule].split(".")
                yield f"detect: {{{section}: {{{name}: {high + 1}}}}}  {why}; for every agent: 99 in 100 runs of this one stay at {high}"

    def _armed(self) -> Iterator[str]:
        for name, agent in sorted(self.agents.items()):
            always = [tool for tool, count in sorted(agent.tools.items()) if tool and count >= _ARM_SHARE * agent.runs]
            if agent.runs >= _ARM_RUNS and always and name != _OTHERS:
                tools = ", ".join(json.dumps(tool) for tool in always)
                why = f"# called in at least {100 * _ARM_SHARE:.0f} of 100 of its {agent.runs} runs"
                yield f"detect: {{tool_skipping: {{expectations: [{{agent: {json.dumps(name)}, require: [{tools}]}}]}}}}  {why}"


def _high(values: Counter[int] | None) -> int:
    if not values:
        return 0
    left = math.ceil(0.99 * values.total())
    for value in sorted(values):
        left -= values[value]
        if left <= 0:
            return value
    return 0


# What a label of one's own means for which rules; of `success`, an alert on a run that succeeded is a false one.
LABELS: Final = {
    "loop": "loop/",
    "claim_not_done": "tool_skipping/claimed",
    "skip": "tool_skipping/expected",
    "requested_not_executed": "tool_skipping/requested_not_executed",
}


def scored(findings: Iterable[Finding], labels: Iterable[Mapping[str, Any]]) -> str:
    """Precision and recall of the alerts (critical and high) by label, for rows of `{"trace_id": …, "label": {…}}`."""
    rules: dict[str, set[str]] = {}
    for finding in findings:
        if finding.severity.rank < 2:
            rules.setdefault(finding.trace_id.hex(), set()).add(finding.rule)
    rows = list(labels)
    lines = [line for label, prefix in LABELS.items() if (line := _score(label, prefix, rows, rules))]
    good = [row for row in rows if row.get("label", {}).get("success")]
    said = table(lines, ("label", "rules", "runs", "positives", "precision", "recall")) if lines else "no label that a rule answers to"
    if good:
        alarmed = sum(1 for row in good if rules.get(row["trace_id"]))
        said += f"\n\n{alarmed} of {len(good)} successful runs have an alert ({100 * alarmed / len(good):.1f} %)"
    return said


def _score(label: str, prefix: str, rows: Sequence[Mapping[str, Any]], rules: Mapping[str, set[str]]) -> list[str]:
    judged = [(bool(row["label"][label]), row["trace_id"]) for row in rows if row.get("label", {}).get(label) is not None]
    if not judged:
        return []
    hits = [truth for truth, trace in judged if any(rule.startswith(prefix) for rule in rules.get(trace, ()))]
    positives = sum(truth for truth, _ in judged)
    precision = f"{sum(hits) / len(hits):.2f}" if hits else "-"
    recall = f"{sum(hits) / positives:.2f}" if positives else "-"
    return [label, f"{prefix}*" if prefix.endswith("/") else prefix, str(len(judged)), str(positives), precision, recall]
