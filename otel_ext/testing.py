"""The kit to test a rule with: write an agent run down, send it through the real pipeline, look at what was found.

run = AgentRun("clerk").call("lookup_order", {"id": 7}, "paid").call("refund", {"id": 7}, "ok").says("Your money is on its way.")
assert [finding.rule for finding in findings_of(run, RefundUnseen())] == []
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from otel_ext.dialects import KEYS, RULES
from otel_ext.model import Finding
from otel_ext.pipeline import Pipeline
from otel_ext.rules import Rule
from otel_ext.samples import Agent
from otel_ext.settings import NS_PER_S, Settings
from otel_ext.wire import make_codec

__all__ = ["AgentRun", "findings_of"]

_START_NS = 1_800_000_000 * NS_PER_S


class AgentRun:
    """One run, step by step. Every method gives the run back, so that they chain."""

    def __init__(self, agent: str, *, service: str = "test", number: int = 1, expected: Sequence[str] = ()) -> None:
        self._agent = Agent(hashlib.sha256(f"{agent} {number}".encode()).digest()[:16], agent, _START_NS, service, expected=expected)

    def asked(self, text: str) -> AgentRun:
        """The user says something."""
        self._agent.ask(text)
        return self

    def call(self, tool: str, arguments: dict[str, object], result: str, *, error: str = "") -> AgentRun:
        """The model asks for a tool, and gets it; with *error*, the tool failed with an error of this type."""
        self._agent.call(tool, arguments, result, error)
        return self

    def asks_in_vain(self, tool: str, arguments: dict[str, object]) -> AgentRun:
        """The model asks for a tool, and nothing shows that it ran."""
        self._agent.chat(calls=[(f"vain_{tool}", tool, arguments)])
        return self

    def says(self, text: str, *, tokens: tuple[int, int] = (900, 60)) -> AgentRun:
        """The model answers; *tokens* are those of input and output."""
        self._agent.chat(text, tokens=tokens)
        return self

    def waits(self, seconds: float) -> AgentRun:
        """Time passes before the next step."""
        self._agent.wait(seconds)
        return self

    def request(self) -> bytes:
        """The run as an OTLP ExportTraceServiceRequest."""
        return self._agent.end()


def findings_of(run: AgentRun | Sequence[AgentRun], *rules: Rule, settings: Settings | None = None) -> list[Finding]:
    """What stands once *run* (or several, in order) has settled: findings of *rules*, and with *settings* those of the built-in ones.

    Raises what a rule raised: in a test, a broken rule is a broken test.
    """
    pipeline = Pipeline(settings or Settings(), make_codec(KEYS, RULES), with_llm=False, rules=rules)
    found: dict[tuple[bytes, str, str], Finding] = {}
    for each in [run] if isinstance(run, AgentRun) else run:
        outcome = pipeline.process(each.request(), _START_NS)
        for finding in (*outcome.findings, *pipeline.settle_all().findings):
            found[finding.trace_id, finding.rule, finding.message] = finding
    for own in pipeline.verdicts.judge.own:
        if own.failed:
            raise AssertionError(f"{own.own.rule} raised {', '.join(own.failed)}")
    standing = [finding for finding in found.values() if not finding.withdrawn]
    wanted = {rule.rule for rule in rules}
    return standing if settings else [finding for finding in standing if finding.rule in wanted]
