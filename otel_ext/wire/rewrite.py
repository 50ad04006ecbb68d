"""Appends fields to spans and leaves spans out, in Python: the twin of native/src/rewrite.rs.

A length is written anew, minimally, only where it changed; all other bytes are those of the input.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from otel_ext.wire import encode, fields
from otel_ext.wire.columns import PackedColumn
from otel_ext.wire.fields import tag
from otel_ext.wire.reader import Piece, pieces

RESOURCE_SPANS: Final = tag(fields.Request.RESOURCE_SPANS)
SCOPE_SPANS: Final = tag(fields.ResourceSpans.SCOPE_SPANS)
SPANS: Final = tag(fields.ScopeSpans.SPANS)
SPAN_ID: Final = tag(fields.Span.SPAN_ID)
PARENT_ID: Final = tag(fields.Span.PARENT_SPAN_ID)
_TRACE_ID: Final = tag(fields.Span.TRACE_ID)
_TRACE_ID_BYTES: Final = 16
_ID_BYTES: Final = 8
_IDS: Final = (_TRACE_ID, SPAN_ID, PARENT_ID)


@dataclass(frozen=True, slots=True)
class Projection:
    """What `project` does on top of appending."""

    keep: bytes
    parents: bytes  # packed u8
    cuts: bytes = b""  # byte ranges of the payload to leave out, packed u4 pairs, ascending


@dataclass(frozen=True, slots=True)
class _Fragments:
    """A column of fragments."""

    indices: tuple[int, ...]
    fragments: list[bytes]


@dataclass(frozen=True, slots=True)
class _Ragged:
    """A ragged column; `indices` are there to be counted."""

    offsets: tuple[int, ...]
    data: bytes

    @property
    def indices(self) -> tuple[int, ...]:
        """One a row."""
        return self.offsets[1:]


class Rewriter:
    """One pass over one payload. `output` is called once."""

    def __init__(self, payload: bytes, columns: Sequence[PackedColumn], projection: Projection | None = None) -> None:
        self._payload = payload
        self._columns = [_unpacked(number, column) for number, column in enumerate(columns)]
        self._projection = projection
        self._parents = struct.unpack(f"<{len(projection.parents) // 8}Q", projection.parents) if projection else ()
        self._cuts = list(struct.iter_unpack("<II", projection.cuts)) if projection else []
        self._row = 0
        self._bad_index = ""

    def output(self) -> bytes:
        """The new payload; raises MalformedPayload, else ValueError where the columns do not fit the spans."""
        parts = [
            (self._message(piece, self._resource_spans) or b"") if piece.tag == RESOURCE_SPANS else self._payload[piece.at : piece.end]
            for piece in pieces(self._payload, 0, len(self._payload))
        ]
        self._check()
        return b"".join(parts)

    def _check(self) -> None:
        counts = [
            (f"column {number}", len(column[0] if isinstance(column, tuple) else column.indices))
            for number, column in enumerate(self._columns)
        ]
        if self._projection is not None:
            counts += [("keep", len(self._projection.keep)), ("parents", len(self._parents))]
        for what, count in counts:
            if count != self._row:
                raise ValueError(f"{self._row} spans, but {what} has {count} rows")
        if self._bad_index:
            raise ValueError(self._bad_index)

    def _message(self, piece: Piece, inside: Callable[[Piece], bytes | None]) -> bytes | None:
        """A field with new content; None where it is left out."""
        content = inside(piece)
        if content is None:
            return None
        if len(content) == piece.end - piece.start:
            return self._payload[piece.at : piece.start] + content
        return self._payload[piece.at : piece.mid] + encode.varint(len(content)) + content

    def _children(self, parent: Piece, child: int, inside: Callable[[Piece], bytes | None]) -> bytes | None:
        """A message's fields, those tagged *child* through *inside*. Without a span left a projection leaves it out."""
        kept = self._projection is None
        parts = []
        for piece in pieces(self._payload, parent.start, parent.end):
            if piece.tag != child:
                parts.append(self._payload[piece.at : piece.end])
                continue
            part = self._message(piece, inside)
            if part is not None:
                kept = True
                parts.append(part)
        return b"".join(parts) if kept else None

    def _resource_spans(self, piece: Piece) -> bytes | None:
        return self._children(piece, SCOPE_SPANS, self._scope_spans)

    def _scope_spans(self, piece: Piece) -> bytes | None:
        return self._children(piece, SPANS, self._span)

    def _span(self, piece: Piece) -> bytes | None:
        row = self._row
        self._row += 1
        projection = self._projection
        if projection is None:
            ids = self._ids(piece) if self._wants_ids(row) else {}
            return self._payload[piece.start : piece.end] + self._appended(row, ids)
        ids = self._ids(piece)  # kept or not, so that damage is reported whatever is kept
        if row >= len(projection.keep) or not projection.keep[row]:
            return None
        parent = self._parents[row] if row < len(self._parents) else 0
        return self._reparent(piece, ids.get(PARENT_ID), parent) + self._appended(row, ids)

    def _ids(self, span: Piece) -> dict[int, Piece]:
        """The ids of a span by tag: of each the last one."""
        return {piece.tag: piece for piece in pieces(self._payload, span.start, span.end) if piece.tag in _IDS}

    def _wants_ids(self, row: int) -> bool:
        return any(isinstance(column, tuple) and any(column[0][row : row + 1]) for column in self._columns)

    def _appended(self, row: int, ids: dict[int, Piece]) -> bytes:
        parts = []
        for number, column in enumerate(self._columns):
            if isinstance(column, _Ragged):
                start, end = column.offsets[row : row + 2] if row + 1 < len(column.offsets) else (0, 0)
                if end > len(column.data):
                    self._bad_index = self._bad_index or f"column {number}: there is no fragment {end}"
                parts.append(column.data[start:end])
                continue
            if isinstance(column, tuple):
                mask, before, after, of_span = column
                digits = self._digits(ids, of_span=of_span) if any(mask[row : row + 1]) else b""
                parts.append(before + digits + after if digits else b"")
                continue
            index = column.indices[row] if row < len(column.indices) else 0
            if index >= len(column.fragments):
                self._bad_index = self._bad_index or f"column {number}: there is no fragment {index}"
            else:
                parts.append(column.fragments[index])
        return b"".join(parts)

    def _digits(self, ids: dict[int, Piece], *, of_span: bool) -> bytes:
        """The id in hex, b"" where it is not of its length."""
        piece = ids.get(SPAN_ID if of_span else _TRACE_ID)
        size = _ID_BYTES if of_span else _TRACE_ID_BYTES
        return self._payload[piece.start : piece.end].hex().encode() if piece is not None and piece.end - piece.start == size else b""

    def _reparent(self, span: Piece, parent: Piece | None, new: int) -> bytes:
        payload = self._payload
        content = self._uncut(span.start, span.end)
        fits = parent is not None and parent.end - parent.start == _ID_BYTES
        old = int.from_bytes(payload[parent.start : parent.end], "big") if parent is not None and fits else 0
        if old == new:
            return content
        if new == 0:
            others = (piece for piece in pieces(payload, span.start, span.end) if piece.tag != PARENT_ID)
            return b"".join(self._uncut(piece.at, piece.end) for piece in others)
        encoded = new.to_bytes(_ID_BYTES, "big")
        if parent is None or not fits:
            return content + encode.delimited(fields.Span.PARENT_SPAN_ID, encoded)
        return self._uncut(span.start, parent.start) + encoded + self._uncut(parent.end, span.end)

    def _uncut(self, start: int, end: int) -> bytes:
        parts, at = [], start
        for cut, stop in self._cuts[bisect_left(self._cuts, (start, 0)) :]:
            if cut >= end:
                break
            if cut >= at and stop <= end:
                parts.append(self._payload[at:cut])
                at = stop
        return b"".join([*parts, self._payload[at:end]])


def _unpacked(number: int, column: PackedColumn) -> _Fragments | _Ragged | tuple[bytes, bytes, bytes, bool]:
    if len(column) != 2:
        return column
    indices, fragments = column
    if isinstance(fragments, bytes):
        return _Ragged(struct.unpack(f"<{len(indices) // 4}I", indices), fragments)
    if not fragments or fragments[0]:
        raise ValueError(f'column {number}: fragments[0] must be b""')
    return _Fragments(struct.unpack(f"<{len(indices) // 4}I", indices), fragments)
