"""Cuts a refused request into halves, until the span at fault stands alone.

A destination that answers 400 for a whole batch because of one span (Langfuse does) would else cost all the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from otel_ext.wire import Codec
from otel_ext.wire.table import Scan


@dataclass(frozen=True, slots=True)
class Piece:
    """A request, in parts that are it when joined, and its number of spans."""

    parts: tuple[bytes, ...]
    spans: int

    @property
    def payload(self) -> bytes:
        """The request; no copy where it has one part."""
        return b"".join(self.parts)


class Halver(Protocol):
    """Knows the format of a payload, so that delivery need not."""

    def halves(self, payload: bytes) -> tuple[Piece, Piece] | None:
        """Two requests that hold each span of *payload* once, or None where it has fewer than two. Raises MalformedPayload."""
        ...

    def ids(self, payload: bytes) -> tuple[bytes, bytes]:
        """Trace id and span id of the only span; b"" where not valid."""
        ...


class CodecHalver:
    """A Halver over the codec. Both halves keep resource, scope and every byte of their spans."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec

    def halves(self, payload: bytes) -> tuple[Piece, Piece] | None:
        """The first and the second half of the spans, in wire order."""
        spans = self._codec.scan(payload).spans
        if len(spans) < 2:
            return None
        keep = np.zeros(len(spans), np.uint8)
        keep[: len(spans) // 2] = 1
        # Unchanged parents leave the spans' bytes alone.
        parents = np.ascontiguousarray(spans["parent_id"])
        first = self._codec.project(payload, keep, parents, ())
        second = self._codec.project(payload, 1 - keep, parents, ())
        return Piece((first,), len(spans) // 2), Piece((second,), len(spans) - len(spans) // 2)

    def ids(self, payload: bytes) -> tuple[bytes, bytes]:
        """Ids of the first span."""
        scan = self._codec.scan(payload)
        if not len(scan.spans):
            return b"", b""
        return _trace_id(scan), int(scan.spans["span_id"][0]).to_bytes(8, "big")


def _trace_id(scan: Scan) -> bytes:
    index = int(scan.spans["trace"][0])
    return scan.trace_ids[index] if index < len(scan.trace_ids) else b""
