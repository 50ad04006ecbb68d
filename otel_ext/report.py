"""Findings for people: a table for a terminal. Pure text."""

from __future__ import annotations

from collections.abc import Sequence

from otel_ext.correlate import urls
from otel_ext.model import Finding
from otel_ext.settings import Links


def table(rows: Sequence[Sequence[str]], head: Sequence[str]) -> str:
    """Columns padded to their widest cell, a line under the head."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in [head, *rows]]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def findings_table(findings: Sequence[Finding]) -> str:
    """One line a finding, the loudest first."""
    ordered = sorted(findings, key=lambda finding: (finding.severity.rank, finding.rule))
    rows = [[str(f.severity), f.rule, f.agent or f.service or "-", f.trace_id.hex(), f.message] for f in ordered]
    return table(rows, ["severity", "rule", "agent", "trace", "what happened"])


def links_of(finding: Finding, links: Links) -> list[str]:
    """Where to look: the trace in Langfuse and in Grafana, as far as the configuration says where these are."""
    langfuse = urls.fill(urls.langfuse_template(links), finding.langfuse_trace_id or finding.trace_id.hex())
    tempo = urls.fill(urls.tempo_template(links), finding.trace_id.hex())
    return [f"{name}: {url}" for name, url in (("Langfuse", langfuse), ("Tempo", tempo)) if url]
