"""The benchmark harness works: its load is what it says, and a smoke run gives figures. No test here looks at a time."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks import micro
from benchmarks.payload import SHAPES, Payload, Shape, sent_rows
from otel_ext.configfile import load
from otel_ext.detectors import call_rules, model_rules
from otel_ext.judge import Judge

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("shape", SHAPES.values(), ids=str)
def test_batches_hold_the_spans_they_say(shape: Shape) -> None:
    """A batch is a valid request with the promised number of spans, under the ids that the ledger has."""
    batch = next(Payload(shape).batches(1))
    request = ExportTraceServiceRequest.FromString(batch.body)
    spans = [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]
    assert len(spans) == shape.spans_per_batch
    rows = sent_rows([batch])
    assert {span.span_id for span in spans} == {int(number).to_bytes(8, "little") for number in rows["span"]}
    assert {span.trace_id for span in spans} == set(rows["trace"].tolist())
    assert not re.search(rb"@[cn]\d\d@", batch.body)


def test_nothing_can_be_deduplicated() -> None:
    """No two spans of a load share an id, and the same seed gives the same bytes."""
    rows = sent_rows(list(Payload(SHAPES["16"]).batches(200)))
    assert len(np.unique(rows["span"])) == len(rows)
    assert len(np.unique(rows["trace"])) == len(rows) // 16
    assert next(Payload(SHAPES["16"]).batches(1)).body == next(Payload(SHAPES["16"]).batches(1)).body


def test_the_payload_is_as_large_as_the_design_says() -> None:
    """480 bytes a span and three quarters GenAI; a fat LLM span carries 20 KB of messages."""
    payload = Payload(SHAPES["512"])
    assert 460 < payload.span_bytes < 500
    assert sent_rows(list(payload.batches(1)))["genai"].mean() == 0.75
    request = ExportTraceServiceRequest.FromString(next(Payload(SHAPES["fat"]).batches(1)).body)
    spans = [span for scope in request.resource_spans[0].scope_spans for span in scope.spans]
    assert all(span.ByteSize() > 20_000 for span in spans if span.name.startswith("chat "))


def test_smoke_run_gives_figures(tmp_path: Path) -> None:
    """`--quick` measures both floors, and all that was sent arrived."""
    figures = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks.run", "--quick", "--only", "throughput", "--shapes", "16"]
    command += ["--contenders", "floor-receive,floor-forward", "--json", str(figures)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    assert "CPU µs/span" in run.stdout
    receive, forward = json.loads(figures.read_text())
    for result in (receive, forward):
        assert result["spans"] > 0
        assert result["seconds"] > 0
        assert result["peak_mib"] > 0
        assert not result["note"]
    assert forward["arrivals"]["tempo"]["missing"] == forward["arrivals"]["tempo"]["doubled"] == 0


def test_every_rule_has_its_cost() -> None:
    """The table of rules names each that runs by default."""
    settings = load("", {}).detect
    rules = (*call_rules(settings.loop), *model_rules(settings.loop), *Judge(settings, str, len)._runs)
    told = {line.split()[0] for line in micro.tables(quick=True).splitlines() if line.strip()}
    assert told >= {type(rule).__name__ for rule in rules}
