"""What Langfuse's copy of each kept span gains, and the only place that knows what a Langfuse server makes of a key.

Reference: design 1.4 and reference/langfuse.md. A key that a span carries is not overwritten; what a server would take amiss is mended.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

import numpy as np

from otel_ext import semconv
from otel_ext.correlate import urls
from otel_ext.correlate.links import InLangfuse, NameFragments, bit, taken
from otel_ext.correlate.mending import LEVELS, Mended, Mender, Rows, normal_environment
from otel_ext.correlate.tree import Branch
from otel_ext.dialects import Mark
from otel_ext.model import StepKind
from otel_ext.settings import Links
from otel_ext.wire import notes
from otel_ext.wire.encode import attribute, id_attribute
from otel_ext.wire.numbers import billionths, counts
from otel_ext.wire.resources import text_attributes
from otel_ext.wire.table import Column, Flag, IdColumn, RaggedColumn

# Lower case: a Langfuse server ignores any other spelling.
TYPES: Final = {
    StepKind.LLM: "generation",
    StepKind.TOOL: "tool",
    StepKind.AGENT: "agent",
    StepKind.RETRIEVER: "retriever",
    StepKind.EMBEDDING: "embedding",
    StepKind.CHAIN: "chain",
    StepKind.HANDOFF: "tool",
    StepKind.GUARDRAIL: "guardrail",
    StepKind.EVALUATOR: "evaluator",
}
# Every spelling of a type, of which one must be there as it is.
ALL_TYPES: Final = (*dict.fromkeys(TYPES.values()), "span", "event")
TRACE_NAME_CHARS_MAX: Final = 1_000
_ANY_LENGTH: Final = 1 << 40
# What a server reads from the span itself (section 2.2), best first; where one is there, nothing is added.
_USER: Final = (
    "langfuse.user.id",
    semconv.USER_ID,
    "langfuse.observation.metadata.langfuse_user_id",
    "langfuse.trace.metadata.langfuse_user_id",
    "ai.telemetry.metadata.userId",
)
_SESSION: Final = (
    "langfuse.session.id",
    semconv.SESSION_ID,
    "gen_ai.conversation.id",
    "langfuse.observation.metadata.langfuse_session_id",
    "langfuse.trace.metadata.langfuse_session_id",
    "ai.telemetry.metadata.sessionId",
)
_TAGS: Final = (
    semconv.TRACE_TAGS,
    "langfuse.tags",
    "langfuse.observation.metadata.langfuse_tags",
    "langfuse.trace.metadata.langfuse_tags",
    "ai.telemetry.metadata.tags",
    "tag.tags",
)
# In the order in which a server asks for them, span before resource for each.
ENVIRONMENTS: Final = (semconv.LANGFUSE_ENVIRONMENT, "deployment.environment.name", "deployment.environment")
_NAME_SLOT: Final = 2
RESOURCES_KNOWN_MAX: Final = 1_024
NANO: Final = 1e9
# A provided cost also keeps the server from estimating the tokens of a span that has a model and no usage (section 2.4).
NEUTRAL: Final = attribute(semconv.OBSERVATION_USAGE, "{}") + attribute(semconv.OBSERVATION_COST, '{"total":0}')

# US dollars (f8, NaN: unknown) at a time, of those rows of spans.
Costs = Callable[[np.ndarray, int, np.ndarray], np.ndarray]


def note_table(traces_max: int, span_bytes_max: int) -> notes.NoteTable:
    """What keys mean to a Langfuse server."""
    return notes.NoteTable(
        slots=(
            (semconv.USER_ID, _USER),
            (semconv.SESSION_ID, _SESSION),
            (semconv.TRACE_NAME, (semconv.TRACE_NAME,)),
            (semconv.LANGFUSE_RELEASE, (semconv.LANGFUSE_RELEASE,)),
            (semconv.LANGFUSE_VERSION, (semconv.LANGFUSE_VERSION,)),
        ),
        tags=(semconv.TRACE_TAGS, _TAGS),
        name=_NAME_SLOT,
        usage=("gen_ai.usage.", "llm.token_count.", "llm.usage.", "llm.cost."),
        explicit=(semconv.OBSERVATION_USAGE, semconv.OBSERVATION_COST),
        neutral=NEUTRAL,
        integers=(semconv.PROMPT_VERSION, "langfuse.prompt.version"),
        words={semconv.OBSERVATION_LEVEL: LEVELS, semconv.OBSERVATION_TYPE: ALL_TYPES},
        lengths={
            semconv.TRACE_NAME: TRACE_NAME_CHARS_MAX,
            semconv.OBSERVATION_STATUS: _ANY_LENGTH,
            semconv.OBSERVATION_USAGE: _ANY_LENGTH,
            semconv.OBSERVATION_COST: _ANY_LENGTH,
            semconv.OBSERVATION_PARAMETERS: _ANY_LENGTH,
        },
        pairs=((semconv.PROMPT_NAME, semconv.PROMPT_VERSION), ("langfuse.prompt.name", "langfuse.prompt.version")),
        plain=ENVIRONMENTS,
        message=(semconv.OBSERVATION_STATUS,),
        traces_max=traces_max,
        span_bytes_max=span_bytes_max,
    )


@dataclass(frozen=True, slots=True)
class Projected:
    """What `Codec.project` appends and leaves out."""

    columns: list[Column]
    cuts: bytes


class Observations:
    """What the spans of a trace need as observations: model, usage, cost, level, and what the trace is known by. Remembers traces.

    `mended` counts attributes by what was done to them.
    """

    def __init__(
        self, name: Callable[[int], str], costs: Costs | None, traces_max: int, span_bytes_max: int, *, native: bool = True
    ) -> None:
        self.notes = notes.make_notes(note_table(traces_max, span_bytes_max), prefer_native=native)
        self._models = NameFragments(semconv.OBSERVATION_MODEL, name)
        self._costs = costs
        self._mender = Mender(span_bytes_max)
        self._failed = [b"", attribute(semconv.OBSERVATION_LEVEL, "ERROR")]
        self._environments: dict[bytes, bytes] = {}

    @property
    def mended(self) -> dict[str, int]:
        """Counts by kind."""
        return self._mender.counts

    def project(
        self, payload: bytes, spans: np.ndarray, branch: Branch, now_ns: int, *, ranges: bool = True, marked: Collection[int] = ()
    ) -> Projected:
        """For the rows that *branch* keeps. *ranges*: places in *spans* are places in *payload*; *marked* rows have findings on them."""
        keep, flags, kind = branch.keep.view(np.bool_), spans["flags"], spans["kind"]
        models = _MODELS[kind]
        spends = models & ((spans["input_tokens"] >= 0) | (spans["output_tokens"] >= 0))
        noted = self.notes.take(payload, _bits(keep, spends, _WRAPPERS[kind], branch), _ranges(spans) if ranges else [])
        columns: list[Column] = [
            RaggedColumn(noted.offsets, noted.data),
            self._model(spans, models & keep & (flags & _TAKEN_MODEL == 0)),
            _usage(spans, spends & keep & (flags & _TAKEN_USAGE == 0)),
            *self._cost(spans, spends & keep & (flags & _TAKEN_COST == 0), now_ns),
            *self._level(keep & (flags & _ERROR != 0) & (spans["status"] != _STATUS_ERROR) & (flags & _TAKEN_LEVEL == 0), marked),
            *self._environment(payload, spans, noted.resources),
        ]
        cuts = noted.cuts
        # a second root would rename the trace, and put its own input and output in the place of the first one's
        looks = noted.looks | (keep & ~branch.top & (flags & _SAYS_ROOT != 0)) * notes.ODD
        if looks.any():
            mended = self._mender.mend(payload, looks, noted.cuts, Rows(marked, branch.top, flags & _ERROR != 0))
            columns.append(_mended_column(len(spans), mended))
            cuts = mended.cuts
        return Projected(columns, cuts)

    def _model(self, spans: np.ndarray, rows: np.ndarray) -> Column:
        indices = np.where(rows, spans["model"], np.uint16(0)).astype(np.uint32)
        return indices, self._models.upto(int(indices.max(initial=0)))

    def _cost(self, spans: np.ndarray, rows: np.ndarray, now_ns: int) -> list[Column]:
        if self._costs is None or not rows.any():
            return []
        of = np.flatnonzero(rows)
        dollars = self._costs(spans, now_ns, of) * NANO
        billions = np.full(len(spans), -1, "<i8")
        billions[of] = np.where(dollars < _NANO_DOLLARS_MAX, np.rint(dollars), -1)  # NaN is not less
        return [billionths(semconv.OBSERVATION_COST, "total", billions)]

    def _level(self, rows: np.ndarray, marked: Collection[int]) -> list[Column]:
        """A call whose answer says that it failed, while its span says nothing."""
        if not rows.any():
            return []
        rows[list(marked)] = False  # their findings have a level
        return [(rows.astype(np.uint32), self._failed)]

    def _environment(self, payload: bytes, spans: np.ndarray, resources: np.ndarray) -> list[Column]:
        """The environment of a resource as a server takes it, where it would not."""
        fragments = [self._environment_of(payload[start:end]) for _, start, end in resources.tolist()]
        if not any(fragments):
            return []
        numbers = np.zeros(len(spans), np.uint32)
        for number, first in enumerate(resources[:, 0].tolist(), 1):
            numbers[first:] = number
        return [(np.where(spans["flags"] & _TAKEN_ENVIRONMENT == 0, numbers, 0).astype(np.uint32), [b"", *fragments])]

    def _environment_of(self, resource: bytes) -> bytes:
        if resource not in self._environments:
            if len(self._environments) >= RESOURCES_KNOWN_MAX:
                self._environments.clear()
            attributes = text_attributes(resource)
            stated = next((attributes[key] for key in ENVIRONMENTS if attributes.get(key)), "")
            normal = normal_environment(stated)
            self._environments[resource] = b"" if normal == stated else attribute(semconv.LANGFUSE_ENVIRONMENT, normal)
        return self._environments[resource]


def _bits(keep: np.ndarray, spends: np.ndarray, wraps: np.ndarray, branch: Branch) -> bytes:
    names = branch.top & (branch.parents == 0)
    bits = keep * notes.KEEP + spends * notes.SPENDS + wraps * notes.WRAPS + names * notes.NAMES
    packed: bytes = bits.astype("u1").tobytes()
    return packed


def _ranges(spans: np.ndarray) -> list[bytes]:
    """Places of user and session ids, for the first two slots."""
    return [np.stack((spans[f"{name}_at"], spans[f"{name}_len"]), axis=1).tobytes() for name in ("user", "conversation")]


def _usage(spans: np.ndarray, rows: np.ndarray) -> Column:
    """Tokens in buckets that exclude each other: what a server adds up must not be counted twice."""
    total, output = spans["input_tokens"], spans["output_tokens"]
    cached = np.minimum(np.maximum(spans["cached_tokens"], 0), np.maximum(total, 0))
    written = np.minimum(np.maximum(spans["cache_write_tokens"], 0), np.maximum(total, 0) - cached)
    reasoning = np.minimum(np.maximum(spans["reasoning_tokens"], 0), np.maximum(output, 0))
    buckets = {
        "input": np.where(total >= 0, total - cached - written, -1),
        "input_cached_tokens": np.where(cached > 0, cached, -1),
        "input_cache_creation": np.where(written > 0, written, -1),
        "output": np.where(output >= 0, output - reasoning, -1),
        "output_reasoning_tokens": np.where(reasoning > 0, reasoning, -1),
    }
    return counts(semconv.OBSERVATION_USAGE, {name: np.where(rows, bucket, -1) for name, bucket in buckets.items()})


def _mended_column(rows: int, mended: Mended) -> Column:
    indices = np.zeros(rows, np.uint32)
    indices[list(mended.fragments)] = np.arange(1, len(mended.fragments) + 1, dtype=np.uint32)
    return indices, [b"", *mended.fragments.values()]


class LlmLinks:
    """The way back to Tempo, the type, and the mark of the root."""

    def __init__(self, links: Links) -> None:
        page = urls.tempo_template(links)
        self._trace_id = id_attribute(semconv.TEMPO_TRACE_ID)
        self._trace_url = id_attribute(semconv.TEMPO_URL, page) if page else None
        self._span_id = id_attribute(semconv.TEMPO_SPAN_ID, digits=16)
        self._types = [attribute(semconv.OBSERVATION_TYPE, TYPES[kind]) if kind in TYPES else b"" for kind in StepKind]
        self._root = [b"", attribute(semconv.IS_APP_ROOT, value=True)]
        self._as_root = [b"", attribute(semconv.AS_ROOT, "true")]

    def columns(self, spans: np.ndarray, branch: Branch, known: InLangfuse) -> list[Column]:
        """Fragments for the rows that *branch* keeps. The trace in Tempo is named where its tree starts; where ids differ, everywhere."""
        flags, kind = spans["flags"], spans["kind"]
        columns: list[Column] = [
            (np.where(flags & _TAKEN_TYPE == 0, kind, np.uint8(0)).astype(np.uint32), self._types),
            ((branch.top & (flags & _TAKEN_ROOT == 0)).astype(np.uint32), self._root),
            # older servers know another mark, and need it only where there is a parent
            ((branch.top & (branch.parents != 0) & (flags & _TAKEN_AS_ROOT == 0)).astype(np.uint32), self._as_root),
            IdColumn(flags & _TAKEN_SPAN_ID == 0, *self._span_id, of_span=True),
        ]
        named = branch.top | (kind == np.uint8(StepKind.AGENT))
        if known.other:
            named |= np.isin(spans["trace"], list(known.other))
        columns.append(IdColumn(named & (flags & _TAKEN_TRACE_ID == 0), *self._trace_id, of_span=False))
        if self._trace_url:
            columns.append(IdColumn(named & (flags & _TAKEN_TRACE_URL == 0), *self._trace_url, of_span=False))
        return columns


_NANO_DOLLARS_MAX: Final = 1e18
_STATUS_ERROR: Final = 2
_MODELS: Final = np.zeros(256, np.bool_)
_MODELS[[StepKind.LLM, StepKind.EMBEDDING]] = True
# A reranker, an evaluator or a guardrail may well have used what it says by itself.
_WRAPPERS: Final = np.zeros(256, np.bool_)
_WRAPPERS[[StepKind.AGENT, StepKind.CHAIN, StepKind.TOOL, StepKind.HANDOFF, StepKind.MCP, StepKind.OTHER]] = True
_ERROR: Final = np.uint32(Flag.ERROR)
_TAKEN_TYPE: Final = taken(Mark.OBSERVATION_TYPE)
_TAKEN_ROOT: Final = taken(Mark.IS_APP_ROOT)
_TAKEN_AS_ROOT: Final = taken(Mark.AS_ROOT)
_SAYS_ROOT: Final = np.uint32(bit(Mark.AS_ROOT))
_TAKEN_SPAN_ID: Final = taken(Mark.TEMPO_SPAN_ID)
_TAKEN_TRACE_ID: Final = taken(Mark.TEMPO_TRACE_ID)
_TAKEN_TRACE_URL: Final = taken(Mark.TEMPO_URL)
_TAKEN_MODEL: Final = taken(Mark.OBSERVATION_MODEL)
_TAKEN_USAGE: Final = taken(Mark.OBSERVATION_USAGE)
_TAKEN_COST: Final = taken(Mark.OBSERVATION_COST)
_TAKEN_LEVEL: Final = taken(Mark.OBSERVATION_LEVEL)
_TAKEN_ENVIRONMENT: Final = taken(Mark.LANGFUSE_ENVIRONMENT)
