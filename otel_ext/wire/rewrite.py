"""Appends fields to spans and leaves spans out, in Python: the twin of native/src/rewrite.rs.

A length is written anew, minimally, only where it changed; all other bytes are those of the input.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from otel_ext.wire import encode, fields
from otel_ext.wire.fields import tag
from otel_ext.wire.reader import Piece, pieces

RESOURCE_SPANS: Final = tag(fields.Request.RESOURCE_SPANS)
SCOPE_SPANS: Final = tag(fields.ResourceSpans.SCOPE_SPANS)
SPANS: Final = tag(fields.ScopeSpans.SPANS)
SPAN_ID: Final = tag(fields.Span.SPAN_ID)
PARENT_ID: Final = tag(fields.Span.PARENT_SPAN_ID)
_ID_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Projection:
    """What `project` does on top of appending."""

    keep: bytes
    parents: bytes  # packed u8
    id_key: str


class Rewriter:
    """One pass over one payload. `output` is called once."""

    def __init__(self, payload: bytes, columns: Sequence[tuple[bytes, list[bytes]]], projection: Projection | None = None) -> None:
        for number, (_, fragments) in enumerate(columns):
            if not fragments or fragments[0]:
                raise ValueError(f'column {number}: fragments[0] must be b""')
        self._payload = payload
        self._columns = [(struct.unpack(f"<{len(indices) // 4}I", indices), fragments) for indices, fragments in columns]
        self._projection = projection
        self._parents = struct.unpack(f"<{len(projection.parents) // 8}Q", projection.parents) if projection else ()
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
        counts = [(f"column {number}", len(indices)) for number, (indices, _) in enumerate(self._columns)]
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
        if self._projection is None:
            content: bytes | None = self._payload[piece.start : piece.end]
        else:
            content = self._project(piece, row, self._projection)
        return None if content is None else content + self._fragments(row)

    def _fragments(self, row: int) -> bytes:
        parts = []
        for number, (indices, fragments) in enumerate(self._columns):
            index = indices[row] if row < len(indices) else 0
            if index >= len(fragments):
                self._bad_index = self._bad_index or f"column {number}: there is no fragment {index}"
            elif index:
                parts.append(fragments[index])
        return b"".join(parts)

    def _project(self, span: Piece, row: int, projection: Projection) -> bytes | None:
        """The content of a span that stays, with its new parent; None for one that goes.

        The span is read either way, so that damage is reported whatever is kept.
        """
        own: Piece | None = None
        parent: Piece | None = None
        for piece in pieces(self._payload, span.start, span.end):
            if piece.tag == SPAN_ID:
                own = piece
            elif piece.tag == PARENT_ID:
                parent = piece
        if row >= len(projection.keep) or not projection.keep[row]:
            return None
        content = self._reparent(span, parent, self._parents[row] if row < len(self._parents) else 0)
        if projection.id_key and own is not None and own.end - own.start == _ID_BYTES:
            content += encode.attribute(projection.id_key, self._payload[own.start : own.end].hex())
        return content

    def _reparent(self, span: Piece, parent: Piece | None, new: int) -> bytes:
        payload = self._payload
        content = payload[span.start : span.end]
        fits = parent is not None and parent.end - parent.start == _ID_BYTES
        old = int.from_bytes(payload[parent.start : parent.end], "big") if parent is not None and fits else 0
        if old == new:
            return content
        if new == 0:
            others = (piece for piece in pieces(payload, span.start, span.end) if piece.tag != PARENT_ID)
            return b"".join(payload[piece.at : piece.end] for piece in others)
        encoded = new.to_bytes(_ID_BYTES, "big")
        if parent is None or not fits:
            return content + encode.delimited(fields.Span.PARENT_SPAN_ID, encoded)
        return payload[span.start : parent.start] + encoded + payload[parent.end : span.end]
