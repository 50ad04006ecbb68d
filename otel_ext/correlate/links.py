"""Which bytes a span must gain so that Tempo and Langfuse know each other. Values in, columns of fragments out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from otel_ext import semconv
from otel_ext.correlate import urls
from otel_ext.dialects import Mark
from otel_ext.model import StepKind
from otel_ext.settings import Links
from otel_ext.wire.encode import attribute
from otel_ext.wire.table import MARK_SHIFT, NAME_OTHER, Column, Flag

_NO_BYTES: Final = b""
_MODEL_ID: Final = "0123456789abcdef" * 2


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


class IdFragment:
    """An attribute whose text is *template* with a trace id in it; b"" for no id. Ids of 32 characters are set into bytes made once."""

    def __init__(self, key: str, template: str) -> None:
        self._key = key
        self._template = template
        model = attribute(key, urls.fill(template, _MODEL_ID))
        self._before, _, self._after = model.partition(_MODEL_ID.encode())

    def __call__(self, trace_id: str) -> bytes:
        if len(trace_id) == len(_MODEL_ID) and trace_id.isalnum() and trace_id.isascii():
            return self._before + trace_id.encode() + self._after
        return attribute(self._key, urls.fill(self._template, trace_id)) if trace_id else _NO_BYTES


class SpanLinks:
    """What Tempo's copy of each span gains (design 1.4)."""

    def __init__(self, links: Links, name: Callable[[int], str]) -> None:
        self._page = urls.langfuse_template(links)
        self._id = IdFragment(semconv.LANGFUSE_TRACE_ID, urls.ID)
        self._url = IdFragment(semconv.LANGFUSE_TRACE_URL, self._page)
        self._models = NameFragments(semconv.LANGFUSE_MODEL, name)
        self._tools = NameFragments(semconv.MCP_TOOL, name)

    def columns(self, spans: np.ndarray, langfuse_ids: Sequence[str]) -> list[Column]:
        """Fragments for *spans*; `langfuse_ids[t]` is the Langfuse id of trace t, or "" while it is not known to be there."""
        flags, kind = spans["flags"], spans["kind"]
        trace = spans["trace"] + np.uint32(1)
        columns: list[Column] = [(_unless(flags, Mark.LANGFUSE_TRACE_ID, trace), self._ids(langfuse_ids))]
        if self._page:
            roots = (spans["parent_id"] == 0) | (flags & Flag.REMOTE_PARENT != 0) | (kind == StepKind.AGENT)
            columns.append((_unless(flags, Mark.LANGFUSE_TRACE_URL, np.where(roots, trace, 0)), self._urls(langfuse_ids)))
        columns.append(self._named(flags, Mark.LANGFUSE_MODEL, kind == StepKind.LLM, spans["model"], self._models))
        columns.append(self._named(flags, Mark.MCP_TOOL, kind == StepKind.TOOL, spans["tool"], self._tools))
        return columns

    def _ids(self, langfuse_ids: Sequence[str]) -> list[bytes]:
        return [_NO_BYTES, *map(self._id, langfuse_ids)]

    def _urls(self, langfuse_ids: Sequence[str]) -> list[bytes]:
        return [_NO_BYTES, *map(self._url, langfuse_ids)]

    @staticmethod
    def _named(flags: np.ndarray, mark: Mark, where: np.ndarray, names: np.ndarray, table: NameFragments) -> Column:
        indices = _unless(flags, mark, np.where(where, names, np.uint32(0)).astype(np.uint32))
        return indices, table.upto(int(indices.max(initial=0)))


def _unless(flags: np.ndarray, mark: Mark, indices: np.ndarray) -> np.ndarray:
    """*indices*, 0 where the span carries the key already or its ids are invalid."""
    taken = flags & np.uint32(bit(mark) | Flag.INVALID_ID) != 0
    return np.where(taken, np.uint32(0), indices).astype(np.uint32, copy=False)
