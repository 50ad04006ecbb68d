"""Real runs by real packages: model calls, tokens and tool calls as the model server and the tools themselves counted them.

Not the findings (tests/test_measured.py), but what they are made from. Skipped where the captures are not at hand.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from otel_ext.detectors.base import KIND, NAME, SPAN, Step, hollow
from otel_ext.detectors.runs import distinct, twice
from otel_ext.dialects import HANDOFF_PREFIXES, OUTPUT_TOOLS
from otel_ext.tracebook import ROW
from otel_ext.wire.otlp_json import to_protobuf
from otel_ext.wire.steps import LLM, TOOL
from tests.dialects.kit import CODECS, NativeCodec, codec_of
from tests.wire.sample import flatten

CAPTURES = Path(__file__).parents[3] / "shared" / "captures"
COUNTS = ("input", "output", "cached")
Run = dict[str, Any]

# What a capture cannot show: where, what, and why.
LOST = "nothing of the resumed second run is exported"
UNRECORDED = "cached tokens are not recorded"
LIMITS = {
    ("openai-agents__openinference/S4c", "calls"): LOST,
    ("openai-agents__openinference/S4c", "input"): LOST,
    ("openai-agents__openinference/S4c", "output"): LOST,
    ("openai-client__v2-experimental", "cached"): UNRECORDED,
    ("smolagents__openinference", "cached"): UNRECORDED,
    ("google-adk__builtin/S4c", "tools"): "a call that a callback refused has the span of a call that failed",
    ("mcp__openinference-stdio/S4", "tools"): "to the client a tool that does not exist is a call that failed",
}


def limit(run: Run, what: str) -> str:
    """Why *what* cannot be right for this run; "" where it must be."""
    name = run["file"].removesuffix(".otlp.jsonl.gz")
    return LIMITS.get((name, what)) or LIMITS.get((name.split("/")[0], what), "")


def captures() -> list[Run]:
    runs: list[Run] = json.loads((CAPTURES / "manifest.json").read_text()) if CAPTURES.is_dir() else []
    return runs


@dataclass
class Counted:
    """A run as its spans tell it: each model call with its counts, None where unknown; the tools that were executed."""

    models: list[dict[str, int | None]] = field(default_factory=list)
    tools: Counter[str] = field(default_factory=Counter)

    def total(self, count: str) -> int:
        return sum(model[count] or 0 for model in self.models)


def counted(path: Path, kind: str) -> Counted:
    codec = codec_of(kind)
    steps: dict[bytes, set[Step]] = defaultdict(set)
    rows: dict[int, np.void] = {}
    with gzip.open(path) as lines:
        for line in lines:
            scan = codec.scan(to_protobuf(line))
            for trace, first, count, *_ in scan.groups.tolist():
                steps[scan.trace_ids[trace]].update(ROW.iter_unpack(scan.steps[first : first + count].tobytes()))
            rows.update((int(scan.spans[row]["span_id"]) & 0xFFFFFFFF, scan.spans[row]) for row in scan.step_rows.tolist())
    told = Counted()
    for of_trace in steps.values():
        ordered = sorted(of_trace)
        told.models += models(ordered, rows)
        told.tools.update(codec.name(step[NAME]) for step in distinct(ordered) if step[KIND] == TOOL and not hollow(step))
    told.tools = Counter(
        {tool: count for tool, count in told.tools.items() if tool not in OUTPUT_TOOLS and not tool.startswith(HANDOFF_PREFIXES)}
    )
    return told


def models(steps: list[Step], rows: dict[int, np.void]) -> Iterator[dict[str, int | None]]:
    """The model calls of a trace, each once: a count that one of its spans lacks is another's."""
    again = twice(steps)
    for step in steps:
        if step[KIND] == LLM and step[SPAN] not in again:
            spans = [rows[step[SPAN]], *(rows[span] for span, outer in again.items() if outer == step[SPAN])]
            counts = {count: max(int(span[f"{count}_tokens"]) for span in spans) for count in COUNTS}
            yield {count: known if known >= 0 else None for count, known in counts.items()}


@pytest.mark.parametrize("kind", CODECS)
@pytest.mark.parametrize("run", captures(), ids=lambda run: str(run["file"]))
def test_a_run_is_counted_as_it_was(run: Run, kind: str) -> None:
    """Model calls, tokens and executed tools; and calls without a count are those for which the server sent none."""
    truth = run["ground_truth"]
    told = counted(CAPTURES / run["file"], kind)
    seen: dict[str, object] = {
        "calls": len(told.models),
        "input": told.total("input"),
        "output": told.total("output"),
        "cached": told.total("cached"),
        "tools": told.tools,
    }
    wanted = {
        "calls": truth["llm_calls"],
        "input": truth["total_input_tokens"],
        "output": truth["total_output_tokens"],
        "cached": truth["cached_tokens"],
        "tools": Counter(truth["tools_executed"]),
    }
    wrong = {what for what in wanted if seen[what] != wanted[what]}
    assert wrong == {what for what in wanted if limit(run, what) and seen[what] != wanted[what]}
    if not limit(run, "calls"):
        assert sum(model["input"] is None for model in told.models) == truth["usage_not_sent_calls"]


def test_limits_are_real() -> None:
    """Each named limit still limits: one that does not is to be struck out."""
    if not captures():
        pytest.skip("the captures are not here")
    for (name, what), reason in LIMITS.items():
        runs = [run for run in captures() if run["file"].startswith(name)]
        assert reason
        assert any(differs(run, what) for run in runs), (name, what)


def differs(run: Run, what: str) -> bool:
    told, truth = counted(CAPTURES / run["file"], "pure"), run["ground_truth"]
    seen = {"calls": len(told.models), "tools": told.tools, **{count: told.total(count) for count in COUNTS}}
    wanted = {"calls": truth["llm_calls"], "tools": Counter(truth["tools_executed"]), "cached": truth["cached_tokens"]}
    wanted |= {"input": truth["total_input_tokens"], "output": truth["total_output_tokens"]}
    return bool(seen[what] != wanted[what])


@pytest.mark.parametrize("pair", sorted({run["file"].split("/")[0] for run in captures()}))
def test_both_codecs_read_real_spans_alike(pair: str) -> None:
    """All columns, by the real tables."""
    if NativeCodec is None:
        pytest.skip("the native codec was not built")
    pure, native = codec_of("pure"), codec_of("native")
    for path in sorted((CAPTURES / pair).glob("S*.otlp.jsonl.gz")):
        with gzip.open(path) as lines:
            for payload in map(to_protobuf, (line for line in lines if b"resourceSpans" in line)):
                assert flatten(native.scan(payload)) == flatten(pure.scan(payload))
