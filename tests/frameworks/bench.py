"""Plays a pair's scenarios, lets a real sidecar judge what came of them, and holds what it says against what the model server saw."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from otel_ext.model import Finding
from tests.e2e.kit import Inside, Stage, config
from tests.frameworks.model_server import ModelServer, Seen
from tests.frameworks.pairs import HERE, Pair
from tests.frameworks.scenarios import BOOK, SCENARIOS, UNKNOWN_TOOL

TIMEOUT_S = 240
AN_HOUR_S = 3600  # past every wait for late spans
TOLD = ("question", "streamed", "failing", "polling", "withheld", "handoff")
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
    entered: list[list[Any]]  # tool, arguments, whether it returned
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
        _run(command, _environment(pair, folder), folder / "output.txt")
        if not truth_file.exists():
            raise RuntimeError(f"{pair.name} did not get to its end:\n{(folder / 'output.txt').read_text()[-6000:]}")
        truth = json.loads(truth_file.read_text())
    return {name: Played(server.seen[name], told["entered"], told["error"], told["answer"]) for name, told in truth.items()}


def _run(command: Sequence[str], environment: Mapping[str, str], output: Path) -> None:
    """Run *command* to its end, or for TIMEOUT_S; what it writes goes to *output*."""
    with output.open("wb") as file, suppress(subprocess.TimeoutExpired):
        subprocess.run(command, stdout=file, stderr=file, timeout=TIMEOUT_S, env=environment, check=False, cwd=output.parent)


def _environment(pair: Pair, folder: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key in PASSED}
    told = {name: {what: getattr(scenario, what) for what in TOLD} for name, scenario in SCENARIOS.items()}
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
        sidecar.pass_time(AN_HOUR_S)
        models = int(sidecar.value("llm_request_duration_seconds_count"))
        tokens = _by_label(sidecar, "llm_tokens_used_total", "token_type")
        tools = _by_label(sidecar, "mcp_tool_duration_seconds_count", "tool")
    finally:
        sidecar.close()
    return Judged(models, tokens, _plain(tools), list(standing.values()))


def _by_label(sidecar: Inside, metric: str, label: str) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for sample in sidecar.samples(metric):
        counts[sample.labels[label]] += int(sample.value)
    return dict(counts)


def _plain(tools: Mapping[str, int]) -> dict[str, int]:
    """By the names that the application gave: Semantic Kernel puts the plugin's before it, Claude's SDK the MCP server's."""
    counts: Counter[str] = Counter()
    for tool, count in tools.items():
        counts[tool.rpartition("-")[2].rpartition("__")[2]] += count
    return {tool: count for tool, count in counts.items() if tool not in PLUMBING}


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
