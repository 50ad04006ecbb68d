"""From the attributes of one span to its row, in Python: the twin of native/src/evaluate.rs and sources.rs.

Kind, then name rules, then the other fields, each by rank and then place on the wire.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from otel_ext.model import StepKind
from otel_ext.wire import envelope, flat, reader
from otel_ext.wire.compile import FLAT, Entry, Rule
from otel_ext.wire.messages import Messages
from otel_ext.wire.names import Names, hashed
from otel_ext.wire.reader import Value, Values
from otel_ext.wire.skim import Json, unescape
from otel_ext.wire.table import MARK_SHIFT, REFUSAL_MARKERS, Field, Flag, Limits

_REFUSAL_BYTES_MAX: Final = 256
_NAMES: Final = (Field.OPERATION, Field.TOOL, Field.MODEL, Field.AGENT)
_TOKENS: Final = (Field.INPUT_TOKENS, Field.OUTPUT_TOKENS, Field.CACHED_TOKENS, Field.REASONING_TOKENS)


@dataclass(slots=True)
class Row:
    """One row of SPAN, and the ranges and names that become part of it."""

    trace: int = 0
    flags: int = 0
    span_id: int = 0
    parent_id: int = 0
    start: int = 0
    end: int = 0
    kind: int = 0
    status: int = 0
    names: list[int] = field(default_factory=lambda: [0] * 5)  # operation, tool, model, agent, service
    hashes: list[int] = field(default_factory=lambda: [0] * 4)  # call id, arguments, result, output
    arguments_len: int = 0
    result_len: int = 0
    output_len: int = 0
    output_range: tuple[int, int] = (0, 0)
    conversation_range: tuple[int, int] = (0, 0)
    user_range: tuple[int, int] = (0, 0)
    tokens: list[int] = field(default_factory=lambda: [-1] * 5)  # input, output, cached, reasoning, cache write
    cost: float = math.nan
    requests: tuple[int, int] = (0, 0)
    answers: tuple[int, int] = (0, 0)


@dataclass(slots=True)
class Tables:
    """What the spans of a payload share, and what they append to."""

    entries: dict[bytes, list[Entry]]
    flat: list[Entry]
    rules: list[Rule]
    limits: Limits
    names: Names
    requests: list[tuple[int, int, int, int]] = field(default_factory=list)  # row, tool, call id, arguments
    answers: list[tuple[int, bool, int]] = field(default_factory=list)  # row, refused, call id
    texts: list[tuple[int, int, str | list[str]]] = field(default_factory=list)
    overflow: int = 0

    def intern(self, name: bytes) -> int:
        """The number of a name; counts one without room."""
        number, overflow = self.names.intern(name)
        self.overflow += overflow
        return number


class _Source(NamedTuple):
    """A place that may tell output, requests or answers; sorts by rank, then wire order."""

    rank: int
    place: int
    exact: bool
    number: int
    field: Field
    value: Value


class Evaluation:
    """The attributes of one span, gathered by `attribute` and turned into a row by `fill`."""

    def __init__(self, tables: Tables, values: Values, row: int) -> None:
        self._tables = tables
        self._values = values
        self._row = row
        self._candidates: list[tuple[Entry, Value]] = []
        self._kind: tuple[int, int] | None = None
        self._items: dict[int, dict[flat.Slot, Value]] = {}  # by number of the flat entry
        self._places: dict[int, int] = {}  # of the first item of each
        self._best: dict[Field, tuple[int, Value]] = {}
        self._outputs: list[_Source] = []
        self._inputs: list[_Source] = []

    def attribute(self, key: bytes, value: Value) -> None:
        """Notes an attribute, where the table knows its key."""
        for entry in self._tables.entries.get(key, ()):
            if entry.field is not Field.KIND:
                self._candidates.append((entry, value))
                continue
            text = self._values.text(value)
            kind = entry.values.get(text) if text else None
            if kind is not None and (self._kind is None or entry.rank < self._kind[0]):
                self._kind = entry.rank, kind
        if value.member == reader.STRING:
            self._flat(key, value)

    def _flat(self, key: bytes, value: Value) -> None:
        for number, entry in enumerate(self._tables.flat):
            slot = flat.slot(key[len(entry.name) :]) if key.startswith(entry.name) else None
            if slot is not None:
                self._places.setdefault(number, len(self._candidates))
                self._items.setdefault(number, {}).setdefault(slot, value)

    def fill(self, row: Row, name: bytes, scope: bytes, service: bytes) -> None:
        """The row of a span with valid ids."""
        tables = self._tables
        kind = self._kind[1] if self._kind else 0
        rule, rest = next(((rule, rest) for rule in tables.rules if (rest := rule.rest(kind, scope, name)) is not None), (None, b""))
        row.kind = kind if rule is None or rule.kind is None else rule.kind
        if row.status == 2:
            row.flags |= Flag.ERROR
        self._choose(row)
        for slot, wanted in enumerate(_NAMES):
            taken = rest if rule is not None and rule.take is wanted else b""
            row.names[slot] = tables.intern(self._values.content(self._best[wanted][1]) if wanted in self._best else taken)
        row.names[4] = tables.intern(service)
        self._fill_fields(row)
        self._add_flat_sources(row.kind)
        self._read_outputs(row)
        if row.kind == StepKind.LLM:
            self._read_inputs(row)

    def _choose(self, row: Row) -> None:
        """Goes through the candidates once: single fields by rank, sources of messages put aside."""
        texts: set[int] = set()
        for place, (entry, value) in enumerate(self._candidates):
            if not entry.fits(row.kind):
                continue
            wanted = entry.field
            source = _Source(entry.rank, place, True, 0, wanted, value)
            if self._yields(wanted, value):
                if wanted not in self._best or entry.rank < self._best[wanted][0]:
                    self._best[wanted] = entry.rank, value
            elif wanted is Field.ERROR:
                row.flags |= Flag.ERROR if self._says_error(entry, value) else 0
            elif wanted is Field.MARK:
                row.flags |= 1 << MARK_SHIFT + entry.rank
            elif wanted is Field.OUTPUT_MESSAGES or (wanted is Field.OUTPUT and value.start < value.end):
                self._outputs.append(source)
            elif wanted is Field.INPUT_MESSAGES:
                self._inputs.append(source)
            elif wanted is Field.TEXT and entry.rank not in texts and value.member in (reader.STRING, reader.ARRAY):
                texts.add(entry.rank)
                text = self._values.decode(value) if value.member == reader.STRING else self._values.strings(value)
                self._tables.texts.append((self._row, entry.rank, text))

    def _yields(self, wanted: Field, value: Value) -> bool:
        if wanted in _NAMES or wanted is Field.CONVERSATION:
            return bool(self._values.text(value))
        if wanted in (Field.CALL_ID, Field.ARGUMENTS):
            return value.start < value.end
        if wanted in _TOKENS:
            return self._values.tokens(value) is not None
        if wanted is Field.COST:
            return self._values.amount(value) is not None
        return wanted is Field.RESULT

    def _says_error(self, entry: Entry, value: Value) -> bool:
        if value.member == reader.BOOL:
            return value.number != 0
        if value.member != reader.STRING:
            return False
        text = self._values.content(value)
        return text in entry.values if entry.values else bool(text)

    def _fill_fields(self, row: Row) -> None:
        best = {wanted: value for wanted, (_, value) in self._best.items()}
        if value := best.get(Field.CALL_ID):
            row.hashes[0] = hashed(self._values.content(value))
        if value := best.get(Field.ARGUMENTS):
            row.hashes[1], row.arguments_len = hashed(self._values.content(value)), value.end - value.start
            row.flags |= Flag.HAS_ARGUMENTS
        if value := best.get(Field.RESULT):
            row.hashes[2], row.result_len = hashed(self._values.content(value)), value.end - value.start
            row.flags |= Flag.HAS_RESULT
            if row.kind == StepKind.TOOL and value.member == reader.STRING:
                self._unwrap_result(row, self._values.content(value))
        if value := best.get(Field.CONVERSATION):
            row.conversation_range = value.start, value.end - value.start
        if value := best.get(Field.COST):
            row.cost = self._values.amount(value) or 0.0
        for slot, wanted in enumerate(_TOKENS):
            if value := best.get(wanted):
                row.tokens[slot] = self._values.tokens(value) or 0

    @staticmethod
    def _unwrap_result(row: Row, text: bytes) -> None:
        """Reads what a framework wrapped around a result: who called, what the tool itself said, and whether it failed."""
        found = envelope.read(text)
        if found is None:
            return
        if found.error:
            row.flags |= Flag.ERROR
        row.hashes[0] = row.hashes[0] or hashed(_plain(found.call_id))
        if found.content is not None:
            row.hashes[2], row.result_len = hashed(found.content.raw), len(found.content.raw)

    def _add_flat_sources(self, kind: int) -> None:
        for number, place in self._places.items():
            entry = self._tables.flat[number]
            if entry.fits(kind):
                sources = self._outputs if entry.field is Field.FLAT_OUTPUT else self._inputs
                sources.append(_Source(entry.rank, place, False, number, entry.field, Value()))
        self._outputs.sort(key=lambda source: source[:4])
        self._inputs.sort(key=lambda source: source[:4])

    def _read_outputs(self, row: Row) -> None:
        """OUTPUT from the first source that has text, requests from the first that has any."""
        first = len(self._tables.requests)
        has_text, has_requests = False, row.kind != StepKind.LLM
        if self._outputs:
            row.requests = first, 0
        for source in self._outputs:
            if has_text and has_requests:
                break
            text, value, requests = self._output_of(source)
            if text and not has_text:
                has_text = True
                row.hashes[3], row.output_len = hashed(text), len(text)
                row.output_range = value.start, value.end - value.start
            if requests and not has_requests:
                self._append_requests(requests)
                row.requests = first, len(self._tables.requests) - first
                has_requests = row.requests[1] > 0

    def _output_of(self, source: _Source) -> tuple[bytes, Value, list[tuple[bytes, int, bytes]]]:
        """Text, the value it came from, and requests: name, call id, arguments."""
        content = self._values.content
        if source.field in FLAT:
            items = self._items[source.number]
            texts = flat.texts(items)
            last = next((value for value in reversed(texts) if value.start < value.end), Value())
            return b"".join(map(content, texts)), last, [self._flat_request(call) for call in flat.calls(items)]
        if source.field is Field.OUTPUT_MESSAGES and source.value.member == reader.STRING:
            messages = Messages(content(source.value), outputs=True)
            requests = [
                (_plain(request.name), hashed(_plain(request.id)), request.arguments.raw if request.arguments else b"")
                for request in messages.requests
            ]
            return b"".join(messages.texts), source.value, requests
        if source.field is Field.OUTPUT or source.value.member in (reader.ARRAY, reader.KVLIST):
            return content(source.value), source.value, []
        return b"", source.value, []

    def _flat_request(self, call: dict[str, Value]) -> tuple[bytes, int, bytes]:
        name, call_id, arguments = (
            self._values.content(call.get(part, Value())) for part in (flat.CALL_NAME, flat.CALL_ID, flat.CALL_ARGUMENTS)
        )
        return name, hashed(call_id), arguments

    def _append_requests(self, requests: Sequence[tuple[bytes, int, bytes]]) -> None:
        tables = self._tables
        for name, call_id, arguments in requests[: tables.limits.requests_max]:
            tables.requests.append((self._row, tables.intern(name), call_id, hashed(arguments)))
        tables.overflow += max(0, len(requests) - tables.limits.requests_max)

    def _read_inputs(self, row: Row) -> None:
        """Answers from the first source that has any."""
        tables = self._tables
        first = len(tables.answers)
        for source in self._inputs:
            row.answers = first, 0
            answers = list(self._answers_of(source))
            for call_id, response in answers[: tables.limits.answers_max]:
                tables.answers.append((self._row, _refused(response), call_id))
            tables.overflow += max(0, len(answers) - tables.limits.answers_max)
            if len(tables.answers) > first:
                row.answers = first, len(tables.answers) - first
                return

    def _answers_of(self, source: _Source) -> Iterable[tuple[int, bytes]]:
        content = self._values.content
        if source.field in FLAT:
            pairs = flat.answers(self._items[source.number])
            return [(hashed(content(call_id)), content(response)) for call_id, response in pairs if call_id.start < call_id.end]
        if source.value.member != reader.STRING or b"tool_call" not in content(source.value):
            return ()
        answers = Messages(content(source.value), outputs=False).answers
        return [(hashed(_plain(answer.id)), answer.response) for answer in answers]


def _plain(json: Json | None) -> bytes:
    """The text of a string, the raw bytes of another value."""
    if json is None:
        return b""
    return unescape(json.raw) if json.is_string else json.raw


def _refused(response: bytes) -> bool:
    head = response[:_REFUSAL_BYTES_MAX].lower()
    return any(marker in head for marker in REFUSAL_MARKERS)
