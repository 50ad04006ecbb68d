"""What a scan yields and what steers it: the columns, the key table, the limits. Shared by both codecs.

All integers are little-endian and packed. Ids are big-endian bytes read as one number, so that `int.to_bytes(8, "big")` gives them back.
Hashes are XXH3-64 of the bytes; 0 means absent (a true hash of 0 is stored as 1), and the hash of an empty value is 0.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from otel_ext.model import StepKind

# One row a span, in wire order. Refused spans have a row too (flag INVALID_ID), so that row numbers match the walk of `project`.
SPAN: Final = np.dtype(
    [
        ("trace", "<u4"),  # index into Scan.trace_ids
        ("flags", "<u4"),  # Flag bits, and from MARK_SHIFT on the marks of the key table
        ("span_id", "<u8"),
        ("parent_id", "<u8"),  # 0: no parent
        ("start", "<u8"),  # ns since the epoch
        ("end", "<u8"),  # ns since the epoch
        ("kind", "u1"),  # StepKind
        ("status", "u1"),  # 0 unset, 1 ok, 2 error
        ("operation", "<u2"),  # interned names; 0: none
        ("tool", "<u2"),
        ("model", "<u2"),
        ("agent", "<u2"),
        ("service", "<u2"),
        ("call_id", "<u8"),  # hashes
        ("arguments", "<u8"),
        ("result", "<u8"),
        ("output", "<u8"),
        ("arguments_len", "<u4"),  # bytes
        ("result_len", "<u4"),
        ("output_len", "<u4"),
        ("output_at", "<u4"),  # byte range of the output value in the payload, for rules that need the text
        ("output_value_len", "<u4"),
        ("conversation_at", "<u4"),  # byte range of the conversation id
        ("conversation_len", "<u4"),
        ("input_tokens", "<i4"),  # -1: unknown
        ("output_tokens", "<i4"),
        ("cached_tokens", "<i4"),
        ("reasoning_tokens", "<i4"),
        ("cost", "<f8"),  # US dollars; NaN: unknown
        ("request_first", "<u4"),  # rows of Scan.requests
        ("request_count", "<u4"),
        ("answer_first", "<u4"),  # rows of Scan.answers
        ("answer_count", "<u4"),
    ]
)

# One row an agent step, compact because open traces keep them: sorted by (trace, end, low half of the span id).
# Only spans of a kind in STEP_KINDS and with valid ids are steps.
#   tool, handoff, retriever: name tool, a arguments, b result, c call id   (32-bit folds of the hashes)
#   llm, embedding:           name model, a output, b input+output tokens (unknown counts as 0, capped), c 0
#   agent:                    name agent, a output, b milliseconds it ran (rounded up, capped), c 0
STEP: Final = np.dtype(
    [
        ("end", "<u8"),
        ("span", "<u4"),  # low half of the span id
        ("kind", "u1"),
        ("flags", "u1"),  # StepFlag
        ("name", "<u2"),
        ("a", "<u4"),
        ("b", "<u4"),
        ("c", "<u4"),
    ]
)
STEP_STRUCT: Final = "<QIBBHIII"
STEP_KINDS: Final = (StepKind.LLM, StepKind.TOOL, StepKind.AGENT, StepKind.RETRIEVER, StepKind.EMBEDDING, StepKind.HANDOFF)

# The steps of one trace in Scan.steps, and what they come to: so that a trace in which nothing repeats need not be looked at step by step.
GROUP: Final = np.dtype(
    [
        ("trace", "<u4"),
        ("first", "<u4"),
        ("count", "<u4"),
        ("models", "<u4"),  # model calls
        ("agents", "<u4"),  # agent runs that ended
        ("flags", "<u4"),  # GroupFlag
        ("tokens", "<u8"),  # of the model calls
    ]
)

# A tool call the model asked for, and an answer to one that a later model call was given. Settled (0 or 1) is one whose tool step is in
# the same trace of the same payload: kind TOOL, its c (not 0) the fold of this call id, and not hollow (arguments, but neither result
# nor error).
REQUEST: Final = np.dtype([("row", "<u4"), ("tool", "<u2"), ("settled", "u1"), ("pad", "u1"), ("call_id", "<u8"), ("arguments", "<u8")])
ANSWER: Final = np.dtype([("row", "<u4"), ("refused", "u1"), ("settled", "u1"), ("pad", "u1", (2,)), ("call_id", "<u8")])


class Flag(enum.IntFlag):
    """Bits of SPAN.flags."""

    INVALID_ID = 1  # the span's own ids: refused alone
    ERROR = 2  # status ERROR, or a key with how ERROR said so
    REMOTE_PARENT = 4  # Span.flags says that the parent is in another process
    HAS_ARGUMENTS = 8
    HAS_RESULT = 16
    TOOL_CALL_FINISH = 32  # reserved for finish reasons


MARK_SHIFT: Final = 8  # mark n of the key table is bit MARK_SHIFT + n; 24 marks at most


class StepFlag(enum.IntFlag):
    """Bits of STEP.flags."""

    ERROR = 1
    HAS_ARGUMENTS = 2
    HAS_RESULT = 4


class GroupFlag(enum.IntFlag):
    """Bits of GROUP.flags."""

    REPEATS = 1  # two tool steps with equal name and arguments, or two model steps with equal output
    DUPLICATE = 2  # two steps with equal end and span: one span, delivered twice


class Field(enum.IntEnum):
    """Where the value of an attribute goes. The numbers are part of the contract between both codecs.

    Rank decides between several keys for one field: the lowest rank that yields a value wins; on equal rank the first on the wire.

    A RESULT of a TOOL span that is a JSON object in a string may be an envelope. Where the object, else one under its `data` or `kwargs`,
    has a `tool_call_id`, the result is the raw `content` beside it, the id is the CALL_ID where no attribute gave one, and a `status` of
    "error" sets Flag.ERROR. An `isError` or `is_error` that is true sets that flag in any case.
    """

    KIND = 0  # string through Key.values -> StepKind; a string not in the table yields nothing
    OPERATION = 1  # non-empty string -> interned
    TOOL = 2
    MODEL = 3
    AGENT = 4
    SERVICE = 5  # read from the resource only
    CALL_ID = 6  # non-empty value -> hash
    ARGUMENTS = 7  # non-empty value -> hash, length, HAS_ARGUMENTS
    RESULT = 8  # any value, also an empty one -> hash, length, HAS_RESULT; of a TOOL span without its envelope, see below
    OUTPUT = 9  # non-empty value -> hash, length, byte range
    INPUT_TOKENS = 10  # int, finite double (truncated) or decimal string; negative yields nothing; capped at 2**31 - 1
    OUTPUT_TOKENS = 11
    CACHED_TOKENS = 12
    REASONING_TOKENS = 13
    COST = 14  # double, int or decimal string; negative or not finite yields nothing
    CONVERSATION = 15  # non-empty string -> byte range
    ERROR = 16  # sets Flag.ERROR: a bool must be true; a string must be in Key.values where that is given, else be non-empty
    OUTPUT_MESSAGES = 17  # semconv messages (JSON string): requests, and OUTPUT from the text parts
    INPUT_MESSAGES = 18  # semconv messages (JSON string): answers
    FLAT_OUTPUT = 19  # a prefix: OpenInference flattened output messages
    FLAT_INPUT = 20  # a prefix: OpenInference flattened input messages
    TEXT = 21  # string or array of strings -> Scan.texts, with Key.rank as the field number there
    MARK = 22  # presence sets bit MARK_SHIFT + Key.rank


@dataclass(frozen=True, slots=True)
class Key:
    """One attribute key of a dialect. Exact match, but for FLAT_* where `name` is a prefix.

    `kinds` limits the entry to spans whose kind, once all keys are read, is one of these; empty means any.
    """

    name: str
    field: Field
    rank: int = 0
    values: Mapping[str, int] = dataclasses.field(default_factory=dict)
    kinds: tuple[StepKind, ...] = ()


@dataclass(frozen=True, slots=True)
class NameRule:
    """What a span's name tells, tried in order after the attributes; the first that fits is used, and only it.

    Fits when the name starts with `prefix`, the scope name with `scope`, and the kind so far is in `kinds` (empty: any).
    Then the kind becomes `kind` (None: stays). With `take` (TOOL or AGENT) the rest of the name after the prefix (and before `suffix`,
    which must then end it) fills that field where no attribute did; an empty rest fills nothing.
    """

    prefix: str
    kind: StepKind | None = None
    take: Field | None = None
    kinds: tuple[StepKind, ...] = ()
    scope: str = ""
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one codec. `names_max` interned names are kept; every later one becomes NAME_OTHER and is counted."""

    depth_max: int = 32  # nested AnyValues
    names_max: int = 10_000
    name_bytes_max: int = 256  # a longer name is cut at a character boundary
    requests_max: int = 128  # tool calls read from one span; more are counted in Scan.overflow
    answers_max: int = 1_024


# Lower-case bytes; an answer that has one of them in its first 256 is a refusal: the tool does not exist, or was not let run.
REFUSAL_MARKERS: Final = (
    b"error: tool",
    b"not available",
    b"is not a valid tool",
    b"unknown tool",
    b"tool not found",
    b"not found",
    b"no such tool",
    b"blocked by",
    b"rejected the tool",
    b"not approved",
    b"denied",
)

NAME_NONE: Final = 0
NAME_OTHER: Final = 1  # "__other__"


@dataclass(frozen=True, slots=True)
class Scan:
    """Columns of one payload. The arrays are read-only views of bytes that the codec owns no longer."""

    spans: np.ndarray  # SPAN
    steps: np.ndarray  # STEP
    step_rows: np.ndarray  # u4: row of each step in `spans`
    groups: np.ndarray  # GROUP, ascending by trace
    requests: np.ndarray  # REQUEST
    answers: np.ndarray  # ANSWER
    trace_ids: list[bytes]  # 16 bytes each, in order of first appearance among spans with valid ids
    texts: list[tuple[int, int, str | list[str]]]  # row, field number, value; sparse
    overflow: int  # requests and answers over the limits, and names that became NAME_OTHER


class IdColumn(NamedTuple):
    """An attribute with an id of the span itself in it: row r, where `mask[r]` is set, gets `before + <hex digits> + after`.

    The digits are the 32 of its trace id, or with `of_span` the 16 of its span id, in lower case; a span whose id is not 16 (8) bytes long
    gets nothing. Lengths in `before` and `after` account for them (`otel_ext.wire.encode.id_attribute`).
    """

    mask: np.ndarray  # bool or u1 a row
    before: bytes
    after: bytes
    of_span: bool = False


# What to append to spans, in the order of the columns. Either fragments: row r gets `fragments[indices[r]]`, and fragments[0] must be b"";
# or ids. A fragment is bytes of Span fields, tag included (otel_ext.wire.encode makes them).
Column = tuple["np.ndarray", list[bytes]] | IdColumn
