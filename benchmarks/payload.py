"""The load: distinct batches of agent traces from one seed, made by overwriting the slots of a template with numpy.

Every trace has its own ids, call ids, arguments and answers, so nothing can be deduplicated, and a healthy agent stays healthy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks import template
from benchmarks.template import SPANS_PER_TRACE, Step

SEED: Final = 20_261_121
_HEX: Final = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
_SLOT: Final = re.compile(rb"@([cn])(\d\d)(@+)")
_STEP_NS: Final = 30_000_000  # a step of a trace lasts 30 ms, so that a trace is half a second old when it is whole

# One row a span that was sent: what the sinks must hold afterwards.
SENT: Final = np.dtype([("trace", "S16"), ("span", "<u8"), ("genai", "?"), ("batch", "<u4")])


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a batch looks like. `parts` is over how many consecutive batches a trace is spread, as a long agent run is."""

    name: str
    spans_per_batch: int
    about: str
    fat: bool = False
    parts: int = 1
    rooted: bool = True
    looping: bool = False
    tools: tuple[str, ...] = template.HEALTHY_TOOLS

    @property
    def traces_per_batch(self) -> int:
        """Traces that have spans in one batch."""
        return self.spans_per_batch * self.parts // SPANS_PER_TRACE


SHAPES: Final = {
    shape.name: shape
    for shape in (
        Shape(name="512", spans_per_batch=512, about="batches of 512 spans, 32 whole traces each"),
        Shape(name="16", spans_per_batch=16, about="batches of 16 spans, one whole trace each"),
        Shape(name="fat", spans_per_batch=256, fat=True, about="batches of 256 spans, 20 KB of messages on each LLM span"),
        Shape(name="spread", spans_per_batch=512, parts=4, about="batches of 512 spans, 4 spans of each of 128 traces"),
        Shape(
            name="open",
            spans_per_batch=512,
            parts=4,
            rooted=False,
            tools=template.OPEN_TOOLS,
            about="16 agent steps a trace, over 4 batches, and the agent span never comes",
        ),
        Shape(name="looping", spans_per_batch=16, tools=template.LOOPING_TOOLS, looping=True, about="one trace of an agent that loops"),
    )
}


@dataclass(frozen=True, slots=True)
class Batch:
    """One ExportTraceServiceRequest, and the ids in it: traces (n, 16), spans (n, spans of each trace here, 8), which are GenAI."""

    body: bytes
    trace_ids: np.ndarray
    span_ids: np.ndarray
    genai: np.ndarray


class Payload:
    """Batches of one shape, from one seed. The same seed and start time give the same bytes."""

    def __init__(self, shape: Shape, *, seed: int = SEED, start_ns: int = 1_795_000_000_000_000_000) -> None:
        self.shape = shape
        self._rng = np.random.default_rng(seed)
        self._start_ns = start_ns
        self._made = 0
        steps = template.agent_trace(tools=shape.tools, fat=shape.fat, rooted=shape.rooted, looping=shape.looping)
        size = SPANS_PER_TRACE // shape.parts
        self._parts = [_Part(steps[at : at + size], at) for at in range(0, SPANS_PER_TRACE, size)]

    @property
    def span_bytes(self) -> float:
        """Mean bytes a span on the wire, with its share of the envelope."""
        rows = self.shape.traces_per_batch
        ids = _Ids(self._rng, rows, self._start_ns)
        return sum(len(part.bodies(ids, rows)[0]) for part in self._parts) / (rows * SPANS_PER_TRACE)

    def batches(self, count: int) -> Iterator[Batch]:
        """*count* batches, no trace in two of them but for its parts."""
        done = 0
        while done < count:
            for batch in self._block(max(1, 256 // self.shape.spans_per_batch)):
                if done < count:
                    done += 1
                    yield batch

    def _block(self, chunks: int) -> Iterator[Batch]:
        rows = self.shape.traces_per_batch
        ids = _Ids(self._rng, rows * chunks, self._start_ns + self._made * 1_000)
        self._made += rows * chunks
        bodies = [part.bodies(ids, rows) for part in self._parts]
        for chunk in range(chunks):
            own = slice(chunk * rows, (chunk + 1) * rows)
            for part, made in zip(self._parts, bodies, strict=True):
                spans = ids.spans[own, part.first : part.first + len(part.genai)]
                yield Batch(made[chunk], ids.traces[own], spans, part.genai)


class _Ids:
    """The random part of *count* traces: bytes for ids, hex digits for text, times that fall in line."""

    def __init__(self, rng: np.random.Generator, count: int, start_ns: int) -> None:
        self.count = count
        self.traces = rng.integers(1, 256, (count, 16), dtype=np.uint8)
        self.spans = rng.integers(1, 256, (count, SPANS_PER_TRACE, 8), dtype=np.uint8)
        times = start_ns + np.arange(count, dtype=np.uint64)[:, None] * np.uint64(1_000)
        steps = np.arange(2 * SPANS_PER_TRACE, dtype=np.uint64) * np.uint64(_STEP_NS // 2)
        self.times = (times + steps).astype("<u8").view(np.uint8).reshape(count, 2 * SPANS_PER_TRACE, 8)
        self._rng = rng
        self._texts: dict[bytes, np.ndarray] = {}

    def text(self, name: bytes, width: int) -> np.ndarray:
        """Hex digits for the slot *name*: the same wherever it stands in a trace."""
        if name not in self._texts:
            self._texts[name] = _HEX[self._rng.integers(0, 16, (self.count, width), dtype=np.uint8)]
        return self._texts[name]


class _Group:
    """Spans of one scope as bytes, and where in them the slots are."""

    def __init__(self, steps: Sequence[Step], *, genai: bool) -> None:
        chosen = [step.span.SerializeToString() for step in steps if step.genai is genai]
        self.bytes = b"".join(_field(2, span) for span in chosen)
        self.scope = _field(1, template.scope(genai=genai).SerializeToString())
        self._row = np.frombuffer(self.bytes, dtype=np.uint8)
        self._traces = _places(self.bytes, template.TRACE_MARK)
        self._spans = [(index, at) for index in range(SPANS_PER_TRACE) for at in _places(self.bytes, template.span_mark(index))]
        marks = [(index, (template.TIME_MARK + index).to_bytes(8, "little")) for index in range(2 * SPANS_PER_TRACE)]
        self._times = [(index, at) for index, mark in marks for at in _places(self.bytes, mark)]
        self._texts = [(slot[1] + slot[2], slot.start(), slot.end() - slot.start()) for slot in _SLOT.finditer(self.bytes)]

    def rows(self, ids: _Ids) -> np.ndarray:
        """One row of bytes a trace."""
        rows = np.tile(self._row, (ids.count, 1))
        for at in self._traces:
            rows[:, at : at + 16] = ids.traces
        for index, at in self._spans:
            rows[:, at : at + 8] = ids.spans[:, index]
        for index, at in self._times:
            rows[:, at : at + 8] = ids.times[:, index]
        for name, at, width in self._texts:
            rows[:, at : at + width] = ids.text(name, width)
        return rows


class _Part:
    """The spans of a trace that leave in one batch, grouped by scope as an SDK groups them."""

    def __init__(self, steps: Sequence[Step], first: int) -> None:
        self.first = first
        self.genai = np.array([step.genai for step in steps])
        groups = [_Group(steps, genai=genai) for genai in (True, False)]
        self._groups = [group for group in groups if group.bytes]
        self._resource = _field(1, template.resource().SerializeToString())

    def bodies(self, ids: _Ids, rows_per_body: int) -> list[bytes]:
        """One request for every *rows_per_body* traces."""
        tables = [group.rows(ids) for group in self._groups]
        bodies = []
        for at in range(0, ids.count, rows_per_body):
            scopes = [
                _field(2, group.scope + table[at : at + rows_per_body].tobytes()) for group, table in zip(self._groups, tables, strict=True)
            ]
            bodies.append(_field(1, b"".join((self._resource, *scopes))))
        return bodies


def sent_rows(batches: Sequence[Batch], first_batch: int = 0) -> np.ndarray:
    """SENT rows of *batches*, numbered from *first_batch*."""
    tables = []
    for number, batch in enumerate(batches, first_batch):
        traces, spans, _ = batch.span_ids.shape
        rows = np.zeros((traces, spans), dtype=SENT)
        rows["trace"] = np.ascontiguousarray(batch.trace_ids).view("S16")
        rows["span"] = np.ascontiguousarray(batch.span_ids).view("<u8")[:, :, 0]
        rows["genai"] = batch.genai
        rows["batch"] = number
        tables.append(rows.reshape(-1))
    return np.concatenate(tables) if tables else np.zeros(0, dtype=SENT)


def _places(data: bytes, mark: bytes) -> list[int]:
    return [match.start() for match in re.finditer(re.escape(mark), data)]


def _field(number: int, body: bytes) -> bytes:
    """*body* as length-delimited field *number*."""
    size, head = len(body), bytearray([number << 3 | 2])
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head) + body
