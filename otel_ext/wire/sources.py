"""What a model call answered and asked for, and what it was told: from whichever source of the span yields it first.

The twin of native/src/sources.rs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from otel_ext.model import StepKind
from otel_ext.wire import flat, reader
from otel_ext.wire.compile import FLAT, Entry, Rule
from otel_ext.wire.messages import GUARDS, Messages
from otel_ext.wire.names import Names, hashed
from otel_ext.wire.prints import text_print
from otel_ext.wire.reader import Value, Values
from otel_ext.wire.row import Row
from otel_ext.wire.skim import Json, unescape
from otel_ext.wire.structured import to_json
from otel_ext.wire.table import NO_TOOL_MARKERS, REFUSAL_MARKERS, Field, Flag, Limits, StepFlag

_REFUSAL_BYTES_MAX: Final = 256
_STRUCTURED: Final = (reader.ARRAY, reader.KVLIST)
_TEXTS: Final = (reader.STRING, reader.JSON)

Called = tuple[bytes, int, bytes]  # name, hash of the call id, arguments


@dataclass(slots=True)
class Tables:
    """What the spans of a payload share, and what they append to."""

    entries: dict[bytes, list[Entry]]
    events: dict[bytes, dict[bytes, list[Entry]]]  # by name of the event, then key
    flat: list[Entry]
    rules: list[Rule]
    limits: Limits
    names: Names
    requests: list[tuple[int, int, int, int]] = field(default_factory=list)  # row, tool, call id, arguments
    answers: list[tuple[int, bool, int]] = field(default_factory=list)  # row, refused, call id
    texts: list[tuple[int, int, str | list[str]]] = field(default_factory=list)
    declared: list[tuple[int, int, int, int, int]] = field(default_factory=list)  # row, at, length, how, hash
    overflow: int = 0

    def intern(self, name: bytes) -> int:
        """The number of a name; counts one without room."""
        number, overflow = self.names.intern(name)
        self.overflow += overflow
        return number


class Source(NamedTuple):
    """A place that may tell output, requests or answers; sorts by rank, then wire order."""

    rank: int
    place: int
    exact: bool
    number: int  # of the flat entry
    event: bool
    field: Field
    value: Value


def ordered(sources: Iterable[Source]) -> list[Source]:
    """*sources* as they are to be read."""
    return sorted(sources, key=lambda source: source[:4])


class Found(NamedTuple):
    """What one source of outputs has. `clear`: where that is nothing, then because there was nothing to record."""

    text: bytes = b""
    value: Value = Value()
    requests: Sequence[Called] = ()
    clear: bool = True


class Reader:
    """Reads the sources of one span into its row and the tables."""

    def __init__(self, tables: Tables, values: Values, items: Mapping[int, flat.Items], row_number: int) -> None:
        self._tables = tables
        self._values = values
        self._items = items
        self._row = row_number

    def outputs(self, row: Row, sources: Sequence[Source]) -> None:
        """OUTPUT from the first source that has text, requests from the first that has any."""
        tables = self._tables
        first, left = len(tables.requests), tables.limits.requests_max
        text, clear, asked = b"", bool(sources), None
        row.requests = (first, 0) if sources else (0, 0)
        for source in sources:
            more = row.kind == StepKind.LLM and (asked is None or _goes_on(asked, source))
            if text and not more:
                break
            found = self._output_of(source)
            clear = clear and found.clear
            if found.text and not text:
                text = found.text
                self._put_text(row, found)
            if found.requests and more:
                asked = source
                left -= self._put_requests(found.requests, left)
        row.requests = row.requests[0], len(tables.requests) - first
        if row.kind == StepKind.LLM and clear and not text and asked is None:
            row.step_flags |= StepFlag.EMPTY

    def _put_text(self, row: Row, found: Found) -> None:
        row.hashes[3], row.output_len = hashed(found.text), len(found.text)
        row.output_range = found.value.start, found.value.end - found.value.start
        if row.kind not in (StepKind.LLM, StepKind.EMBEDDING, StepKind.AGENT):
            return
        print_ = text_print(found.text)
        row.likeness = print_.sim
        if row.kind == StepKind.LLM and print_.repetitive:
            row.step_flags |= StepFlag.REPETITIVE
        if row.kind != StepKind.EMBEDDING and print_.claim:
            row.flags |= Flag.CLAIM

    def _output_of(self, source: Source) -> Found:
        content, value = self._values.content, source.value
        if source.field in FLAT:
            items = self._items[source.number]
            texts = flat.texts(items)
            last = next((text for text in reversed(texts) if text.start < text.end), Value())
            return Found(b"".join(map(content, texts)), last, [self._flat_request(call) for call in flat.calls(items)])
        if source.field is Field.OUTPUT:
            return Found(content(value), value)
        json = self._json(value)
        if json is None:
            return Found(clear=value.member == reader.NONE)
        if not json:
            return Found()
        messages = Messages(json, outputs=True)
        requests = [
            (_plain(request.name), hashed(_plain(request.id)), request.arguments.raw if request.arguments else b"")
            for request in messages.requests
        ]
        return Found(b"".join(messages.texts), value, requests, messages.whole)

    def _json(self, value: Value) -> bytes | None:
        """The text of messages, however they came; None for a value that can be none."""
        if value.member in _STRUCTURED:
            return to_json(self._values.payload, value.start, value.end)
        return self._values.plain(value) if value.member in _TEXTS else None

    def _flat_request(self, call: dict[str, Value]) -> Called:
        name, call_id, arguments = (
            self._values.content(call.get(part, Value())) for part in (flat.CALL_NAME, flat.CALL_ID, flat.CALL_ARGUMENTS)
        )
        return name, hashed(call_id), arguments

    def _put_requests(self, requests: Sequence[Called], left: int) -> int:
        """Appends up to *left* of them, counts the others, and gives how many were appended."""
        tables = self._tables
        for name, call_id, arguments in requests[:left]:
            tables.requests.append((self._row, tables.intern(name), call_id, hashed(arguments)))
        tables.overflow += max(0, len(requests) - left)
        return min(left, len(requests))

    def inputs(self, row: Row, sources: Sequence[Source]) -> None:
        """Answers from the first source that has any."""
        tables = self._tables
        first, left = len(tables.answers), tables.limits.answers_max
        told: Source | None = None
        row.answers = (first, 0) if sources else (0, 0)
        for source in sources:
            if told is not None and not _goes_on(told, source):
                break
            answers = list(self._answers_of(source))
            for call_id, response in answers[:left]:
                tables.answers.append((self._row, _refused(response), call_id))
            tables.overflow += max(0, len(answers) - left)
            left -= min(left, len(answers))
            told = source if answers else told
        row.answers = row.answers[0], len(tables.answers) - first

    def _answers_of(self, source: Source) -> Iterator[tuple[int, bytes]]:
        content = self._values.content
        if source.field in FLAT:
            pairs = flat.answers(self._items[source.number])
            yield from ((hashed(content(call_id)), content(response)) for call_id, response in pairs if call_id.start < call_id.end)
            return
        json = self._json(source.value)
        if json is not None and any(guard in json for guard in GUARDS):
            yield from ((hashed(_plain(answer.id)), answer.response) for answer in Messages(json, outputs=False).answers)


def _goes_on(one: Source, other: Source) -> bool:
    """Whether the events of a span that are messages are read on."""
    return one.event and other.event and one.rank == other.rank


def _plain(json: Json | None) -> bytes:
    """The text of a string, the raw bytes of another value."""
    if json is None:
        return b""
    return unescape(json.raw) if json.is_string else json.raw


def _refused(response: bytes) -> bool:
    head = response[:_REFUSAL_BYTES_MAX].lower()
    return any(marker in head for marker in REFUSAL_MARKERS)


def says_no_such_tool(result: bytes) -> bool:
    """Whether the result of a call says that there is nothing to call."""
    head = result[:_REFUSAL_BYTES_MAX].lower()
    return any(marker in head for marker in NO_TOOL_MARKERS)
