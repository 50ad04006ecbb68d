"""Rules of one's own: how they are found, called, and kept from doing harm."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable

import pytest

from otel_ext.errors import ConfigError
from otel_ext.ruleload import load_rules
from otel_ext.rules import AgentRun as Run
from otel_ext.rules import Hit, Severity, StepKind
from otel_ext.testing import AgentRun, findings_of


class RefundUnseen:
    """A refund without a look at the order first."""

    rule = "shop/refund_unseen"

    def judge(self, run: Run) -> Iterable[Hit]:
        seen = False
        for step in run.calls():
            seen = seen or (step.name == "lookup_order" and not step.failed)
            if step.name == "refund" and not seen:
                yield Hit("refunded an order that nobody had looked at", Severity.HIGH, step, evidence={"tool": step.name})


class Broken:
    """Raises, always."""

    rule = "shop/broken"

    def judge(self, run: Run) -> Iterable[Hit]:
        raise KeyError(run.agent)


class Nameless:
    """Has no id."""

    def judge(self, run: Run) -> Iterable[Hit]:
        return []


class Curious:
    """Tells what it was shown."""

    rule = "shop/curious"

    def judge(self, run: Run) -> Iterable[Hit]:
        yield Hit(f"{run.agent} of {run.service}: " + ", ".join(f"{step.kind.name} {step.name} {step.failed}" for step in run.steps))


def test_a_rule_finds_what_it_looks_for() -> None:
    """Its hit becomes a finding about the step's span, with the rule's id and severity."""
    run = AgentRun("clerk").call("refund", {"id": 7}, "ok").says("done")
    (finding,) = findings_of(run, RefundUnseen())
    assert (finding.rule, finding.type, finding.severity) == ("shop/refund_unseen", "anomaly", Severity.HIGH)
    assert finding.evidence["tool"] == "refund"
    assert findings_of(AgentRun("clerk").call("lookup_order", {"id": 7}, "paid").call("refund", {"id": 7}, "ok"), RefundUnseen()) == []


def test_a_rule_sees_names_and_what_failed() -> None:
    """Agent, service, and each step by kind, name and outcome, in order."""
    run = AgentRun("clerk", service="shop").call("pay", {"id": 7}, "no", error="Timeout").says("sorry")
    (finding,) = findings_of(run, Curious())
    assert finding.message == "clerk of shop: LLM gpt-4o False, TOOL pay True, LLM gpt-4o False"


def test_a_broken_rule_breaks_its_own_test() -> None:
    """In the kit what a rule raises is said."""
    with pytest.raises(AssertionError, match="shop/broken raised KeyError"):
        findings_of(AgentRun("clerk").says("hello"), Broken())


def test_a_broken_rule_costs_nothing_else() -> None:
    """In a pipeline what it raises is counted, and the other rules go on."""
    from otel_ext.dialects import KEYS, RULES
    from otel_ext.pipeline import Pipeline
    from otel_ext.settings import Settings
    from otel_ext.wire import make_codec

    pipeline = Pipeline(Settings(), make_codec(KEYS, RULES), rules=[Broken(), RefundUnseen()])
    outcome = pipeline.process(AgentRun("clerk").call("refund", {"id": 7}, "ok").request(), 1)
    assert [finding.rule for finding in outcome.findings] == ["shop/refund_unseen"]
    assert pipeline.verdicts.judge.own[0].failed == {"KeyError": 1}


def test_rules_are_loaded_by_name() -> None:
    """`package.module:Class`, each once."""
    name = f"{__name__}:RefundUnseen"
    assert [type(rule).__name__ for rule in load_rules([name, name])] == ["RefundUnseen"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing", "package.module:Class"),
        ("no.such.module:Rule", "cannot be imported"),
        (f"{__name__}:NoSuchClass", "cannot be imported"),
        (f"{__name__}:load_rules", "is no class"),
        (f"{__name__}:Nameless", "Nameless.rule"),
        (f"{__name__}:AgentRun", "without arguments"),
    ],
)
def test_what_is_no_rule_is_refused(name: str, said: str) -> None:
    """With the name that was given, and what would be right."""
    with pytest.raises(ConfigError, match=said):
        load_rules([name])


def test_installed_packages_offer_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the entry point group `otel_ext.rules`."""
    point = importlib.metadata.EntryPoint("refunds", f"{__name__}:RefundUnseen", "otel_ext.rules")
    found = importlib.metadata.EntryPoints([point])
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **selected: found.select(**selected))
    assert [rule.rule for rule in load_rules([])] == ["shop/refund_unseen"]


def test_kinds_are_public() -> None:
    """A rule can tell a model call from a tool call."""
    assert StepKind.LLM is not StepKind.TOOL
