"""A request cut by resource: who sent which spans. Bytes stay as they are: requests with one resource each concatenate to the whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from otel_ext.wire import fields
from otel_ext.wire.fields import tag
from otel_ext.wire.reader import Piece, Values, pieces

_RESOURCE_SPANS: Final = tag(fields.Request.RESOURCE_SPANS)
_RESOURCE: Final = tag(fields.ResourceSpans.RESOURCE)
_SCOPE_SPANS: Final = tag(fields.ResourceSpans.SCOPE_SPANS)
_SPANS: Final = tag(fields.ScopeSpans.SPANS)
_TRACE_ID: Final = tag(fields.Span.TRACE_ID)
_ATTRIBUTES: Final = tag(fields.Resource.ATTRIBUTES)
_DEPTH_MAX: Final = 32


@dataclass(frozen=True, slots=True)
class Share:
    """What one resource sent: the bytes of its message, those of its ResourceSpans as a request of its own, and whose spans these are."""

    resource: bytes
    payload: bytes
    trace_ids: tuple[bytes, ...]  # one a span, in wire order


def shares(payload: bytes) -> Iterator[Share]:
    """*payload* by resource, in wire order; raises MalformedPayload."""
    for piece in pieces(payload, 0, len(payload)):
        if piece.tag == _RESOURCE_SPANS:
            inner = list(pieces(payload, piece.start, piece.end))
            resource = b"".join(payload[part.start : part.end] for part in inner if part.tag == _RESOURCE)
            ids = tuple(trace_id for part in inner if part.tag == _SCOPE_SPANS for trace_id in _trace_ids(payload, part))
            yield Share(resource, payload[piece.at : piece.end], ids)


def _trace_ids(payload: bytes, scope_spans: Piece) -> Iterator[bytes]:
    for span in pieces(payload, scope_spans.start, scope_spans.end):
        if span.tag == _SPANS:
            found = (piece for piece in pieces(payload, span.start, span.end) if piece.tag == _TRACE_ID)
            yield next((payload[piece.start : piece.end] for piece in found), b"")


def text_attributes(resource: bytes) -> dict[str, str]:
    """Attributes of a Resource message that are strings."""
    values = Values(resource, _DEPTH_MAX)
    pairs = (values.pair(piece.start, piece.end) for piece in pieces(resource, 0, len(resource)) if piece.tag == _ATTRIBUTES)
    return {key.decode("utf-8", "replace"): values.text(value).decode("utf-8", "replace") for key, value in pairs if values.text(value)}
