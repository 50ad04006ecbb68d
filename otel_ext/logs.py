"""Log lines: JSON where a machine reads them, one short line where a person does. Never a payload, never a secret."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

from otel_ext.model import Finding, Severity

LEVELS = {Severity.CRITICAL: logging.ERROR, Severity.HIGH: logging.ERROR, Severity.MEDIUM: logging.WARNING, Severity.LOW: logging.INFO}

findings_log = logging.getLogger("otel_ext.findings")


class JsonFormatter(logging.Formatter):
    """One JSON object a record: time, level, logger, event; a finding's fields where the record is about one."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        finding = getattr(record, "finding", None)
        if isinstance(finding, Finding):
            line |= json.loads(finding.to_json())
            line["langfuse_trace_id"] = finding.langfuse_trace_id
        if record.exc_info and record.exc_info[0]:
            line["exception"] = record.exc_info[0].__name__
        return json.dumps(line, ensure_ascii=False)


class Discreet(logging.Formatter):
    """For what libraries log: they quote requests, so only who, where and which exception is passed on, in the form of *inner*."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        """The record without its text."""
        kind = record.exc_info[0] if record.exc_info else None
        said = f"{record.name} reported {kind.__name__ if kind else 'something'} in {record.module}:{record.lineno}"
        plain = {"name": record.name, "levelno": record.levelno, "levelname": record.levelname, "created": record.created, "msg": said}
        return self._inner.format(logging.makeLogRecord(plain))


def set_up(stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Log to *stream* (standard error): JSON, or plain lines on a terminal."""
    out = stream or sys.stderr
    handler = logging.StreamHandler(out)
    plain = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")
    handler.setFormatter(plain if out.isatty() else JsonFormatter())
    root = logging.getLogger("otel_ext")
    root.handlers[:] = [handler]
    root.setLevel(level)
    root.propagate = False
    others = logging.StreamHandler(out)
    others.setLevel(logging.WARNING)
    others.setFormatter(Discreet(handler.formatter or plain))
    logging.getLogger().handlers[:] = [others]


def log_finding(finding: Finding) -> None:
    """One structured line a finding."""
    text = f"{finding.severity} {finding.rule} in {finding.trace_id.hex()}: {finding.message}"
    findings_log.log(LEVELS[finding.severity], text, extra={"finding": finding})
