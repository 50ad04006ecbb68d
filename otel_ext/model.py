"""Values that cross rooms. Frozen, slotted, and free of I/O."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


class StepKind(enum.IntEnum):
    """What a span is to an agent. The numbers are part of the wire contract between both codecs."""

    OTHER = 0
    LLM = 1
    TOOL = 2
    AGENT = 3
    RETRIEVER = 4
    EMBEDDING = 5
    CHAIN = 6
    HANDOFF = 7
    GUARDRAIL = 8
    EVALUATOR = 9
    MCP = 10


class Severity(enum.StrEnum):
    """How loud a finding is. `critical` and `high` are alerts: what may wake somebody."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def rank(self) -> int:
        """0 for the loudest."""
        return _SEVERITIES.index(self)


_SEVERITIES = tuple(Severity)

Evidence = Mapping[str, "str | int | float | bool | list[str]"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fact about one trace. `rule` reads coarse to fine; `span_id` is the span at fault, both ids are raw bytes.

    `complete` is False where the trace may still change the verdict; `withdrawn` marks the revision that takes it back.
    `langfuse_trace_id` is the id the trace goes by in Langfuse, "" while that is not known.
    """

    time_unix_nano: int
    trace_id: bytes
    span_id: bytes
    type: str
    rule: str
    severity: Severity
    message: str
    agent: str = ""
    service: str = ""
    conversation: str = ""
    evidence: Evidence = field(default_factory=dict)
    complete: bool = True
    withdrawn: bool = False
    langfuse_trace_id: str = ""

    def to_json(self) -> str:
        """The finding as one line of JSON: ids in lower-case hex, times in nanoseconds since the epoch."""
        record: dict[str, object] = {
            "time_unix_nano": self.time_unix_nano,
            "trace_id": self.trace_id.hex(),
            "span_id": self.span_id.hex(),
            "type": self.type,
            "rule": self.rule,
            "severity": str(self.severity),
            "agent": self.agent,
            "service": self.service,
            "conversation": self.conversation,
            "message": self.message,
            "evidence": dict(self.evidence),
            "complete": self.complete,
        }
        if self.langfuse_trace_id and self.langfuse_trace_id != self.trace_id.hex():
            record["langfuse_trace_id"] = self.langfuse_trace_id
        if self.withdrawn:
            record["withdrawn"] = True
        return json.dumps(record, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a receiver tells its client: spans taken, spans refused one by one, and why."""

    accepted: int
    rejected: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class Caller:
    """The Langfuse key pair that a request came with. The secret is in no repr."""

    public_key: str
    secret_key: str = field(repr=False)


class Consumer(Protocol):
    """What a receiver hands a request to. Returning means: every destination has the data."""

    async def consume(self, payload: bytes, caller: Caller | None = None) -> Receipt:
        """Take one ExportTraceServiceRequest in protobuf; *caller* where it came with the keys of a Langfuse project.

        Raises MalformedPayload (permanent, with the byte index) or Overloaded (with a delay); nothing was kept then.
        """
        ...
