"""Findings as span data: attributes and an event on the span at fault, or a span of their own once that one has left."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from otel_ext import __version__, semconv
from otel_ext.correlate.links import bit
from otel_ext.dialects import Mark
from otel_ext.model import Finding, Severity
from otel_ext.wire import encode
from otel_ext.wire.table import Column

WITHDRAWN = "otel_ext.withdrawn"


@dataclass(frozen=True, slots=True)
class Marked:
    """Findings by the row of their span."""

    rows: Mapping[int, Sequence[Finding]]
    spans: np.ndarray

    def column(self, fragment: list[bytes]) -> Column:
        """One fragment a marked row, in the order of `rows`."""
        indices = np.zeros(len(self.spans), dtype=np.uint32)
        indices[list(self.rows)] = np.arange(1, len(self.rows) + 1, dtype=np.uint32)
        return indices, [b"", *fragment]


def loudest(findings: Sequence[Finding]) -> Severity:
    """The severity of the most severe of *findings*."""
    return min((finding.severity for finding in findings), key=lambda severity: severity.rank)


def mark(marked: Marked) -> list[Column]:
    """What the spans at fault gain in the whole tree: rule ids, severity, an event a finding."""
    if not marked.rows:
        return []
    flags = marked.spans["flags"]
    return [marked.column([_fragment(found, int(flags[row])) for row, found in marked.rows.items()])]


def _fragment(findings: Sequence[Finding], flags: int) -> bytes:
    parts = []
    if not flags & bit(Mark.FINDINGS):
        parts.append(encode.attribute(semconv.FINDINGS, [finding.rule for finding in findings]))
    if not flags & bit(Mark.SEVERITY):
        parts.append(encode.attribute(semconv.SEVERITY, str(loudest(findings))))
    parts += [encode.event(semconv.FINDING_EVENT, finding.time_unix_nano, details(finding)) for finding in findings]
    return b"".join(parts)


# What a Langfuse list shows at no cost: a level it counts per trace, and a sentence.
LEVELS = {Severity.CRITICAL: "ERROR", Severity.HIGH: "ERROR", Severity.MEDIUM: "WARNING"}


def mark_observations(marked: Marked) -> list[Column]:
    """What the spans at fault gain in the LLM tree: level, status message, and the details as metadata of their own."""
    if not marked.rows:
        return []
    flags = marked.spans["flags"]
    return [marked.column([_observation(found, int(flags[row])) for row, found in marked.rows.items()])]


def _observation(findings: Sequence[Finding], flags: int) -> bytes:
    level = LEVELS.get(loudest(findings))
    attributes: dict[str, encode.Value] = {}
    if level and not flags & bit(Mark.OBSERVATION_LEVEL):
        attributes[semconv.OBSERVATION_LEVEL] = level
    if level and not flags & bit(Mark.OBSERVATION_STATUS):
        attributes[semconv.OBSERVATION_STATUS] = "; ".join(finding.message for finding in findings)
    if not flags & bit(Mark.OBSERVATION_FINDINGS):
        attributes[semconv.OBSERVATION_METADATA + semconv.FINDINGS] = [finding.rule for finding in findings]
    if not flags & bit(Mark.OBSERVATION_SEVERITY):
        attributes[semconv.OBSERVATION_METADATA + semconv.SEVERITY] = str(loudest(findings))
    return b"".join(encode.attribute(key, value) for key, value in attributes.items())


def details(finding: Finding) -> dict[str, str]:
    """The attributes of the event that tells of *finding*."""
    return {
        semconv.FINDING_TYPE: finding.type,
        semconv.FINDING_RULE: finding.rule,
        semconv.FINDING_SEVERITY: str(finding.severity),
        semconv.FINDING_MESSAGE: finding.message,
    }


def finding_spans(findings: Sequence[Finding]) -> bytes:
    """A request with one span a finding, child of the span at fault; b"" for none. Ids follow from the finding: twice is one span."""
    by_service: dict[str, list[bytes]] = {}
    for finding in findings:
        by_service.setdefault(finding.service, []).append(_span(finding))
    return b"".join(
        encode.request({"service.name": service} if service else {}, semconv.SCOPE, __version__, spans)
        for service, spans in by_service.items()
    )


def _span(finding: Finding) -> bytes:
    attributes: dict[str, encode.Value] = {
        semconv.FINDINGS: [finding.rule],
        semconv.SEVERITY: str(finding.severity),
        semconv.LANGFUSE_TRACE_ID: finding.langfuse_trace_id,
    }
    if finding.agent:
        attributes["gen_ai.agent.name"] = finding.agent
    if finding.withdrawn:
        attributes[WITHDRAWN] = True
    return encode.span(
        trace_id=finding.trace_id,
        span_id=_span_id(finding),
        parent_id=finding.span_id,
        name=semconv.FINDING_SPAN_PREFIX + finding.rule,
        start=finding.time_unix_nano,
        end=finding.time_unix_nano,
        attributes=attributes,
        extra=[encode.event(semconv.FINDING_EVENT, finding.time_unix_nano, details(finding))],
    )


def _span_id(finding: Finding) -> bytes:
    seed = b"|".join((finding.trace_id, finding.span_id, finding.rule.encode(), b"withdrawn" if finding.withdrawn else b""))
    return hashlib.blake2b(seed, digest_size=8).digest()
