"""`python -m tests.measure_claims ../shared`: claimed, not done, over labelled traces, captures and sentences, each part by itself.

It reads the data itself, apart from the pipeline: what the rule can do, whatever the rest of the house makes of it.
"""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from otel_ext.detectors.claim_check import Call, effect, unbacked
from otel_ext.detectors.claim_texts import texts_of
from otel_ext.detectors.claims import Said, read
from tests.detectors.claim_messages import MESSAGES
from tests.detectors.claim_sentences import LATER, ROWS


class Run(NamedTuple):
    """A labelled trace: what was said, what was called, and whether something was claimed that was not done."""

    key: str
    half: int
    agent: str
    said: list[Said]
    calls: list[Call]
    label: dict[str, Any]
    trace_id: str


class Score(NamedTuple):
    """Hits, false alarms, misses."""

    hits: int
    false: int
    missed: int

    def __str__(self) -> str:
        found, wanted = self.hits + self.false, self.hits + self.missed
        shares = [f"{self.hits / n:.2f}" if n else " -  " for n in (found, wanted)]
        return f"P {shares[0]}  R {shares[1]}  ({self.hits} of {wanted} found, {self.false} false)"


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt") as file:
        yield from map(json.loads, file)


def _spans(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for resource in request["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            yield from scope["spans"]


def _attributes(span: dict[str, Any]) -> dict[str, Any]:
    return {a["key"]: a["value"]["stringValue"] for a in span.get("attributes", ()) if "stringValue" in a["value"]}


def _failed(span: dict[str, Any]) -> bool:
    return span.get("status", {}).get("code") in (2, "STATUS_CODE_ERROR")


def runs(data: Path) -> Iterator[Run]:
    """The labelled traces under *data*. The halves have no task in common."""
    labels = {row["trace_id"]: row for row in _lines(data / "dev.labels.jsonl.gz")}
    for request in _lines(data / "dev.otlp.jsonl.gz"):
        said, calls, agent, trace_id = [], [], "", ""
        for span in _spans(request):
            attributes, end = _attributes(span), int(span["endTimeUnixNano"])
            agent, trace_id = attributes["gen_ai.agent.name"], span["traceId"]
            if attributes["gen_ai.operation.name"] == "execute_tool":
                calls.append(Call(attributes["gen_ai.tool.name"], _failed(span), end))
            elif output := attributes.get("gen_ai.output.messages"):
                said.append(read(texts_of(output.encode()), end))
        row = labels[trace_id]
        half = zlib.crc32(f"{row['label'].get('domain')}:{row['task_id'].split(':')[-1]}".encode()) % 2
        yield Run(f"{row['dataset']}/{agent}", half, agent, sorted(said), sorted(calls, key=lambda call: call.time), row["label"], trace_id)


def score(judged: Iterable[tuple[bool, bool]]) -> Score:
    """Of (wanted, found) pairs."""
    pairs = list(judged)
    return Score(pairs.count((True, True)), pairs.count((False, True)), pairs.count((True, False)))


def wanted(run: Run) -> bool:
    """What the label says."""
    return bool(run.label.get("claim_not_done"))


def measure_traces(data: Path) -> None:
    """Precision and recall per half; and how often the rule notices when the calls of a successful run are taken away."""
    all_runs = list(runs(data))
    known: dict[str, set[str]] = defaultdict(set)
    for run in all_runs:
        known[run.key].update(call.tool for call in run.calls)
    tau = [run for run in all_runs if run.key.startswith("tau")]
    found = {run.trace_id: unbacked(run.said, run.calls, known[run.key]) for run in all_runs}
    for name, halves in (("all", (0, 1)), ("half 0", (0,)), ("half 1", (1,))):
        print(f"tau, {name:22} {score((wanted(run), bool(found[run.trace_id])) for run in tau if run.half in halves)}")
    good = [run for run in tau if run.label.get("success")]
    print(f"tau, alarms on successful runs {sum(bool(found[run.trace_id]) for run in good)} of {len(good)}")
    rest = [run for run in all_runs if not run.key.startswith("tau")]
    print(f"terminal-bench, alarms         {sum(bool(found[run.trace_id]) for run in rest)} of {len(rest)}")
    measure_robbed(good, known)
    every = {row.tool for row in (*ROWS, *LATER)}.union(*(tools for _, tools, _, _ in MESSAGES), *known.values())
    false = sum(bool(unbacked(run.said, run.calls, every)) for run in all_runs if not wanted(run))
    print(f"false alarms with {len(every)} tools known, most of other domains: {false} of {sum(not wanted(run) for run in all_runs)}")
    for run in tau:
        if wanted(run) != bool(found[run.trace_id]):
            said = [(claim.action, *claim.object) for claim in found[run.trace_id]]
            print(f"  {'missed' if wanted(run) else 'false'} {run.trace_id} {said}")


def measure_robbed(good: list[Run], known: dict[str, set[str]]) -> None:
    """Successful service runs without the calls that changed something: what they say is claimed and not done now."""
    caught = robbed = 0
    for run in good:
        kept = [call for call in run.calls if not (done := effect(call.tool)) or done.action == "handoff"]
        if len(kept) < len(run.calls) and "telecom" not in run.agent:
            robbed += 1
            caught += bool(unbacked(run.said, kept, known[run.key]))
    print(f"tau, successful runs robbed of their calls: noticed {caught} of {robbed}")


def measure_sentences() -> None:
    """The labelled sentences, each with its tool known and not called."""
    for name, rows in (("sentences", ROWS), ("sentences, written later", LATER)):
        print(f"{name:27} {score((row.claimed, bool(unbacked([read(row.text, 1)], [], [row.tool]))) for row in rows)}")


_OUTPUTS = ("gen_ai.output.messages", "output.value", "llm.output_messages.0.message.content", "gen_ai.completion.0.content",
            "langfuse.observation.output", "traceloop.entity.output", "final_result", "message")  # fmt: skip


def measure_messages() -> None:
    """The labelled messages of agents with several tools."""
    pairs = []
    for text, known, made, claimed in MESSAGES:
        calls = [Call(call.rstrip("!"), call.endswith("!"), 1) for call in made]
        pairs.append((claimed, bool(unbacked([read(text, 5)], calls, known))))
    print(f"{'messages, written later':27} {score(pairs)}")


def _capture(path: Path, truth: dict[str, Any]) -> tuple[list[Said], list[Call]]:
    said = []
    for request in _lines(path):
        for span in _spans(request):
            attributes = _attributes(span) | {
                a["key"]: a["value"]["stringValue"]
                for event in span.get("events", ())
                for a in event.get("attributes", ())
                if "stringValue" in a["value"] and (a["key"] in _OUTPUTS or (event["name"], a["key"]) == ("gen_ai.choice", "message"))
            }
            said += [read(texts_of(attributes[key].encode()), int(span["endTimeUnixNano"])) for key in _OUTPUTS if key in attributes]
    return sorted(said), [Call(name, not good, 1) for name, _, good in truth["tools_executed_detail"]]


def measure_captures(captures: Path) -> None:
    """What real instrumentations recorded, with the calls that truly ran: S5 claims, nothing else may."""
    wanted, found = defaultdict(int), defaultdict(int)
    for run in json.loads((captures / "manifest.json").read_text()):
        said, calls = _capture(captures / run["file"], run["ground_truth"])
        wanted[run["scenario"]] += 1
        hit = bool(unbacked(said, calls, ["search", "calculate", "book_flight"]))
        found[run["scenario"]] += hit
        if hit != ("tool_skipping/claimed" in run["ground_truth"]["expected_findings"]):
            print(f"  {run['file']}: {'unexpected' if hit else 'missed'}")
    print("captures, claimed found in  ", ", ".join(f"{scenario} {found[scenario]} of {n}" for scenario, n in sorted(wanted.items())))


def main(shared: Path) -> int:
    measure_sentences()
    measure_messages()
    if (shared / "data").is_dir():
        measure_traces(shared / "data")
    if (shared / "captures").is_dir():
        measure_captures(shared / "captures")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
