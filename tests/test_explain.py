"""`scan --explain`, what `scan` says at its end, and `--labels`: through the command, over files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from otel_ext.cli import main
from otel_ext.testing import AgentRun


def stored(folder: Path, runs: list[AgentRun]) -> str:
    path = folder / "traces.bin"
    path.write_bytes(b"".join(len(request).to_bytes(4, "big") + request for request in (run.request() for run in runs)))
    return str(path)


def looping(agent: str, number: int = 1, times: int = 3) -> AgentRun:
    run = AgentRun(agent, number=number)
    for _ in range(times):
        run.call("search", {"q": "a secret question"}, "a secret answer")
    return run.says("I could not find it.")


def healthy(agent: str, number: int) -> AgentRun:
    return AgentRun(agent, number=number).call("search", {"q": number}, f"found {number}").says(f"It is number {number} of the list.")


def trace_of(run: AgentRun) -> str:
    from otel_ext.dialects import KEYS, RULES
    from otel_ext.wire import make_codec

    return make_codec(KEYS, RULES).scan(run.request()).trace_ids[0].hex()


def test_a_trace_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each step with its fingerprints, the evidence marked, each rule with what the run came to and what it fires at."""
    run = looping("planner")
    assert main(["scan", stored(tmp_path, [run, healthy("planner", 2)]), "--explain", trace_of(run)[:10]]) == 0
    out = capsys.readouterr().out
    assert out.count("*  tool   search") == 3
    (fired,) = [line for line in out.splitlines() if line.startswith("fired")]
    assert "loop/identical_calls" in fired
    assert "3 equal calls" in fired
    assert "3 (detect.loop.identical_calls)" in fired
    assert "loop/cycle" in out


def test_why_a_rule_did_not_fire(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two of three: the number is there."""
    run = looping("planner", times=2)
    assert main(["scan", stored(tmp_path, [run]), "--explain", trace_of(run)]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if "loop/identical_calls" in line)
    assert "fired" not in line
    assert "2 equal calls" in line


def test_no_payload_in_an_explanation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Prompts, arguments and results are other people's."""
    run = looping("planner")
    main(["scan", stored(tmp_path, [run]), "--explain", trace_of(run)])
    assert "secret" not in capsys.readouterr().out


@pytest.mark.parametrize("prefix", ["ffffffff", ""])
def test_which_trace_must_be_clear(prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """None, or several: said, exit 2."""
    assert main(["scan", stored(tmp_path, [looping("planner"), healthy("planner", 2)]), "--explain", prefix or "0123456789abcdef0123"]) == 2
    assert "needed is one" in capsys.readouterr().err


def test_an_explanation_shows_what_a_rule_without_a_count_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An expectation has no number to show: its message is."""
    run = AgentRun("planner", expected=["search"]).says("It is 42.")
    main(["scan", stored(tmp_path, [run]), "--explain", trace_of(run)])
    assert "without a successful call of search" in capsys.readouterr().out


def test_a_scan_ends_with_what_to_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Per agent and rule: how many, of how many runs; and lines for the configuration that can be used as they are."""
    runs = [healthy("clerk", number) for number in range(60)] + [looping("clerk", 100 + number) for number in range(6)]
    assert main(["scan", stored(tmp_path, runs)]) == 0
    out = capsys.readouterr().out
    row = next(line for line in out.splitlines() if line.startswith("clerk") and "loop/identical_calls" in line)
    assert "9.1 %" in row
    lines = [line for line in out.splitlines() if line.startswith("detect:")]
    assert any('require: ["search"]' in line for line in lines)
    quiet = next(line for line in lines if "disable:" in line)
    config = tmp_path / "quiet.yaml"
    config.write_text(quiet)
    main(["scan", stored(tmp_path, runs), "--config", str(config)])
    assert "nothing found" in capsys.readouterr().out


def test_labels_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Precision and recall by label, and false alarms on runs that succeeded."""
    runs = [looping("clerk", 1), looping("clerk", 2), healthy("clerk", 3), healthy("clerk", 4)]
    truth = [True, False, True, False]
    labels = tmp_path / "labels.jsonl"
    rows = [{"trace_id": trace_of(run), "label": {"loop": loop, "success": True}} for run, loop in zip(runs, truth, strict=True)]
    labels.write_text("\n".join(map(json.dumps, rows)))
    assert main(["scan", stored(tmp_path, runs), "--labels", str(labels)]) == 0
    out = capsys.readouterr().out
    line = next(line for line in out.splitlines() if line.startswith("loop "))
    assert line.split()[-4:] == ["4", "2", "0.50", "0.50"]
    assert "2 of 4 successful runs have an alert (50.0 %)" in out


def test_a_row_that_is_no_label(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its line is named."""
    labels = tmp_path / "labels.jsonl"
    labels.write_text('{"trace_id": "00", "label": {}}\n{"trace": 1}\n')
    assert main(["scan", stored(tmp_path, [healthy("clerk", 1)]), "--labels", str(labels)]) == 2
    assert "line 2" in capsys.readouterr().err
