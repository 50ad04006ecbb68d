"""Stored traces through the same pipeline, without a network: OTLP/JSON lines, OTLP protobuf, `.gz` of both, `-` for standard input."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from io import BufferedIOBase, BufferedReader
from typing import Any, Final

from otel_ext.dialects import KEYS, RULES
from otel_ext.errors import ConfigError, MalformedPayload
from otel_ext.explain import explain
from otel_ext.model import Finding
from otel_ext.pipeline import Outcome, Pipeline
from otel_ext.rules import Rule
from otel_ext.settings import NS_PER_S, Settings
from otel_ext.wire import make_codec
from otel_ext.wire.otlp_json import to_protobuf
from otel_ext.wire.table import Limits

GZIP_MAGIC: Final = b"\x1f\x8b"
LONG_NS: Final = 7 * 86_400 * NS_PER_S  # the longest a trace may stay open
LENGTH_BYTES: Final = 4  # the Collector's file exporter writes protobuf messages behind a big-endian length
HEAD_BYTES: Final = 4096
BLANKS: Final = b"\n\r\t "
CONTROLS: Final = frozenset(range(32)) - frozenset(BLANKS)
Standing = dict[tuple[bytes, str, str], Finding]


class Stored:
    """The ExportTraceServiceRequests of all files, in order. `place` is where the last one came from: file, and line where it has lines.

    Iterating raises OSError, or MalformedPayload for what is no request.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self.place = ""
        self._paths = paths

    def __iter__(self) -> Iterator[bytes]:
        for path in self._paths:
            self.place = path
            with ExitStack() as opened:
                try:
                    stream = _opened(path, opened)
                    read = self._json_lines if _is_json(stream.peek(HEAD_BYTES)[:HEAD_BYTES]) else self._protobuf
                    yield from read(stream, path)
                except (EOFError, zlib.error, gzip.BadGzipFile):
                    raise MalformedPayload("gzip: damaged or cut off", 0) from None

    def fault(self, error: MalformedPayload) -> MalformedPayload:
        """*error*, about what was given last, with its place."""
        return MalformedPayload(f"{self.place}: {error.reason}", error.at)

    def _json_lines(self, stream: BufferedIOBase, path: str) -> Iterator[bytes]:
        for number, line in enumerate(stream, start=1):
            self.place = f"{path}, line {number}"
            if line.strip():
                yield to_protobuf(line)

    def _protobuf(self, stream: BufferedIOBase, _path: str) -> Iterator[bytes]:
        """One request, or several behind their lengths: field 1 of a request starts with 0x0a, a length below 160 MiB never does."""
        data = stream.read()
        if data[:1] in (b"", b"\x0a"):
            yield data
            return
        at = 0
        while at < len(data):
            size = int.from_bytes(data[at : at + LENGTH_BYTES], "big")
            if not at and size > len(data):
                raise MalformedPayload("neither OTLP/JSON lines nor OTLP protobuf", at)
            at += LENGTH_BYTES
            if at + size > len(data):
                raise MalformedPayload(f"a message of {size} bytes, {max(0, len(data) - at)} are left", at)
            yield data[at : at + size]
            at += size


def _opened(path: str, opened: ExitStack) -> BufferedReader:
    """The file, inflated where it is gzip; closed with *opened*, which standard input is not."""
    standard = path == "-"
    stream = opened.enter_context(open(0 if standard else path, "rb", closefd=not standard))  # noqa: SIM115  # with *opened*
    if stream.peek(2)[:2] != GZIP_MAGIC:
        return stream
    return BufferedReader(opened.enter_context(gzip.open(stream)))


def _is_json(head: bytes) -> bool:
    """Text that begins a JSON object. Protobuf may begin with a line feed and a brace too, but never goes on without control characters."""
    return head.lstrip(BLANKS)[:1] == b"{" and CONTROLS.isdisjoint(head)


class Labels:
    """Rows of JSON lines, also gzipped, that say what is true of traces. Iterating raises OSError, or ConfigError with the line."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with ExitStack() as opened:
            for number, line in enumerate(_opened(self._path, opened), start=1):
                if line.strip():
                    yield self._row(line, number)

    def _row(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict) or not isinstance(row.get("trace_id"), str) or not isinstance(row.get("label"), dict):
            raise ConfigError([f'{self._path}, line {number}: needed is {{"trace_id": "<32 hex digits>", "label": {{..}}}}'])
        return row


def long_lived(settings: Settings) -> Settings:
    """*settings* with traces that stay open to the end: for a look back."""
    return replace(settings, traces=replace(settings.traces, idle_timeout=LONG_NS))


class Scanner:
    """A pipeline over stored traces. Their own times are its clock, so that waiting and baselines work as they would have."""

    def __init__(self, settings: Settings, rules: Sequence[Rule] = ()) -> None:
        codec = make_codec(KEYS, RULES, Limits(names_max=settings.traces.max_names))
        self.pipeline = Pipeline(settings, codec, with_llm=False, rules=rules)
        self.spans = 0
        self.traces: set[bytes] = set()
        self.services: dict[bytes, int] = {}  # of traces, interned
        self._now_ns = 0

    def findings(self, requests: Iterable[bytes]) -> list[Finding]:
        """What stands once everything was read: verdicts that late spans took back are gone."""
        standing: Standing = {}
        for payload in requests:
            self._keep(standing, self._process(payload))
            self._keep(standing, self.pipeline.tick(self._now_ns))
        self._keep(standing, self.pipeline.settle_all())
        return sorted(standing.values(), key=lambda finding: (finding.time_unix_nano, finding.trace_id, finding.rule))

    def explained(self, prefix: str, findings: Sequence[Finding]) -> str:
        """The trace whose id starts with *prefix*, step by step; raises ConfigError where there is no such trace, or more than one."""
        wanted = [trace_id for trace_id in self.traces if trace_id.hex().startswith(prefix.lower())]
        if len(wanted) != 1:
            raise ConfigError([f"--explain {prefix}: {len(wanted)} of {len(self.traces)} traces have an id that starts so, needed is one"])
        trace = self.pipeline.verdicts.book.get(wanted[0])
        if trace is None or not trace.steps:
            return f"trace {wanted[0].hex()}: no agent, model or tool span in it was recognised, so no rule had anything to judge"
        about = [finding for finding in findings if finding.trace_id == wanted[0]]
        return explain(wanted[0], trace, self.services.get(wanted[0], 0), self.pipeline.verdicts, about)

    def _process(self, payload: bytes) -> Outcome:
        scan = self.pipeline.codec.scan(payload)
        self._now_ns = max(self._now_ns, int(scan.spans["end"].max(initial=0)))
        outcome = self.pipeline.process(payload, self._now_ns, scan)
        for trace, service in scan.spans[["trace", "service"]].tolist():
            self.services.setdefault(scan.trace_ids[trace], service)
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
