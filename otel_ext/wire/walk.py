"""The spans of a request, one by one, for those who look at few of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from otel_ext.wire import fields
from otel_ext.wire.fields import tag
from otel_ext.wire.reader import Piece, pieces

_RESOURCE_SPANS: Final = tag(fields.Request.RESOURCE_SPANS)
_SCOPE_SPANS: Final = tag(fields.ResourceSpans.SCOPE_SPANS)
_SPANS: Final = tag(fields.ScopeSpans.SPANS)
_SCOPE: Final = tag(fields.ScopeSpans.SCOPE)
_SCOPE_NAME: Final = tag(fields.Scope.NAME)
_NAME: Final = tag(fields.Span.NAME)


def spans_of(payload: bytes) -> Iterator[tuple[int, Piece]]:
    """Row and field of every span, in wire order."""
    row = 0
    for scope_spans in _scopes(payload):
        for piece in pieces(payload, scope_spans.start, scope_spans.end):
            if piece.tag == _SPANS:
                yield row, piece
                row += 1


def names_of(payload: bytes) -> Iterator[tuple[str, str]]:
    """The names of scope and span, a row."""
    for scope_spans in _scopes(payload):
        parts = list(pieces(payload, scope_spans.start, scope_spans.end))
        scope = "".join(_text(payload, part, _SCOPE_NAME) for part in parts if part.tag == _SCOPE)
        for part in parts:
            if part.tag == _SPANS:
                yield scope, _text(payload, part, _NAME)


def _scopes(payload: bytes) -> Iterator[Piece]:
    for resource_spans in pieces(payload, 0, len(payload)):
        if resource_spans.tag == _RESOURCE_SPANS:
            for piece in pieces(payload, resource_spans.start, resource_spans.end):
                if piece.tag == _SCOPE_SPANS:
                    yield piece


def _text(payload: bytes, message: Piece, wanted: int) -> str:
    found = [piece for piece in pieces(payload, message.start, message.end) if piece.tag == wanted]
    return payload[found[-1].start : found[-1].end].decode("utf-8", "replace") if found else ""
