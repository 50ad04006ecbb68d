"""What a run exported, kept as OTLP/JSON lines, a request a line, with the truth beside it; and read again."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_ext.wire.otlp_json import to_protobuf
from tests.frameworks.bench import Played
from tests.frameworks.model_server import Seen
from tests.frameworks.protocols import Asked
from tests.frameworks.scenarios import SCENARIOS, Usage

IDS = ("traceId", "spanId", "parentSpanId")


def keep(folder: Path, scenario: str, played: Played) -> None:
    """Write SCENARIO.otlp.jsonl, SCENARIO.logs.otlp.jsonl where there are any, and SCENARIO.truth.json."""
    folder.mkdir(parents=True, exist_ok=True)
    seen = played.seen
    for bodies, kind, end in ((seen.traces, ExportTraceServiceRequest, ""), (seen.logs, ExportLogsServiceRequest, ".logs")):
        requests = [_with_hex_ids(MessageToDict(kind.FromString(body), use_integers_for_enums=True)) for body in bodies]
        if requests:
            (folder / f"{scenario}{end}.otlp.jsonl").write_text("".join(json.dumps(request) + "\n" for request in requests))
    (folder / f"{scenario}.truth.json").write_text(json.dumps(_truth(played), indent=1))


def _truth(played: Played) -> dict[str, Any]:
    seen = played.seen
    return {
        "llm_calls": len(seen.asked),
        "tokens": played.tokens,
        "per_call": [asdict(each) for each in seen.billed],
        "usage_sent": seen.usage_sent,
        "requested": [[call.id, call.name, dict(call.arguments)] for call in seen.requested],
        "answered": seen.answered,
        "executed": played.entered,
        "declared": sorted({tool for asked in seen.asked for tool in asked.tools}),
        "expected": list(seen.scenario.expected),
        "error": played.error,
        "answer": played.answer,
    }


def load(folder: Path) -> dict[str, Played]:
    """What was kept, by scenario; of what was asked only how often."""
    return {path.name.partition(".")[0]: _load(path) for path in sorted(folder.glob("*.truth.json"))}


def _load(path: Path) -> Played:
    name, truth = path.name.partition(".")[0], json.loads(path.read_text())
    traces = path.with_name(f"{name}.otlp.jsonl")
    lines = traces.read_bytes().splitlines() if traces.exists() else []
    seen = Seen(
        SCENARIOS[name],
        asked=[Asked("", stream=False, tools={}, answers=())] * truth["llm_calls"],
        billed=[Usage(**each) for each in truth["per_call"]],
        usage_sent=truth["usage_sent"],
        traces=[to_protobuf(line) for line in lines],
    )
    return Played(seen, truth["executed"], truth["error"], truth["answer"])


def _with_hex_ids(value: Any) -> Any:
    """OTLP/JSON has ids in hex, where protobuf's own JSON has base64."""
    if isinstance(value, list):
        return [_with_hex_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: base64.b64decode(item).hex() if key in IDS and isinstance(item, str) else _with_hex_ids(item) for key, item in value.items()
    }
