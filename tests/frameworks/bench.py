"""Plays a pair's scenarios, and lets a real sidecar judge what came of them.

    python -m tests.frameworks.bench [PAIR...] [--keep FOLDER]

prints how what otel_ext says differs from what the model server saw, and keeps what was exported where asked to.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from otel_ext.model import Finding
from tests.e2e.kit import Inside, Stage, config
from tests.frameworks.model_server import ModelServer, Seen
from tests.frameworks.pairs import HERE, PAIRS, Pair
from tests.frameworks.scenarios import BOOK, SCENARIOS, UNKNOWN_TOOL

TIMEOUT_S = 240
PASSED = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE")
NOWHERE = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
# What a family accepts. A tool that keeps failing may be called a loop or something of its own: silence is what would be wrong.
ACCEPTED: Mapping[str, Sequence[str]] = {
    "loop": ("loop/",),
    "requested": ("tool_skipping/requested_not_executed",),
    "claimed": ("tool_skipping/claimed",),
    "failing": ("loop/", "tool_error/", "anomaly/"),
}
# Tools that frameworks bring along, and a refused call: whether these count as calls is open to taste.
PLUMBING = ("final_answer", "transfer_to_agent", "transfer_to_booker", "handoff", "booker", UNKNOWN_TOOL)
TOKENS = ("input", "output", "cached", "reasoning")
DETAILS = ("cached", "reasoning")
ALERTS = ("critical", "high")


@dataclass
class Played:
    """One scenario of one pair: what the server saw, which tool bodies were entered, how the program ended."""

    seen: Seen
    entered: list[tuple[str, dict[str, str], bool]]
    error: str
    answer: str

    @property
    def executed(self) -> dict[str, int]:
        """How often each tool was entered."""
        return dict(Counter(tool for tool, _, _ in self.entered))

    @property
    def tokens(self) -> dict[str, int]:
        """Tokens of the answers that told them, by type; empty where none did: unknown, not zero."""
        told = [billed for billed, sent in zip(self.seen.billed, self.seen.usage_sent, strict=True) if sent]
        return {name: sum(getattr(each, name) for each in told) for name in TOKENS if told}


@dataclass
class Judged:
    """What otel_ext made of it, read where a user reads it: metrics and findings. Unknown tokens have no entry."""

    models: int
    tokens: dict[str, int]
    tools: dict[str, int]
    findings: list[Finding]

    def missing(self, expected: Sequence[str]) -> list[str]:
        """Families that are expected and were not found."""
        rules = [finding.rule for finding in self.findings]
        return [family for family in expected if not any(rule.startswith(tuple(ACCEPTED[family])) for rule in rules)]

    def uncalled_for(self, expected: Sequence[str]) -> list[str]:
        """Rules that alert and are not expected."""
        allowed = tuple(prefix for family in expected for prefix in ACCEPTED[family])
        alerts = {finding.rule for finding in self.findings if finding.severity in ALERTS}
        return sorted(rule for rule in alerts if not (allowed and rule.startswith(allowed)))


def play(pair: Pair, scenarios: Sequence[str], folder: Path) -> dict[str, Played]:
    """Run the pair's program over *scenarios* in a process of its own. Raises RuntimeError with its output where it fails."""
    truth_file = folder / f"{pair.name}.truth.json"
    with ModelServer() as server:
        command = [str(pair.interpreter), str(HERE / "agents" / pair.program), server.url, str(truth_file), pair.name, *scenarios]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, env=_environment(pair, folder), check=False, cwd=folder
        )
        if done.returncode or not truth_file.exists():
            raise RuntimeError(f"{pair.name} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}")
        (folder / f"{pair.name}.stderr").write_text(done.stderr)
        truth = json.loads(truth_file.read_text())
    return {
        name: Played(server.seen[name], [tuple(e) for e in told["entered"]], told["error"], told["answer"]) for name, told in truth.items()
    }


def _environment(pair: Pair, folder: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key in PASSED}
    told = {
        name: {"question": s.question, **{k: getattr(s, k) for k in ("streamed", "failing", "polling", "withheld", "handoff")}}
        for name, s in SCENARIOS.items()
    }
    return {
        **kept,
        **NOWHERE,
        "HOME": str(folder),
        "NODE_PATH": str(pair.modules),
        "PYTHONDONTWRITEBYTECODE": "1",
        "SCENARIOS": json.dumps(told),
    }


def judge(stage: Stage, traces: Sequence[bytes]) -> Judged:
    """Send *traces*, the bodies that exporters sent, to a real sidecar of their own, and read what it says."""
    sidecar = Inside(stage, config())
    standing: dict[tuple[bytes, str, str], Finding] = {}

    def tell(finding: Finding) -> None:
        key = (finding.trace_id, finding.rule, finding.message)
        standing.pop(key, None) if finding.withdrawn else standing.__setitem__(key, finding)

    sidecar.sidecar.on_finding = [tell]
    try:
        for body in traces:
            sidecar.export(body)
        sidecar.pass_time(3600)
        tokens, tools = Counter[str](), Counter[str]()
        for sample in sidecar.samples("llm_tokens_used_total"):
            tokens[sample.labels["token_type"]] += int(sample.value)
        for sample in sidecar.samples("mcp_tool_duration_seconds_count"):
            tools[plain(sample.labels["tool"])] += int(sample.value)
        models = int(sidecar.value("llm_request_duration_seconds_count"))
    finally:
        sidecar.close()
    return Judged(models, dict(tokens), {name: count for name, count in tools.items() if name not in PLUMBING}, list(standing.values()))


def plain(tool: str) -> str:
    """The name that the application gave a tool: Semantic Kernel puts the plugin's before it, Claude's SDK the MCP server's."""
    return tool.rpartition("-")[2].rpartition("__")[2]


def differences(played: Played, judged: Judged) -> dict[str, str]:
    """How *judged* differs from the truth, by what was compared."""
    expected = played.seen.scenario.expected
    told: dict[str, str] = {}
    if judged.models != len(played.seen.asked):
        told["models"] = f"{judged.models} model calls, the server had {len(played.seen.asked)}"
    told.update({name: text for name in TOKENS if (text := token_difference(name, played, judged))})
    withheld = [BOOK.tool] if played.seen.scenario.withheld else []  # it may have a span, as the call was refused by the framework
    tools = {name: count for name, count in judged.tools.items() if name not in withheld}
    if tools != played.executed:
        told["tools"] = f"{tools}, entered were {played.executed}"
    if missing := judged.missing(expected):
        told["missing"] = ", ".join(missing)
    if extra := judged.uncalled_for(expected):
        told["uncalled"] = ", ".join(extra)
    return told


def token_difference(name: str, played: Played, judged: Judged) -> str:
    """How the tokens of one type differ, "" where they do not. Of details that were zero, nothing need be said."""
    truth, said = played.tokens.get(name), judged.tokens.get(name)
    if said == truth or (said is None and truth == 0 and name in DETAILS):
        return ""
    return f"{said} {name} tokens, the server told {truth}"


def keep(folder: Path, pair: Pair, name: str, played: Played) -> None:
    """What was exported, a request a line, and the truth beside it."""
    from google.protobuf.json_format import MessageToDict
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    place = folder / pair.name
    place.mkdir(parents=True, exist_ok=True)
    for bodies, kind, end in ((played.seen.traces, ExportTraceServiceRequest, ""), (played.seen.logs, ExportLogsServiceRequest, ".logs")):
        lines = [json.dumps(_hex_ids(MessageToDict(kind.FromString(body), use_integers_for_enums=True))) for body in bodies]
        if lines:
            (place / f"{name}{end}.otlp.jsonl").write_text("\n".join(lines) + "\n")
    seen = played.seen
    truth = {
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
    (place / f"{name}.truth.json").write_text(json.dumps(truth, indent=1))


def _hex_ids(value: Any) -> Any:
    """OTLP/JSON has ids in hex, where protobuf's own JSON has base64."""
    if isinstance(value, list):
        return [_hex_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    ids = ("traceId", "spanId", "parentSpanId")
    return {key: base64.b64decode(item).hex() if key in ids and isinstance(item, str) else _hex_ids(item) for key, item in value.items()}


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="*")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--scenario", action="append")
    options = parser.parse_args(arguments)
    stage = Stage()
    for pair in PAIRS:
        if options.pairs and pair.name not in options.pairs:
            continue
        if not pair.is_here:
            print(f"## {pair.name}: {pair.group} is not installed")
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                told = play(pair, options.scenario or pair.scenarios, Path(folder))
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                print(f"## {pair.name}: {error}")
                continue
        print(f"## {pair.name}")
        wrong: dict[str, list[str]] = {}
        right = 0
        for name, played in told.items():
            if options.keep:
                keep(options.keep, pair, name, played)
            found = differences(played, judge(stage, played.seen.traces))
            right += not found
            for fault in played.seen.faults:
                print(f"  {name}: FAULT {fault}")
            if played.error:
                print(f"  {name}: ERROR {played.error[:150]}")
            for what, text in found.items():
                wrong.setdefault(what, []).append(f"{name}: {text}")
        for what, texts in wrong.items():
            print(f"  {what} ({len(texts)}): {'; '.join(texts[:3])}{'; ...' if len(texts) > 3 else ''}")
        print(f"  {right} of {len(told)} right", flush=True)
    stage.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
