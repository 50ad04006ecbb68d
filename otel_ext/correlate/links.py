"""Which bytes a span must gain so that Tempo and Langfuse know each other. Values in, columns of fragments out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from otel_ext import semconv
from otel_ext.correlate import urls
from otel_ext.dialects import Mark
from otel_ext.model import StepKind
from otel_ext.settings import Links
from otel_ext.wire.encode import attribute, id_attribute
from otel_ext.wire.table import MARK_SHIFT, NAME_OTHER, Column, Flag, IdColumn

_NO_BYTES: Final = b""


def bit(mark: Mark) -> int:
    """The bit of SPAN.flags that says the application set this key itself."""
    return 1 << (MARK_SHIFT + mark)


class NameFragments:
    """One attribute a name, made once: `fragments[n]` is the attribute for interned name n."""

    def __init__(self, key: str, name: Callable[[int], str]) -> None:
        self._key = key
        self._name = name
        # 0 is no name, and names that did not fit the table say nothing true about a span
        self.fragments: list[bytes] = [_NO_BYTES] * (NAME_OTHER + 1)

    def upto(self, highest: int) -> list[bytes]:
        """The list, grown to hold name *highest*."""
        for number in range(len(self.fragments), highest + 1):
            self.fragments.append(attribute(self._key, self._name(number)))
        return self.fragments


@dataclass(frozen=True, slots=True)
class InLangfuse:
    """Which traces of a payload are known to be in Langfuse: `own[t]` under the trace's own id, `other[t]` names another id."""

    own: np.ndarray  # bool a trace
    other: Mapping[int, str]

    def rows(self, traces: np.ndarray) -> np.ndarray:
        """Rows of traces known under their own id."""
        if self.own.all():
            return np.ones(len(traces), dtype=np.bool_)
        # a payload of refused spans alone has rows, and no trace
        return self.own[traces] if len(self.own) else np.zeros(len(traces), dtype=np.bool_)


class IdLink:
    """One attribute whose text is *template* with the trace's id in it: set in by the codec, but for traces that go by another id."""

    def __init__(self, key: str, template: str = urls.ID) -> None:
        self._key = key
        self._template = template
        self._around = id_attribute(key, template)

    def columns(self, rows: np.ndarray, traces: np.ndarray, known: InLangfuse) -> Iterator[Column]:
        """For the *rows* that may have it."""
        yield IdColumn(rows & known.rows(traces), *self._around, of_span=False)
        if known.other:
            fragments = [_NO_BYTES, *(attribute(self._key, urls.fill(self._template, other)) for other in known.other.values())]
            numbers = np.zeros(len(known.own), dtype=np.uint32)
            numbers[list(known.other)] = np.arange(1, len(fragments), dtype=np.uint32)
            yield np.where(rows, numbers[traces], np.uint32(0)).astype(np.uint32), fragments


class SpanLinks:
    """What Tempo's copy of each span gains (design 1.4)."""

    def __init__(self, links: Links, name: Callable[[int], str]) -> None:
        page = urls.langfuse_template(links)
        self._id = IdLink(semconv.LANGFUSE_TRACE_ID)
        self._url = IdLink(semconv.LANGFUSE_TRACE_URL, page) if page else None
        self._models = NameFragments(semconv.LANGFUSE_MODEL, name)
        self._tools = NameFragments(semconv.MCP_TOOL, name)

    def columns(self, spans: np.ndarray, known: InLangfuse) -> list[Column]:
        """Fragments for *spans*."""
        flags, kind, traces = spans["flags"], spans["kind"], spans["trace"]
        columns = list(self._id.columns(flags & _TAKEN_ID == 0, traces, known))
        if self._url:
            roots = (spans["parent_id"] == 0) | (kind == _AGENT) | (flags & _REMOTE != 0)
            columns += self._url.columns(roots & (flags & _TAKEN_URL == 0), traces, known)
        columns.append(_named((kind == _LLM) & (flags & _TAKEN_MODEL == 0), spans["model"], self._models))
        columns.append(_named((kind == _TOOL) & (flags & _TAKEN_TOOL == 0), spans["tool"], self._tools))
        return columns


def _named(rows: np.ndarray, names: np.ndarray, table: NameFragments) -> Column:
    indices = np.where(rows, names, np.uint16(0)).astype(np.uint32)
    return indices, table.upto(int(indices.max(initial=0)))


def taken(mark: Mark) -> np.uint32:
    """Flags of a span that must not gain the key: it carries one, or its ids are invalid."""
    return np.uint32(bit(mark) | Flag.INVALID_ID)


# Plain numbers, made once: a payload of a few spans pays for every look at an enum.
_TAKEN_ID: Final = taken(Mark.LANGFUSE_TRACE_ID)
_TAKEN_URL: Final = taken(Mark.LANGFUSE_TRACE_URL)
_TAKEN_MODEL: Final = taken(Mark.LANGFUSE_MODEL)
_TAKEN_TOOL: Final = taken(Mark.MCP_TOOL)
_REMOTE: Final = np.uint32(Flag.REMOTE_PARENT)
_AGENT: Final = np.uint8(StepKind.AGENT)
_LLM: Final = np.uint8(StepKind.LLM)
_TOOL: Final = np.uint8(StepKind.TOOL)
