"""What the metrics page must say about spans, counted in plain Python."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict

import numpy as np

from otel_ext import semconv
from otel_ext.exporters.declared import DECLARED
from otel_ext.exporters.series import LABEL_LENGTH_MAX
from otel_ext.model import StepKind
from otel_ext.wire.table import Flag

NAMES = ["", "__other__", "gpt-4o", "claude", "chat", "execute_tool", "search", 'quo"te\\back\nline', "ü" * 200, "\ud800broken", "\r \x00"]

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def name(number: int) -> str:
    return NAMES[number] if number < len(NAMES) else f"name-{number}"


def shown(text: str) -> str:
    return text[:LABEL_LENGTH_MAX].encode("utf-8", "replace").decode() or "unknown"


def brute_force(spans: np.ndarray) -> Samples:
    """What the page must say, one span and one addition at a time."""
    found: Samples = defaultdict(float)

    def histogram(metric: str, seconds: float, **labels: str) -> None:
        bounds = DECLARED[metric].buckets
        for at, le in enumerate([*map(float, bounds), "+Inf"]):
            key = (f"{metric}_bucket", tuple(sorted({**labels, "le": str(le)}.items())))
            found[key] += at >= bisect_left(bounds, seconds)
        found[f"{metric}_count", tuple(sorted(labels.items()))] += 1
        found[f"{metric}_sum", tuple(sorted(labels.items()))] += seconds

    for row in spans:
        start, end = int(row["start"]), int(row["end"])
        seconds = (end - start) / 1e9 if 0 < start < end else 0.0
        if row["kind"] in (StepKind.LLM, StepKind.EMBEDDING):
            default = "chat" if row["kind"] == StepKind.LLM else "embeddings"
            labels = {"model": shown(name(row["model"])), "operation": shown(name(row["operation"]) or default)}
            histogram(semconv.REQUEST_SECONDS, seconds, **labels)
            if not math.isnan(row["cost"]):
                found["llm_cost_dollars_total", tuple(sorted(labels.items()))] += row["cost"]
            for kind in ("input", "output", "cached", "reasoning"):
                if row[f"{kind}_tokens"] >= 0:
                    found["llm_tokens_used_total", tuple(sorted({**labels, "token_type": kind}.items()))] += int(row[f"{kind}_tokens"])
        elif row["kind"] == StepKind.TOOL or (row["kind"] == StepKind.MCP and row["tool"]):
            histogram(semconv.TOOL_SECONDS, seconds, tool=shown(name(row["tool"])), status="error" if row["flags"] & Flag.ERROR else "ok")
    return found
