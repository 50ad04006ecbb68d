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
from otel_ext.wire.words import CLAIM_WORDS as CLAIM_WORDS
from otel_ext.wire.words import NO_TOOL_MARKERS as NO_TOOL_MARKERS
from otel_ext.wire.words import REFUSAL_MARKERS as REFUSAL_MARKERS

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
        ("user_at", "<u4"),  # byte range of the user id
        ("user_len", "<u4"),
        ("input_tokens", "<i4"),  # -1: unknown; with those read from a cache and written to one, whatever the dialect says
        ("output_tokens", "<i4"),
        ("cached_tokens", "<i4"),
        ("reasoning_tokens", "<i4"),
        ("cache_write_tokens", "<i4"),
        ("cost", "<f8"),  # US dollars; NaN: unknown
        ("request_first", "<u4"),  # rows of Scan.requests
        ("request_count", "<u4"),
        ("answer_first", "<u4"),  # rows of Scan.answers
        ("answer_count", "<u4"),
    ]
)

# One row an agent step, compact because open traces keep them: sorted by (trace, end, low half of the span id).
# Only spans of a kind in STEP_KINDS and with valid ids are steps. A fold is 32 bits of a hash, 0 where there is nothing to hash.
#   tool, handoff, retriever: name tool, a arguments (pair), b fold of the result, c fold of the call id
#   mcp:                      name tool, a arguments (pair), b fold of the result, c low half of the parent's span id
#   llm, embedding:           name model, a output (pair), b input+output tokens (unknown counts as 0, capped), c the parent's low half
#   agent:                    name agent, a fold of the output, b milliseconds it ran (rounded up, capped), c bytes of the output
# A pair is a likeness in the upper 16 bits and the exact thing in the lower 16 (of its fold). Both halves are 0 where there is nothing, and
# neither is where there is something: equal pairs mean equal values, equal upper halves mean alike ones.
#   arguments: the likeness is a hash in which every run of ASCII digits is one "0" and ASCII letters are lower case, so equal means "the
#              same but for a counter". Bytes past SHAPE_BYTES_MAX count as they are.
#   output:    the likeness is a simhash of the words: the fewer bits differ, the more alike. See `otel_ext.wire.prints`.
# A TOOL span whose parent, in the same payload, is a TOOL span of the same tool name tells of the same call, and is no step. Its arguments,
# result and call id fill what the step of the outermost such span lacks, and its error makes that one an error too. The rows of SPAN stay
# as they were read. An MCP span is a step where it has a tool name, so the key table must give a TOOL to those of `tools/call` only;
# client and server both make one, often in different payloads: GroupFlag.DOUBLED says that somebody has to look who has the whole trace.
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
STEP_KINDS: Final = (
    StepKind.LLM,
    StepKind.TOOL,
    StepKind.AGENT,
    StepKind.RETRIEVER,
    StepKind.EMBEDDING,
    StepKind.HANDOFF,
    StepKind.MCP,
)
SHAPE_BYTES_MAX: Final = 16_384

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
# nor error, and nothing of the span was dropped) and not REFUSED.
REQUEST: Final = np.dtype([("row", "<u4"), ("tool", "<u2"), ("settled", "u1"), ("pad", "u1"), ("call_id", "<u8"), ("arguments", "<u8")])
ANSWER: Final = np.dtype([("row", "<u4"), ("refused", "u1"), ("settled", "u1"), ("pad", "u1", (2,)), ("call_id", "<u8")])

# One row an attribute that tells which tools a model was given: the byte range of the value, which of the DECLARED_* forms it has, and its
# hash, so that one definition is parsed once however often it is sent. By row; of one span exact keys first, then flat ones, in wire order.
DECLARED: Final = np.dtype([("row", "<u4"), ("at", "<u4"), ("len", "<u4"), ("how", "u1"), ("pad", "u1", (3,)), ("hash", "<u8")])
DECLARED_JSON: Final = 0  # a text: a JSON array of definitions or names, or whatever else the application wrote there
DECLARED_ONE: Final = 1  # a text: one definition as JSON, or one bare name
DECLARED_VALUE: Final = 2  # an AnyValue (its protobuf members): an array of names, of JSON texts or of definitions as key-value lists
DECLARED_ESCAPED: Final = 4  # a bit beside the form: the text is the inside of a JSON string, its escapes still there

# One row a ScopeSpans message, in wire order: the name of its scope (interned), how many spans it holds, and how many of them are steps
# (before those are left out that tell of the same call).
SCOPE: Final = np.dtype([("name", "<u2"), ("pad", "<u2"), ("spans", "<u4"), ("steps", "<u4")])


class Flag(enum.IntFlag):
    """Bits of SPAN.flags."""

    INVALID_ID = 1  # the span's own ids: refused alone
    ERROR = 2  # status ERROR, or a key with how ERROR said so
    REMOTE_PARENT = 4  # Span.flags says that the parent is in another process
    HAS_ARGUMENTS = 8
    HAS_RESULT = 16
    SERVER = 32  # Span.kind: of the two sides of a call, the one that was called
    CUT = 64  # the span says that attributes or events of it were dropped
    CLAIM = 128  # an output text (LLM or AGENT) has one of CLAIM_WORDS: may be set too often, never too seldom


MARK_SHIFT: Final = 8  # mark n of the key table is bit MARK_SHIFT + n; 24 marks at most


class StepFlag(enum.IntFlag):
    """Bits of STEP.flags."""

    ERROR = 1
    HAS_ARGUMENTS = 2
    HAS_RESULT = 4
    SHORT_RESULT = 8  # tool, handoff, retriever, mcp: HAS_RESULT, and the result is of SHORT_RESULT_BYTES or fewer
    TRUNCATED = 16  # llm, embedding: a FINISH says that the length limit cut the output
    REFUSED = 16  # tool, mcp: the span says that the call was not made: a REFUSED, or a result with one of NO_TOOL_MARKERS
    CUT = 32  # as Flag.CUT
    EMPTY = 64  # llm: an output was recorded, it was read to its end, and it has neither text nor tool calls nor anything unknown
    REPETITIVE = 128  # llm: REPETITIVE_WORDS_MIN words or more, and the different ones are under REPETITIVE_PERCENT of them


SHORT_RESULT_BYTES: Final = 64
REPETITIVE_WORDS_MIN: Final = 20
REPETITIVE_PERCENT: Final = 30
DOUBLED_NS: Final = 50_000_000  # two reports of one model call end this close to each other
SIMILAR_BITS_MAX: Final = 2  # outputs whose simhashes differ in so many bits or fewer are alike
SIMILAR_STEPS_MAX: Final = 64


class GroupFlag(enum.IntFlag):
    """Bits of GROUP.flags.

    DOUBLED: the c of an LLM step (not 0, not its own span) is the span of an LLM step; or two LLM steps with equal a (not 0) and equal b
    end within DOUBLED_NS, or two without a and with equal b and c (not 0); or a step is of kind MCP. The likeness of model steps is looked
    at pair by pair: with over SIMILAR_STEPS_MAX of them, SIMILAR is set unseen.
    """

    REPEATS = 1  # two tool steps with equal name and arguments, or two model steps with equal output
    DUPLICATE = 2  # two steps with equal end and span: one span, delivered twice
    DOUBLED = 4  # one call may be here twice: see above
    UNUSUAL = 8  # a step is TRUNCATED, CUT, EMPTY or REPETITIVE, or of kind HANDOFF
    SIMILAR = 16  # two tool steps of one name whose arguments are alike but not equal, or two model steps whose outputs are so


class Field(enum.IntEnum):
    """Where the value of an attribute goes. The numbers are part of the contract between both codecs.

    Rank decides between several keys for one field: the lowest rank that yields a value wins; on equal rank the first on the wire.
    INPUT_TOKENS and INPUT_TOKENS_NET compete with each other; on equal rank INPUT_TOKENS wins.

    A RESULT of a TOOL or MCP span that is a JSON object in a string may be an envelope. Where the object, else one under its `data` or
    `kwargs`, has a `tool_call_id`, the result is the raw `content` beside it, the id is the CALL_ID where no attribute gave one, and a
    `status` of "error" sets Flag.ERROR. An `isError` or `is_error` that is true sets that flag in any case.

    OUTPUT_MESSAGES and INPUT_MESSAGES take a JSON string or the same thing as a structured value (arrays and key-value lists), in any of
    the shapes that `otel_ext.wire.messages` lists. A string that is no JSON is an output text; JSON of another shape yields nothing, so
    where an attribute may hold anything, name it twice: as OUTPUT_MESSAGES, and as OUTPUT with a higher rank. OUTPUT comes from the first
    source that has text, requests come from the first that has any, answers too; sources on events of the same rank are read together.
    """

    KIND = 0  # string through Key.values -> StepKind; one not in the table is the table's "", else it yields nothing
    OPERATION = 1  # non-empty string -> interned
    TOOL = 2
    MODEL = 3
    AGENT = 4
    SERVICE = 5  # read from the resource only
    CALL_ID = 6  # non-empty value -> hash
    ARGUMENTS = 7  # non-empty value -> hash, length, HAS_ARGUMENTS
    RESULT = 8  # any value, also an empty one -> hash, length, HAS_RESULT; of a TOOL span without its envelope, see above
    OUTPUT = 9  # non-empty value -> hash, length, byte range
    INPUT_TOKENS = 10  # int, finite double (truncated) or decimal string; negative yields nothing; capped at 2**31 - 1
    OUTPUT_TOKENS = 11
    CACHED_TOKENS = 12
    REASONING_TOKENS = 13
    COST = 14  # double, int or decimal string; negative or not finite yields nothing
    CONVERSATION = 15  # non-empty string -> byte range
    ERROR = 16  # sets Flag.ERROR: a bool must be true; a string must be in Key.values where that is given, else be non-empty
    OUTPUT_MESSAGES = 17  # messages: requests, and OUTPUT from the texts
    INPUT_MESSAGES = 18  # messages: answers
    FLAT_OUTPUT = 19  # a prefix, with the dot: flattened output messages of OpenInference or OpenLLMetry
    FLAT_INPUT = 20  # a prefix, with the dot: flattened input messages
    TEXT = 21  # string or array of strings -> Scan.texts, with Key.rank as the field number there
    MARK = 22  # presence sets bit MARK_SHIFT + Key.rank
    INPUT_TOKENS_NET = 23  # input tokens without the cached and the cache-written ones: the codec adds those that are known
    CACHE_WRITE_TOKENS = 24
    USER = 25  # non-empty string -> byte range
    DECLARED = 26  # any value that is not empty -> a row of Scan.declared, for every such attribute: rank does not matter
    FLAT_DECLARED = 27  # a prefix, with the dot, before `N.tool.json_schema`, `N.json_schema`, `N.tool.name`, `N.name` or `N.function.name`
    REFUSED = 29  # as ERROR, but says that a tool was not let run or does not exist: sets StepFlag.REFUSED of a TOOL or MCP
    FINISH = 28  # string, array of strings, or either as JSON; any one of them (also between commas) in Key.values means TRUNCATED


@dataclass(frozen=True, slots=True)
class Key:
    """One attribute key of a dialect. Exact match, but for FLAT_* where `name` is a prefix of keys that are in no other entry.

    `kinds` limits the entry to spans whose kind, once all keys are read, is one of these; empty means any. (A KIND knows no kinds.)
    `scope` limits it to spans whose scope name starts so.
    `event`: the attribute stands on a span event of this name, and not on the span. Not for SERVICE and FLAT_*.
    `path`: the string value is JSON, and the value is what stands at this place in it: a str is a member of an object (the first of that
    name), an int an item of an array (from 0). `()` is the JSON value itself, which then has to be all there is. A JSON string counts as
    a string, `true` and `false` as a bool, a number as its text; an object or array as its JSON text where a field takes any value,
    messages or an array of strings, and as no string; `null`, what is not there and what is no JSON yield nothing. An object or array
    that the end of the value cuts off is taken as far as it goes. Escapes are read for names, Key.values, hashes of ids, TEXT and
    messages; byte ranges and other hashes are of the text with its escapes.
    `between`: of the string (after `path`), what stands between the first `between[0]` and the next `between[1]`; an empty marker is the
    start or the end. Nothing where a marker is not there. `path` and `between` are not for SERVICE and FLAT_*.
    """

    name: str
    field: Field
    rank: int = 0
    values: Mapping[str, int] = dataclasses.field(default_factory=dict)
    kinds: tuple[StepKind, ...] = ()
    scope: str = ""
    event: str = ""
    path: tuple[str | int, ...] | None = None
    between: tuple[str, str] | None = None


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
    declared: np.ndarray  # DECLARED
    scopes: np.ndarray  # SCOPE
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


class RaggedColumn(NamedTuple):
    """Fragments made one by one: row r gets `data[offsets[r]:offsets[r + 1]]`."""

    offsets: np.ndarray  # u4, rows + 1
    data: bytes


# What to append to spans, in the order of the columns. Either fragments: row r gets `fragments[indices[r]]`, and fragments[0] must be b"";
# or ids; or a ragged column. A fragment is bytes of Span fields, tag included (otel_ext.wire.encode makes them).
Column = tuple["np.ndarray", list[bytes]] | IdColumn | RaggedColumn
