"""What was reached on labelled runs and on captures of real frameworks stays reached. Skipped where these are not at hand."""

from __future__ import annotations

import gzip
import importlib.util
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from otel_ext.dialects import KEYS, RULES
from otel_ext.model import Finding, Severity
from otel_ext.offline import Scanner, Stored
from otel_ext.settings import Detect, Settings, ToolSkipping
from otel_ext.wire import make_codec

SHARED = Path(__file__).parents[2] / "shared"
DATA, CAPTURES = SHARED / "data", SHARED / "captures"
# Captures that do not show what happened, and why.
LIMITS = {
    "google-adk__builtin/S5": "no content on its spans: what the agent said is in log records only",
    "langfuse__observe/S5": "no tool is declared on its spans, and the one run calls none: that there is one to call is not in the file",
    "openai-client__v2-experimental/S5": "the same: this instrumentation does not write which tools the model was given",
    "google-adk__builtin/S4c": "a call that a callback refused has the span of a call that failed, and messages are in log records only",
}
CODEC = make_codec(KEYS, RULES)
Row = dict[str, Any]


def module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def scanned(path: Path) -> list[Finding]:
    return Scanner(Settings()).findings(Stored([str(path)]))


def alerts(findings: list[Finding], prefix: str = "") -> set[str]:
    """Traces with a finding of critical or high severity."""
    return {finding.trace_id.hex() for finding in findings if finding.severity.rank < 2 and finding.rule.startswith(prefix)}


@pytest.fixture(scope="module")
def stored() -> list[Finding]:
    return scanned(DATA / "dev.otlp.jsonl.gz")


@pytest.fixture(scope="module")
def labels() -> list[Row]:
    with gzip.open(DATA / "dev.labels.jsonl.gz") as lines:
        return [row for row in map(json.loads, lines) if row["dataset"] in ("tau-bench", "tau2-bench")]


def precision_recall(rows: list[Row], truth: str, hits: set[str]) -> tuple[float, float]:
    judged = [row for row in rows if row["label"].get(truth) is not None]
    found = [row["label"][truth] for row in judged if row["trace_id"] in hits]
    return sum(found) / len(found), sum(found) / sum(bool(row["label"][truth]) for row in judged)


@pytest.mark.skipif(not DATA.is_dir(), reason="the labelled traces are not here")
def test_loops_and_false_alarms(labels: list[Row], stored: list[Finding]) -> None:
    """Precision of .93 and recall of .95 or better on loops; an alert on at most 1.5 % of the runs that succeeded."""
    precision, recall = precision_recall(labels, "loop", alerts(stored, "loop/"))
    assert precision >= 0.93
    assert recall >= 0.95
    good = {row["trace_id"] for row in labels if row["label"].get("success")}
    assert len(good & alerts(stored)) <= 0.015 * len(good)


@pytest.mark.skipif(not DATA.is_dir(), reason="the labelled traces are not here")
def test_a_runaway_loop_is_told_of_early(labels: list[Row], stored: list[Finding]) -> None:
    """Half of them within the first fifth of the run, counted in spans."""
    runaway = {row["trace_id"] for row in labels if row["label"].get("reviewed_loop_severity") == "runaway"}
    shares = [first_alert(request, stored) for request in Stored([str(DATA / "dev.otlp.jsonl.gz")]) if trace_of(request) in runaway]
    assert len(shares) == len(runaway)
    assert statistics.median(shares) <= 0.2


@pytest.mark.skipif(not DATA.is_dir(), reason="the labelled traces are not here")
def test_claimed_and_not_done(labels: list[Row], stored: list[Finding]) -> None:
    """Precision of .8 and recall of .75 or better; eight positives, so one trace moves a figure by an eighth."""
    precision, recall = precision_recall(labels, "claim_not_done", alerts(stored, "tool_skipping/claimed"))
    assert precision >= 0.8
    assert recall >= 0.75


@pytest.mark.skipif(not CAPTURES.is_dir(), reason="the captures are not here")
@pytest.mark.parametrize("pair", ["langfuse__observe", "openai-client__v2-experimental"])
def test_a_claim_is_found_once_the_tool_was_seen(pair: str) -> None:
    """Where no tool is declared, it is enough that this agent called it in an earlier run."""
    stored = Stored([str(CAPTURES / pair / f"{scenario}.otlp.jsonl.gz") for scenario in ("S6", "S5")])
    at_once = Settings(detect=Detect(tool_skipping=ToolSkipping(settle=0)))
    findings = Scanner(at_once).findings(stored)
    assert [finding.severity for finding in findings if finding.rule == "tool_skipping/claimed"] == [Severity.HIGH]


@pytest.mark.skipif(not DATA.is_dir(), reason="the labelled traces are not here")
def test_required_tools(labels: list[Row], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With each task's required tools on its agent span: precision and recall of .98 or better."""
    monkeypatch.syspath_prepend(str(DATA))
    module(DATA / "with_expectations.py").main(str(DATA / "dev.otlp.jsonl.gz"), str(DATA / "dev.labels.jsonl.gz"))
    expected = tmp_path / "expected.otlp.jsonl"
    expected.write_text(capsys.readouterr().out)
    precision, recall = precision_recall(labels, "skip", alerts(scanned(expected), "tool_skipping/expected"))
    assert precision >= 0.98
    assert recall >= 0.98


def trace_of(request: bytes) -> str:
    return CODEC.scan(request).trace_ids[0].hex()


def first_alert(request: bytes, findings: list[Finding]) -> float:
    """The share of the trace's spans that had ended when its first alert came."""
    scan = CODEC.scan(request)
    about = [f.time_unix_nano for f in findings if f.trace_id == scan.trace_ids[0] and f.severity.rank < 2]
    return float((scan.spans["end"] <= min(about)).mean()) if about else 1.0


def captures() -> list[Row]:
    if not CAPTURES.is_dir():
        return []
    runs: list[Row] = json.loads((CAPTURES / "manifest.json").read_text())
    return runs


@pytest.mark.parametrize("run", captures(), ids=lambda run: str(run["file"]))
def test_captures_of_real_frameworks(run: Row) -> None:
    """Each run as it truly went: what happened is found, nothing that did not happen alarms, and a limit is one."""
    verdict: Callable[..., tuple[list[str], list[str]]] = module(CAPTURES / "check.py").verdict
    findings = [json.loads(finding.to_json()) for finding in scanned(CAPTURES / run["file"])]
    right = verdict(run["ground_truth"]["expected_findings"], findings) == ([], [])
    assert right == (run["file"].removesuffix(".otlp.jsonl.gz") not in LIMITS)
