"""The codec in Python: the reference for the native one, and the fallback where that could not be built.

One walk over an ExportTraceServiceRequest. Fields come in any order, so a resource and a scope are read once for themselves and once for
what is below them; that order also decides which of several faults is reported.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence
from typing import Final

import numpy as np

from otel_ext.errors import MalformedPayload
from otel_ext.model import StepKind
from otel_ext.wire import compile, fields, rewrite
from otel_ext.wire.columns import build, packed, packed_columns
from otel_ext.wire.doubles import Made, single
from otel_ext.wire.evaluate import Evaluation
from otel_ext.wire.fields import FIXED32, FIXED64, VARINT, tag
from otel_ext.wire.memory import Events, Known, More, Single, request
from otel_ext.wire.names import Names, fold
from otel_ext.wire.prints import pair
from otel_ext.wire.reader import Piece, Values, pieces
from otel_ext.wire.row import Row
from otel_ext.wire.sources import Tables
from otel_ext.wire.steps import summary
from otel_ext.wire.table import SHORT_RESULT_BYTES, STEP_STRUCT, Column, Field, Flag, Key, Limits, NameRule, Scan, StepFlag

_SPAN_PACKER: Final = struct.Struct("<IIQQQQBB5H4Q9I5id4I")
_STEP_PACKER: Final = struct.Struct(STEP_STRUCT)
_GROUP_PACKER: Final = struct.Struct("<IIIIIIQ")
_REQUEST_PACKER: Final = struct.Struct("<IH?xQQ")
_ANSWER_PACKER: Final = struct.Struct("<I??xxQ")
_DECLARED_PACKER: Final = struct.Struct("<IIIB3xQ")
_SCOPE_PACKER: Final = struct.Struct("<H2xII")

_RESOURCE: Final = tag(fields.ResourceSpans.RESOURCE)
_RESOURCE_ATTRIBUTES: Final = tag(fields.Resource.ATTRIBUTES)
_SCOPE: Final = tag(fields.ScopeSpans.SCOPE)
_SCOPE_NAME: Final = tag(fields.Scope.NAME)
_SCOPE_ATTRIBUTES: Final = tag(fields.Scope.ATTRIBUTES)
_TRACE_ID: Final = tag(fields.Span.TRACE_ID)
_NAME: Final = tag(fields.Span.NAME)
_START: Final = tag(fields.Span.START_TIME_UNIX_NANO, FIXED64)
_END: Final = tag(fields.Span.END_TIME_UNIX_NANO, FIXED64)
_ATTRIBUTES: Final = tag(fields.Span.ATTRIBUTES)
_EVENTS: Final = tag(fields.Span.EVENTS)
_LINKS: Final = tag(fields.Span.LINKS)
_STATUS: Final = tag(fields.Span.STATUS)
_STATUS_CODE: Final = tag(fields.Status.CODE, VARINT)
_FLAGS: Final = tag(fields.Span.FLAGS, FIXED32)
_KIND: Final = tag(fields.Span.KIND, VARINT)
_SERVER: Final = 2  # Span.SpanKind
_LINK_ATTRIBUTES: Final = tag(fields.Link.ATTRIBUTES)
_DROPPED: Final = (tag(fields.Span.DROPPED_ATTRIBUTES_COUNT, VARINT), tag(fields.Span.DROPPED_EVENTS_COUNT, VARINT))
_IDS: Final = (_TRACE_ID, rewrite.SPAN_ID, rewrite.PARENT_ID, _NAME)

_REMOTE: Final = 0x300  # SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK and SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK
_PAYLOAD_BYTES_MAX: Final = 2**32 - 1
_UINT32: Final = 0xFFFFFFFF
_BY_TOOL: Final = (StepKind.TOOL, StepKind.HANDOFF, StepKind.RETRIEVER)
_BY_MODEL: Final = (StepKind.LLM, StepKind.EMBEDDING)


class PureCodec:
    """Codec in Python."""

    def __init__(self, keys: Sequence[Key], rules: Sequence[NameRule], limits: Limits) -> None:
        self._limits = compile.check_limits(limits)
        self._rules = compile.rules(rules)
        self._names = Names(limits)
        entries = compile.entries(keys)
        self._flat = [entry for entry in entries if entry.field in compile.FLAT]
        self._entries: dict[bytes, list[compile.Entry]] = {}
        self._events: dict[bytes, dict[bytes, list[compile.Entry]]] = {}
        for entry in entries:
            if entry.field not in compile.FLAT:
                table = self._events.setdefault(entry.event, {}) if entry.event else self._entries
                table.setdefault(entry.name, []).append(entry)

    def scan(self, payload: bytes) -> Scan:
        """Columns of *payload*; raises MalformedPayload at the first byte that cannot be read."""
        if len(payload) > _PAYLOAD_BYTES_MAX:
            raise MalformedPayload(f"payload of {len(payload)} bytes, the limit is {_PAYLOAD_BYTES_MAX}", 0)
        tables = Tables(self._entries, self._events, self._flat, self._rules, self._limits, self._names)
        return _Scanner(payload, tables).scan()

    def span(
        self,
        name: str,
        scope: bytes,
        service: bytes,
        span_id: int,
        start: int,
        end: int,
        status: int,
        attributes: dict[str, object],
        inputs: bool,
        parent_id: int = 0,
        kind: int = 0,
        cut: bool = False,
        events: Events = (),
        /,
    ) -> Single | None:
        """One span in memory, see `Codec`."""
        known = Known(self._entries, self._events, self._flat)
        own = name, scope, service, span_id, start, end, status, attributes
        payload = request(known, *own, inputs=inputs, parent_id=parent_id, kind=kind, cut=cut, events=events)
        scan = self.scan(payload)
        if not len(scan.steps):
            return None
        row, step = scan.spans[0], scan.steps[0]
        texts = [(number, text) for _, number, text in scan.texts]
        requests, answers = scan.requests.tobytes(), scan.answers.tobytes()
        conversation = _text_at(payload, row["conversation_at"], row["conversation_len"])
        names = int(row["agent"]), int(row["service"])
        told = requests or None, answers or None, conversation or None, texts or None, _more(payload, scan)
        return (int(step["kind"]), int(step["name"]), scan.steps.tobytes(), *names, *told)

    def splice(self, payload: bytes, columns: Sequence[Column]) -> bytes:
        """*payload* with each span's fragments appended; every other byte stays."""
        return rewrite.Rewriter(payload, packed_columns(columns)).output()

    def project(self, payload: bytes, keep: np.ndarray, parents: np.ndarray, columns: Sequence[Column], cuts: bytes = b"") -> bytes:
        """*payload* with only the spans to keep, see `Codec`."""
        projection = rewrite.Projection(packed(keep, "u1"), packed(parents, "<u8"), cuts)
        return rewrite.Rewriter(payload, packed_columns(columns), projection).output()

    def name(self, number: int) -> str:
        """The interned name; "" for 0; raises IndexError for a number never given out."""
        return self._names.name(number)

    def intern(self, name: str) -> int:
        """The number of *name*, adding it where there is room, else NAME_OTHER; 0 for ""."""
        return self._names.intern(name.encode("utf-8", "replace"))[0]


def _text_at(payload: bytes, at: int, length: int) -> str:
    return payload[int(at) : int(at) + int(length)].decode("utf-8", "replace")


def _more(payload: bytes, scan: Scan) -> More | None:
    """What few spans in memory tell."""
    row = scan.spans[0]
    user = _text_at(payload, row["user_at"], row["user_len"])
    output = _text_at(payload, row["output_at"], row["output_value_len"]) if row["flags"] & Flag.CLAIM else ""
    declared = [(how, hash_, payload[at : at + length]) for _, at, length, how, _, hash_ in scan.declared.tolist()]
    return (user or None, output or None, declared or None) if user or output or declared else None


class _Scanner:
    """One walk over one payload."""

    def __init__(self, payload: bytes, tables: Tables) -> None:
        self._payload = payload
        self._tables = tables
        self._values = Values(payload, tables.limits.depth_max)
        self._rows: list[bytes] = []
        self._traces: dict[bytes, int] = {}
        self._made: list[Made] = []
        self._scopes: list[bytes] = []
        self._row_traces: list[int] = []
        self._settled_calls: set[tuple[int, int]] = set()  # trace, folded call id
        self._service = b""
        self._service_rank: int | None = None
        self._scope = b""

    def scan(self) -> Scan:
        for piece in pieces(self._payload, 0, len(self._payload)):
            if piece.tag == rewrite.RESOURCE_SPANS:
                self._resource_spans(piece)
        steps, step_rows, groups = self._sorted_steps()
        tables = self._tables
        settled = self._settled
        requests = b"".join(
            _REQUEST_PACKER.pack(row, tool, settled(row, call_id), call_id, arguments) for row, tool, call_id, arguments in tables.requests
        )
        answers = b"".join(_ANSWER_PACKER.pack(row, refused, settled(row, call_id), call_id) for row, refused, call_id in tables.answers)
        declared = b"".join(_DECLARED_PACKER.pack(*row) for row in tables.declared)
        arrays = (b"".join(self._rows), steps, step_rows, groups, requests, answers, declared, b"".join(self._scopes))
        return build(arrays, list(self._traces), tables.texts, tables.overflow)

    def _resource_spans(self, parent: Piece) -> None:
        self._service, self._service_rank = b"", None
        for piece in pieces(self._payload, parent.start, parent.end):
            if piece.tag == _RESOURCE:
                self._resource(piece)
        for piece in pieces(self._payload, parent.start, parent.end):
            if piece.tag == rewrite.SCOPE_SPANS:
                self._scope_spans(piece)

    def _resource(self, parent: Piece) -> None:
        for piece in pieces(self._payload, parent.start, parent.end):
            if piece.tag != _RESOURCE_ATTRIBUTES:
                continue
            key, value = self._values.pair(piece.start, piece.end)
            text = self._values.text(value)
            for entry in self._tables.entries.get(key, ()):
                better = self._service_rank is None or entry.rank < self._service_rank
                if entry.field is Field.SERVICE and text and better:
                    self._service, self._service_rank = text, entry.rank

    def _scope_spans(self, parent: Piece) -> None:
        self._scope = b""
        for piece in pieces(self._payload, parent.start, parent.end):
            if piece.tag == _SCOPE:
                self._read_scope(piece)
        rows, steps = len(self._rows), len(self._made)
        for piece in pieces(self._payload, parent.start, parent.end):
            if piece.tag == rewrite.SPANS:
                self._span(piece)
        counts = len(self._rows) - rows, len(self._made) - steps
        self._scopes.append(_SCOPE_PACKER.pack(self._tables.intern(self._scope), *counts))

    def _read_scope(self, parent: Piece) -> None:
        for piece in pieces(self._payload, parent.start, parent.end):
            if piece.tag == _SCOPE_NAME:
                self._scope = self._payload[piece.start : piece.end]
            elif piece.tag == _SCOPE_ATTRIBUTES:
                self._values.pair(piece.start, piece.end)

    def _span(self, parent: Piece) -> None:
        row = Row()
        ids = dict.fromkeys(_IDS, b"")
        evaluation = Evaluation(self._tables, self._values, len(self._rows), self._scope)
        remote, server, dropped = 0, 0, dict.fromkeys(_DROPPED, 0)
        for piece in pieces(self._payload, parent.start, parent.end):
            if piece.tag == _ATTRIBUTES:
                evaluation.attribute(*self._values.pair(piece.start, piece.end))
            elif piece.tag in ids:
                ids[piece.tag] = self._payload[piece.start : piece.end]
            elif piece.tag == _EVENTS:
                evaluation.event(*self._values.event(piece.start, piece.end))
            elif piece.tag == _LINKS:
                self._values.attributes_only(piece.start, piece.end, _LINK_ATTRIBUTES)
            elif piece.tag == _START:
                row.start = piece.number
            elif piece.tag == _END:
                row.end = piece.number
            elif piece.tag == _STATUS:
                self._status(piece, row)
            elif piece.tag == _FLAGS:
                remote = Flag.REMOTE_PARENT if piece.number & _REMOTE == _REMOTE else 0
            elif piece.tag == _KIND:
                server = Flag.SERVER if piece.number & _UINT32 == _SERVER else 0
            elif piece.tag in dropped:
                dropped[piece.tag] = piece.number & _UINT32
        row.flags = remote | server | (Flag.CUT if any(dropped.values()) else 0)
        self._end_of_span(row, ids, evaluation)

    def _status(self, parent: Piece, row: Row) -> None:
        for piece in pieces(self._payload, parent.start, parent.end):
            if piece.tag == _STATUS_CODE:
                code = piece.number & 0xFFFFFFFF  # an enum is 32 bits wide; a code that is none of ours counts as unset
                row.status = code if code in (1, 2) else 0

    def _end_of_span(self, row: Row, ids: dict[int, bytes], evaluation: Evaluation) -> None:
        trace_id, span_id, parent_id, name = (ids[key] for key in _IDS)
        row.span_id = int.from_bytes(span_id, "big") if len(span_id) == 8 else 0
        row.parent_id = int.from_bytes(parent_id, "big") if len(parent_id) == 8 else 0
        if len(trace_id) != 16 or not any(trace_id) or row.span_id == 0 or len(parent_id) not in (0, 8):
            row.flags |= Flag.INVALID_ID
        else:
            row.trace = self._traces.setdefault(trace_id, len(self._traces))
            evaluation.fill(row, name, self._service)
            self._step(row)
        self._rows.append(_pack(row))
        self._row_traces.append(row.trace)

    def _step(self, row: Row) -> None:
        _, tool, model, agent, _ = row.names
        _, arguments, result, output = row.hashes
        parent = row.parent_id & _UINT32
        if row.kind in _BY_TOOL or (row.kind == StepKind.MCP and tool):
            c = parent if row.kind == StepKind.MCP else fold(row.hashes[0])
            name, a, b = tool, pair(row.likeness, arguments), fold(result)
        elif row.kind in _BY_MODEL:
            name, a, b, c = model, pair(row.likeness, output), max(row.tokens[0], 0) + max(row.tokens[1], 0), parent
        elif row.kind == StepKind.AGENT:
            name, a, b, c = agent, fold(output), _duration_ms(row), row.output_len
        else:
            return
        ids = row.trace, row.end, row.span_id, row.parent_id, len(self._rows)
        self._made.append(Made(*ids, row.kind, _step_flags(row), name, a, b, c))

    def _settled(self, row: int, call_id: int) -> bool:
        return (self._row_traces[row], fold(call_id)) in self._settled_calls

    def _sorted_steps(self) -> tuple[bytes, bytes, bytes]:
        stay = sorted(single(self._made), key=lambda made: made.order)
        self._settled_calls = {(made.trace, made.c) for made in self._made if made.kind == StepKind.TOOL and made.c and _was_made(made)}
        first, groups, packed = 0, [], []
        for trace, group in itertools.groupby(stay, key=lambda made: made.trace):
            steps = [(made.end, made.span_id & _UINT32, made.kind, made.flags, made.name, made.a, made.b, made.c) for made in group]
            models, agents, flags, tokens = summary(steps)
            groups.append(_GROUP_PACKER.pack(trace, first, len(steps), models, agents, flags, tokens))
            packed += [_STEP_PACKER.pack(*step) for step in steps]
            first += len(steps)
        rows = struct.pack(f"<{len(stay)}I", *(made.row for made in stay))
        return b"".join(packed), rows, b"".join(groups)


def _was_made(made: Made) -> bool:
    """Not a tool step that tells how it was called and not how it went, and not one of which its span says that it was not made."""
    how = StepFlag.ERROR | StepFlag.HAS_ARGUMENTS | StepFlag.HAS_RESULT | StepFlag.CUT
    return made.flags & how != StepFlag.HAS_ARGUMENTS and not made.flags & StepFlag.REFUSED


def _step_flags(row: Row) -> int:
    own = row.step_flags | (StepFlag.ERROR if row.flags & Flag.ERROR else 0) | (StepFlag.CUT if row.flags & Flag.CUT else 0)
    own |= StepFlag.HAS_ARGUMENTS if row.flags & Flag.HAS_ARGUMENTS else 0
    if not row.flags & Flag.HAS_RESULT:
        return own
    short = row.kind in (*_BY_TOOL, StepKind.MCP) and row.result_len <= SHORT_RESULT_BYTES
    return own | StepFlag.HAS_RESULT | (StepFlag.SHORT_RESULT if short else 0)


def _duration_ms(row: Row) -> int:
    """Rounded up, so that what happened inside of the span is not outside of it; 0 for an end before the start."""
    return min(-(-max(row.end - row.start, 0) // 1_000_000), 0xFFFFFFFF)


def _pack(row: Row) -> bytes:
    return _SPAN_PACKER.pack(
        row.trace,
        row.flags,
        row.span_id,
        row.parent_id,
        row.start,
        row.end,
        row.kind,
        row.status,
        *row.names,
        *row.hashes,
        row.arguments_len,
        row.result_len,
        row.output_len,
        *row.output_range,
        *row.conversation_range,
        *row.user_range,
        *row.tokens,
        row.cost,
        *row.requests,
        *row.answers,
    )
