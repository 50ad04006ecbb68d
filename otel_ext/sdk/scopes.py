"""Which blocks of the application (`watch`, `expect_tools`) a span belongs to.

A span belongs to the blocks that were open where it started: context variables carry them into tasks, and into threads that copy the
context. A span that started without that context belongs to the blocks in whose traces it is.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Sequence
from contextvars import ContextVar, Token
from typing import Any, Final, Protocol

from otel_ext.model import Finding
from otel_ext.sdk.reading import Reader, Reading
from otel_ext.wire import Codec

STARTED_MAX: Final = 10_000  # spans that started in a block and have not ended
TRACES_MAX: Final = 1_000  # of one block

log: Final = logging.getLogger("otel_ext.sdk")


class Source(Protocol):
    """The processor that feeds a block: names are numbers of its codec."""

    @property
    def codec(self) -> Codec:
        """What read the spans."""
        ...

    @property
    def reader(self) -> Reader:
        """Reads a span."""
        ...

    def report(self, finding: Finding) -> None:
        """Tell of a finding that is not about a span that just ended."""
        ...

    def settled(self, trace_id: bytes, span_id: int) -> None:
        """What this span was expected to call was told already."""
        ...


class Block(Protocol):
    """An open block."""

    traces: dict[int, None]

    def started(self, source: Source, span: Any) -> None:
        """A span started inside."""
        ...

    def ended(self, source: Source, trace_id: bytes, span_id: int, reading: Reading, /) -> Sequence[Finding]:
        """A span of the block ended; what the block finds in that."""
        ...

    def heard(self, findings: Sequence[Finding]) -> None:
        """What the processor found in the spans of the block."""
        ...


current: Final[ContextVar[tuple[Block, ...]]] = ContextVar("otel_ext_blocks", default=())
live: Final[dict[int, Block]] = {}
sources: Final[weakref.WeakSet[Any]] = weakref.WeakSet()
_started: Final[dict[int, tuple[Block, ...]]] = {}


def enter(block: Block) -> Token[tuple[Block, ...]]:
    """Open *block* for this context."""
    if not sources:
        log.warning("otel_ext: no AgentSpanProcessor was added to a TracerProvider: nothing is watched")
    live[id(block)] = block
    return current.set((*current.get(), block))


def leave(block: Block, token: Token[tuple[Block, ...]]) -> None:
    """Close *block*."""
    live.pop(id(block), None)
    try:
        current.reset(token)
    except ValueError:  # left in another context than entered, as a generator may
        current.set(tuple(each for each in current.get() if each is not block))


def started(source: Source, span: Any) -> None:
    """A span started; called only while a block is open."""
    blocks = tuple(block for block in current.get() if id(block) in live)
    if not blocks:
        return
    context = span._context
    _started[context.span_id] = blocks
    if len(_started) > STARTED_MAX:
        _started.pop(next(iter(_started)), None)
    for block in blocks:
        if len(block.traces) < TRACES_MAX:
            block.traces[context.trace_id] = None
        block.started(source, span)


def owners(trace_id: int, span_id: int) -> Sequence[Block]:
    """The open blocks of a span that ended."""
    blocks = _started.pop(span_id, None)
    if blocks is None:
        return [block for block in tuple(live.values()) if trace_id in block.traces]
    return [block for block in blocks if id(block) in live]
