"""What is usual for an agent: learned from its own runs, bounded, and kept over a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_ext.app import Sidecar
from otel_ext.baselinestore import BaselineStore
from otel_ext.configfile import load
from otel_ext.detectors.baselines import MODELS, RECENT, TOKENS, TOOLS_MAX, Baselines, Values
from otel_ext.dialects import KEYS, RULES
from otel_ext.model import Finding, Severity
from otel_ext.pipeline import Pipeline
from otel_ext.pricelist import price_list
from otel_ext.prices import PriceTable
from otel_ext.settings import Baselines as BaselineSettings
from otel_ext.settings import Detect, Prices, Settings
from otel_ext.testing import AgentRun, findings_of
from otel_ext.wire import make_codec
from otel_ext.wire.names import Names
from otel_ext.wire.table import Limits

CLERK = (2, 3)
NOW = 1_790_000_000_000_000_000
USUAL = Values(1_000, 2_000, 4, 300, 0.01)


def learned(runs: int, settings: BaselineSettings | None = None) -> Baselines:
    past = Baselines(settings or BaselineSettings())
    for number in range(runs):
        past.learn(CLERK, Values(1_000 + number % 7 * 10, 2_000, 4, 300, 0.01), {5})
    return past


def test_nothing_is_usual_before_there_were_enough_runs() -> None:
    """Ten samples asked for, nine there: no word."""
    assert learned(9).usual(CLERK, TOKENS, 10) is None
    assert learned(10).usual(CLERK, TOKENS, 10) is not None


def test_the_mean_follows_and_the_high_mark_is_of_the_last_runs() -> None:
    """A moving mean, and the percentile of a bounded number of runs."""
    past = learned(200)
    for _ in range(RECENT):
        past.learn(CLERK, Values(5_000, 2_000, 4, 300, 0.01), {5})
    usual = past.usual(CLERK, TOKENS, 10)
    assert usual is not None
    assert usual.mean == pytest.approx(5_000, rel=0.05)
    assert usual.high == 5_000
    assert usual.runs == 200 + RECENT


def test_what_is_unknown_is_not_learned() -> None:
    """An agent whose output is not recorded has no usual length of it."""
    past = Baselines(BaselineSettings())
    for _ in range(60):
        past.learn(CLERK, Values(1_000, 2_000, 4, -1, -1), ())
    usual = past.usual(CLERK, 3, 50)
    assert usual is not None
    assert (usual.mean, usual.high) == (0, 0)


def test_agents_are_bounded_and_counted() -> None:
    """The one learned first goes first."""
    past = Baselines(BaselineSettings(agents_max=2))
    for agent in (1, 2, 3):
        past.learn((agent, 0), USUAL, ())
    assert len(past) == 2
    assert past.forgotten == 1
    assert past.runs((1, 0)) == 0


def test_tools_are_bounded() -> None:
    """An agent with a thousand tools does not grow without end."""
    past = Baselines(BaselineSettings(tool_samples=10))
    for _ in range(10):
        past.learn(CLERK, USUAL, set(range(10, 1_010)))
    assert len(list(past.customary(CLERK))) == TOOLS_MAX
    assert past.left_out == 10 * (1_000 - TOOLS_MAX)


def test_a_past_survives_a_restart(tmp_path: Path) -> None:
    """Through the file, under the names and not the numbers of one process."""
    before, after = Names(Limits()), Names(Limits())
    after.intern(b"something else first")
    past = Baselines(BaselineSettings())
    key = (before.intern(b"clerk")[0], before.intern(b"shop")[0])
    for _ in range(100):
        past.learn(key, USUAL, {before.intern(b"search")[0]})
    BaselineStore(tmp_path / "b.db", 10).keep(past.dump(before.name, 10))
    again = Baselines(BaselineSettings())
    assert again.load(BaselineStore(tmp_path / "b.db", 10).load(), lambda name: after.intern(name.encode())[0]) == 0
    key = (after.intern(b"clerk")[0], after.intern(b"shop")[0])
    usual = again.usual(key, MODELS, 10)
    assert usual is not None
    assert (usual.mean, usual.runs) == (pytest.approx(4), 100)


def test_a_store_is_bounded(tmp_path: Path) -> None:
    """Agents heard of longest ago go."""
    store = BaselineStore(tmp_path / "b.db", 2)
    past = Baselines(BaselineSettings())
    for agent in range(4):
        past.learn((agent, 0), USUAL, ())
    store.keep(past.dump(str, 10))
    assert [state.agent for state in store.load()] == ["2", "3"]


def test_only_what_changed_is_written() -> None:
    """Agent by agent, so many at a time."""
    past = learned(3)
    past.learn((9, 9), USUAL, ())
    assert [len(past.dump(str, 1)), len(past.dump(str, 5)), len(past.dump(str, 5))] == [1, 1, 0]


def test_a_damaged_row_is_counted(tmp_path: Path) -> None:
    """And the others are read."""
    store = BaselineStore(tmp_path / "b.db", 10)
    rows = learned(3).dump(str, 10)
    store.keep([*rows, rows[0]._replace(agent="other", state="[1, 2]"), rows[0]._replace(agent="third", state="{")])
    assert Baselines(BaselineSettings()).load(store.load(), len) == 2


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """With its path."""
    (tmp_path / "b.db").write_text("this is no database, but long enough to look at")
    with pytest.raises(OSError, match=r"b\.db"):
        BaselineStore(tmp_path / "b.db", 10).load()


def history(runs: int, *, tokens: int = 900) -> list[AgentRun]:
    return [
        AgentRun("clerk", number=number).call("search", {"n": number}, f"found {number}").says("a " * 200, tokens=(tokens, 60))
        for number in range(runs)
    ]


def last(runs: list[AgentRun], settings: Settings | None = None) -> dict[str, Finding]:
    return {finding.rule: finding for finding in findings_of(runs, settings=settings or Settings())}


def test_a_run_with_many_times_the_tokens_of_its_agent() -> None:
    """Medium, with the mean, the deviations and the number of runs it is known from."""
    found = last([*history(30), AgentRun("clerk", number=99).call("search", {}, "found").says("more", tokens=(60_000, 60))])
    spike = found["token_spike/run"]
    assert spike.severity is Severity.MEDIUM
    assert spike.evidence["samples"] == 30


def test_an_agent_that_always_takes_much_is_left_alone() -> None:
    """No absolute number: fifty thousand tokens are usual for some."""
    runs = history(30, tokens=50_000)
    assert "token_spike/run" not in last([*runs[10:], AgentRun("clerk", number=99).says("more", tokens=(60_000, 60))], warmed(runs[:10]))


def warmed(_runs: list[AgentRun]) -> Settings:
    from otel_ext.settings import TokenSpike

    return Settings(detect=Detect(token_spike=TokenSpike(baseline_tokens=1_000_000)))


def test_a_tool_that_every_run_called_and_this_one_did_not() -> None:
    """Low, with the numbers."""
    settings = Settings(detect=Detect(baselines=BaselineSettings(tool_samples=20)))
    found = last([*history(30), AgentRun("clerk", number=99).says("It is 42, I am sure.")], settings)
    learned_rule = found["tool_skipping/learned"]
    assert learned_rule.severity is Severity.LOW
    assert (learned_rule.evidence["tool"], learned_rule.evidence["runs"]) == ("search", 30)


def test_many_more_model_calls_than_usual() -> None:
    """Medium, against this agent's own runs."""
    run = AgentRun("clerk", number=99)
    for number in range(30):
        run.call("search", {"q": chr(97 + number % 26) * (number + 1)}, f"result {number}")
    assert "anomaly/iterations" in last([*history(30), run])


async def test_the_sidecar_learns_for_the_next_one(tmp_path: Path) -> None:
    """What one process learned, the next one knows."""
    quiet = "receivers: {grpc: null, http: null}\nadmin: {endpoint: 127.0.0.1:0}\n"
    settings = load(f"detect: {{baselines: {{store: {tmp_path / 'b.db'}}}}}\n{quiet}", {})
    first = Sidecar(settings)
    await first.start()
    for run in history(12):
        await first.consume(run.request())
    await first.stop()
    second = Sidecar(settings)
    intern = second.codec.intern
    assert second.pipeline.verdicts.judge.past.runs((intern("clerk"), intern("test"))) == 12


def test_a_run_that_cost_many_times_the_usual() -> None:
    """Medium, in dollars, where prices are known; what a conversation with a dearer model costs is its own agent's business."""
    table = PriceTable(price_list(Prices()), (codec := make_codec(KEYS, RULES)).name)
    pipeline = Pipeline(Settings(), codec, with_llm=False, costs=table.costs)
    found = []
    for run in [*history(30), AgentRun("clerk", number=99).call("search", {}, "found").says("more", tokens=(600_000, 60))]:
        outcomes = pipeline.process(run.request(), NOW), pipeline.settle_all()
        found += [finding for outcome in outcomes for finding in outcome.findings if finding.rule == "anomaly/cost"]
    (dear,) = found
    assert dear.severity is Severity.MEDIUM
    assert isinstance(dear.evidence["dollars"], float)
    assert dear.evidence["dollars"] > 1
    assert dear.evidence["samples"] == 30
