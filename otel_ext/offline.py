"""Stored traces through the same pipeline, without a network: OTLP/JSON lines, OTLP protobuf, `.gz` of both, `-` for standard input."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Final

from otel_ext.dialects import KEYS, RULES
from otel_ext.errors import MalformedPayload
from otel_ext.model import Finding
from otel_ext.pipeline import Outcome, Pipeline
from otel_ext.settings import Settings
from otel_ext.wire import make_codec
from otel_ext.wire.otlp_json import to_protobuf
from otel_ext.wire.table import Limits

GZIP_MAGIC: Final = b"\x1f\x8b"
Standing = dict[tuple[bytes, str, str], Finding]

LENGTH_BYTES: Final = 4  # the Collector's file exporter writes protobuf messages behind a big-endian length


def payloads(paths: Iterable[str]) -> Iterator[bytes]:
    """The ExportTraceServiceRequests of all files, in order; raises MalformedPayload naming the file and the line, or OSError."""
    for path in paths:
        with _opened(path) as stream:
            head = stream.read(1)
            while head in (b"\n", b" ", b"\r", b"\t"):
                head = stream.read(1)
            read = _json_lines if head == b"{" else _protobuf
            yield from read(head, stream, path)


def _opened(path: str) -> IO[bytes]:
    raw: IO[bytes] = sys.stdin.buffer if path == "-" else Path(path).open("rb")
    peek = getattr(raw, "peek", None)
    magic = peek(2)[:2] if peek else b""
    return gzip.open(raw) if magic == GZIP_MAGIC else raw  # type: ignore[return-value]  # GzipFile reads bytes


def _json_lines(head: bytes, stream: IO[bytes], path: str) -> Iterator[bytes]:
    first = head + stream.readline()
    for number, line in enumerate(_chain(first, stream), start=1):
        if line.strip():
            try:
                yield to_protobuf(line)
            except MalformedPayload as error:
                raise MalformedPayload(f"{path}, line {number}: {error.reason}", error.at) from None


def _chain(first: bytes, stream: IO[bytes]) -> Iterator[bytes]:
    yield first
    yield from stream


def _protobuf(head: bytes, stream: IO[bytes], _path: str) -> Iterator[bytes]:
    """One request, or several behind their lengths: field 1 of a request starts with 0x0a, a length below 160 MiB never does."""
    data = head + stream.read()
    if data[:1] in (b"", b"\x0a"):
        yield data
        return
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + LENGTH_BYTES], "big")
        at += LENGTH_BYTES
        if at + size > len(data):
            raise MalformedPayload(f"a message of {size} bytes, {len(data) - at} are left", at)
        yield data[at : at + size]
        at += size


class Scanner:
    """A pipeline over stored traces. Their own times are its clock, so that waiting and baselines work as they would have."""

    def __init__(self, settings: Settings) -> None:
        self.pipeline = Pipeline(settings, make_codec(KEYS, RULES, Limits(names_max=settings.traces.max_names)), with_llm=False)
        self.spans = 0
        self.traces: set[bytes] = set()
        self._now_ns = 0

    def findings(self, requests: Iterable[bytes]) -> list[Finding]:
        """What stands once everything was read: verdicts that late spans took back are gone."""
        standing: Standing = {}
        for payload in requests:
            self._keep(standing, self._process(payload))
            self._keep(standing, self.pipeline.tick(self._now_ns))
        self._keep(standing, self.pipeline.settle_all())
        return sorted(standing.values(), key=lambda finding: (finding.time_unix_nano, finding.trace_id, finding.rule))

    def _process(self, payload: bytes) -> Outcome:
        spans = self.pipeline.codec.scan(payload).spans
        self._now_ns = max(self._now_ns, int(spans["end"].max(initial=0)))
        outcome = self.pipeline.process(payload, self._now_ns)
        self.spans += outcome.spans
        self.traces.update(outcome.trace_ids)
        return outcome

    @staticmethod
    def _keep(standing: Standing, outcome: Outcome) -> None:
        for finding in outcome.findings:
            key = (finding.trace_id, finding.rule, finding.message)
            if finding.withdrawn:
                standing.pop(key, None)
            else:
                standing[key] = finding
