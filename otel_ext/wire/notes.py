"""What the spans of a trace say about all of it, carried to those that do not say it; and which spans need a closer look.

`make_notes(table)` gives the native implementation where it was built, else the one here; both agree. Meanings are in the table: nothing
here knows a key.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import numpy as np

from otel_ext.errors import MalformedPayload
from otel_ext.wire import encode, fields
from otel_ext.wire.fields import tag
from otel_ext.wire.notetable import KEEP as KEEP
from otel_ext.wire.notetable import LARGE as LARGE
from otel_ext.wire.notetable import NAMES as NAMES
from otel_ext.wire.notetable import NESTED as NESTED
from otel_ext.wire.notetable import ODD as ODD
from otel_ext.wire.notetable import RAISED as RAISED
from otel_ext.wire.notetable import SPENDS as SPENDS
from otel_ext.wire.notetable import WRAPS as WRAPS
from otel_ext.wire.notetable import Noted as Noted
from otel_ext.wire.notetable import Notes as Notes
from otel_ext.wire.notetable import NoteTable as NoteTable
from otel_ext.wire.reader import ARRAY, BOOL, BYTES, DOUBLE, INT, ITEM, KVLIST, NONE, STRING, Piece, Value, Values, pieces

try:
    from otel_ext.wire import _native
except ImportError:  # no Rust where this was installed
    _native_built = False
else:
    _native_built = os.environ.get("OTEL_EXT_CODEC") != "python"

VALUE_BYTES_MAX: Final = 1_024  # a longer value is not carried
TAGS_MAX: Final = 64
_DEPTH_MAX: Final = 32

_RESOURCE_SPANS: Final = tag(fields.Request.RESOURCE_SPANS)
_RESOURCE: Final = tag(fields.ResourceSpans.RESOURCE)
_SCOPE_SPANS: Final = tag(fields.ResourceSpans.SCOPE_SPANS)
_SPANS: Final = tag(fields.ScopeSpans.SPANS)
_TRACE_ID: Final = tag(fields.Span.TRACE_ID)
_NAME: Final = tag(fields.Span.NAME)
_ATTRIBUTES: Final = tag(fields.Span.ATTRIBUTES)
_EVENTS: Final = tag(fields.Span.EVENTS)
_STATUS: Final = tag(fields.Span.STATUS)
_EVENT_NAME: Final = tag(fields.Event.NAME)
_MESSAGE: Final = tag(fields.Status.MESSAGE)
_EXCEPTION: Final = b"exception"


@dataclass(slots=True)
class _Trace:
    values: list[bytes]
    tags: list[bytes] = field(default_factory=list)
    spends: bool = False


@dataclass(slots=True)
class _Span:
    row: int
    bits: int
    piece: Piece
    trace_id: bytes = b""
    name: bytes = b""
    said: set[int] = field(default_factory=set)
    values: dict[int, bytes] = field(default_factory=dict)
    tags: list[bytes] | None = None
    tag_cuts: list[tuple[int, int]] = field(default_factory=list)
    used: bool = False
    explicit: bool = False
    keys: set[bytes] = field(default_factory=set)
    look: int = 0
    raised: bool = False
    message: bool = False


class PureNotes:
    """In Python: the twin of native/src/notes.rs."""

    def __init__(self, table: NoteTable) -> None:
        self.forgotten = 0
        self._table = table
        self._targets = [target.encode() for target, _ in table.slots]
        self._slots = {key.encode(): number for number, (_, keys) in enumerate(table.slots) for key in keys}
        self._tags = {key.encode() for key in table.tags[1]}
        self._usage = tuple(prefix.encode() for prefix in table.usage)
        self._explicit = {key.encode() for key in table.explicit}
        self._integers = {key.encode() for key in table.integers}
        self._words = {key.encode(): {word.encode() for word in words} for key, words in table.words.items()}
        self._lengths = {key.encode(): length for key, length in table.lengths.items()}
        self._pairs = [(one.encode(), other.encode()) for one, other in table.pairs]
        self._plain = {key.encode() for key in table.plain}
        self._message = {key.encode() for key in table.message}
        self._traces: dict[bytes, _Trace] = {}

    def take(self, payload: bytes, rows: bytes, ranges: Sequence[bytes]) -> Noted:
        """See `Notes`."""
        resources: list[int] = []
        spans = list(self._read(payload, rows, resources))
        places = [np.frombuffer(each, "<u4").reshape(-1, 2) for each in ranges]
        for span in spans:
            self._learn(payload, span, places)
        for span in spans:
            self._name(span)
        offsets, data, cuts, looks = np.zeros(len(rows) + 1, "<u4"), bytearray(), bytearray(), np.zeros(len(rows), "u1")
        ends = dict.fromkeys(range(len(rows)), 0)
        for span in spans:
            gained, cut = self._gained(span)
            data += gained
            cuts += np.array(cut, "<u4").tobytes()
            looks[span.row] = span.look
            ends[span.row] = len(gained)
        offsets[1:] = np.cumsum(list(ends.values()), dtype="<u4")
        return Noted(offsets, bytes(data), bytes(cuts), looks, np.array(resources, "<u4").reshape(-1, 3))

    # -- reading

    def _read(self, payload: bytes, rows: bytes, resources: list[int]) -> Iterator[_Span]:
        row = 0
        for resource_spans in pieces(payload, 0, len(payload)):
            if resource_spans.tag != _RESOURCE_SPANS:
                continue
            first, at = row, (0, 0)
            for part in pieces(payload, resource_spans.start, resource_spans.end):
                if part.tag == _RESOURCE:
                    at = part.start, part.end
                if part.tag != _SCOPE_SPANS:
                    continue
                for piece in pieces(payload, part.start, part.end):
                    if piece.tag == _SPANS:
                        if row < len(rows) and rows[row] & KEEP:
                            yield self._span(payload, _Span(row, rows[row], piece))
                        row += 1
            resources += [first, *at]
        if row != len(rows):
            raise ValueError(f"{row} spans, but there are {len(rows)} rows")

    def _span(self, payload: bytes, span: _Span) -> _Span:
        values = Values(payload, _DEPTH_MAX)
        for piece in pieces(payload, span.piece.start, span.piece.end):
            if piece.tag == _ATTRIBUTES:
                key, value = values.pair(piece.start, piece.end)
                self._attribute(span, piece, key, value, values)
            elif piece.tag == _TRACE_ID:
                span.trace_id = payload[piece.start : piece.end]
            elif piece.tag == _NAME:
                span.name = payload[piece.start : piece.end]
            elif piece.tag == _EVENTS:
                span.raised |= any(
                    part.tag == _EVENT_NAME and payload[part.start : part.end] == _EXCEPTION
                    for part in pieces(payload, piece.start, piece.end)
                )
            elif piece.tag == _STATUS:
                span.message |= any(part.tag == _MESSAGE and part.end > part.start for part in pieces(payload, piece.start, piece.end))
        self._check(span)
        return span

    def _attribute(self, span: _Span, piece: Piece, key: bytes, value: Value, values: Values) -> None:
        if value.member in (KVLIST, BYTES, NONE) or (value.member == ARRAY and not _is_flat(values, value)):
            span.look |= NESTED
        slot = self._slots.get(key)
        if slot is not None:
            span.said.add(slot)
            text = values.text(value)
            if text and len(text) <= VALUE_BYTES_MAX and slot not in span.values:
                span.values[slot] = text
        if key in self._tags:
            own = values.strings(value) if value.member == ARRAY else None
            span.tag_cuts.append((piece.at, piece.end))
            if own is not None:
                span.tags = [*(span.tags or ()), *own]
        if span.bits & WRAPS:
            span.used |= key.startswith(self._usage) if self._usage else False
            span.explicit |= key in self._explicit
        self._look_at(span, key, value, values)

    def _look_at(self, span: _Span, key: bytes, value: Value, values: Values) -> None:
        span.message |= key in self._message
        if any(key in pair for pair in self._pairs):
            span.keys.add(key)
        text = values.text(value)
        odd = key in self._integers and value.member != INT
        odd |= key in self._words and text not in self._words[key]
        odd |= key in self._lengths and (value.member != STRING or len(text) > self._lengths[key])
        odd |= key in self._plain and not _is_plain(text)
        if odd:
            span.look |= ODD

    def _check(self, span: _Span) -> None:
        if any((one in span.keys) != (other in span.keys) for one, other in self._pairs):
            span.look |= ODD
        if span.raised and not span.message:
            span.look |= RAISED
        if span.piece.end - span.piece.start > self._table.span_bytes_max:
            span.look |= LARGE

    # -- what a trace is known by

    def _learn(self, payload: bytes, span: _Span, places: Sequence[np.ndarray]) -> None:
        for slot, place in enumerate(places):
            at, size = place[span.row].tolist()
            if 0 < size <= VALUE_BYTES_MAX:
                span.values[slot] = payload[at : at + size]
        spends = bool(span.bits & SPENDS)
        if not (span.values or span.tags or spends or (span.bits & NAMES and self._table.name >= 0)):
            return
        trace = self._trace(span.trace_id)
        trace.spends |= spends
        for slot, value in span.values.items():
            trace.values[slot] = trace.values[slot] or value
        for each in span.tags or ():
            if each not in trace.tags and len(trace.tags) < TAGS_MAX:
                trace.tags.append(each)

    def _name(self, span: _Span) -> None:
        """By a span's own name, where nothing in the payload or before it says another."""
        slot = self._table.name
        if slot >= 0 and span.bits & NAMES and (trace := self._traces.get(span.trace_id)):
            trace.values[slot] = trace.values[slot] or span.name[:VALUE_BYTES_MAX]

    def _trace(self, trace_id: bytes) -> _Trace:
        trace = self._traces.get(trace_id)
        if trace is None:
            if len(self._traces) >= self._table.traces_max:
                self.forgotten += 1
                del self._traces[next(islice(self._traces, 1))]
            trace = self._traces[trace_id] = _Trace([b""] * len(self._targets))
        return trace

    # -- what a span gains

    def _gained(self, span: _Span) -> tuple[bytes, list[tuple[int, int]]]:
        trace = self._traces.get(span.trace_id)
        if trace is None:
            return b"", []
        parts = []
        for slot, target in enumerate(self._targets):
            value = span.values.get(slot) or trace.values[slot]
            if value and slot not in span.said:
                parts.append(_text_attribute(target, value))
        cuts = []
        if trace.tags and span.tags != trace.tags and (span.tags is not None or not span.tag_cuts):
            parts.append(_list_attribute(self._table.tags[0].encode(), trace.tags))
            cuts = span.tag_cuts
        if span.used and not span.explicit and trace.spends:
            parts.append(self._table.neutral)
        return b"".join(parts), cuts


def _is_flat(values: Values, value: Value) -> bool:
    """Whether the last array in *value* has items, and all of them are plain."""
    (*_, array) = (piece for piece in pieces(values.payload, value.start, value.end) if piece.tag == ARRAY)
    items = [item for item in pieces(values.payload, array.start, array.end) if item.tag == ITEM]
    members = {values.any_value(item.start, item.end, 1, Value()).member for item in items}
    return bool(items) and members <= {STRING, BOOL, INT, DOUBLE}


_PLAIN: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_")


def _is_plain(text: bytes) -> bool:
    return 0 < len(text) <= 40 and _PLAIN.issuperset(text)


_STRING_TAG: Final = encode.varint(STRING)


def _text(text: bytes) -> bytes:
    return _STRING_TAG + encode.varint(len(text)) + text


def _text_attribute(key: bytes, text: bytes) -> bytes:
    return _pair(key, _text(text))


def _list_attribute(key: bytes, texts: Sequence[bytes]) -> bytes:
    items = b"".join(encode.delimited(fields.ArrayValue.VALUES, _text(text)) for text in texts)
    return _pair(key, encode.delimited(fields.AnyValue.ARRAY_VALUE, items))


def _pair(key: bytes, value: bytes) -> bytes:
    pair = encode.delimited(fields.KeyValue.KEY, key) + encode.delimited(fields.KeyValue.VALUE, value)
    return encode.delimited(fields.Span.ATTRIBUTES, pair)


class NativeNotes:
    """In Rust."""

    def __init__(self, table: NoteTable) -> None:
        self._notes = _native.Notes(
            [(target.encode(), [key.encode() for key in keys]) for target, keys in table.slots],
            (table.tags[0].encode(), [key.encode() for key in table.tags[1]]),
            table.name,
            [[key.encode() for key in keys] for keys in (table.usage, table.explicit, table.integers, table.plain, table.message)],
            [(key.encode(), [word.encode() for word in words]) for key, words in table.words.items()],
            [(key.encode(), length) for key, length in table.lengths.items()],
            [(one.encode(), other.encode()) for one, other in table.pairs],
            table.neutral,
            (table.traces_max, table.span_bytes_max),
        )

    @property
    def forgotten(self) -> int:
        """Traces that made room for others."""
        return self._notes.forgotten()

    def take(self, payload: bytes, rows: bytes, ranges: Sequence[bytes]) -> Noted:
        """See `Notes`."""
        try:
            offsets, data, cuts, looks, resources = self._notes.take(payload, rows, list(ranges))
        except _native.Malformed as error:
            raise MalformedPayload(*error.args) from None
        shape = np.frombuffer(resources, "<u4").reshape(-1, 3)
        return Noted(np.frombuffer(offsets, "<u4"), data, cuts, np.frombuffer(looks, "u1"), shape)


def make_notes(table: NoteTable, *, prefer_native: bool = True) -> Notes:
    """Notes by *table*."""
    return NativeNotes(table) if _native_built and prefer_native else PureNotes(table)
