"""From the attributes of one span to its row, in Python: the twin of native/src/evaluate.rs.

Kind, then name rules, then the other fields, each by rank and then place on the wire.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from otel_ext.model import StepKind
from otel_ext.wire import envelope, flat, places, prints, reader
from otel_ext.wire.compile import Entry
from otel_ext.wire.names import hashed
from otel_ext.wire.reader import Value, Values
from otel_ext.wire.row import Row
from otel_ext.wire.skim import Json, unescape
from otel_ext.wire.sources import Reader, Source, Tables, ordered, says_no_such_tool
from otel_ext.wire.table import DECLARED_ESCAPED, DECLARED_JSON, DECLARED_ONE, DECLARED_VALUE, MARK_SHIFT, Field, Flag, StepFlag

_INT32_MAX: Final = 2**31 - 1
_NAMES: Final = (Field.OPERATION, Field.TOOL, Field.MODEL, Field.AGENT)
_TOKENS: Final = (Field.INPUT_TOKENS, Field.OUTPUT_TOKENS, Field.CACHED_TOKENS, Field.REASONING_TOKENS, Field.CACHE_WRITE_TOKENS)
_COUNTS: Final = (*_TOKENS, Field.INPUT_TOKENS_NET)
_RANGES: Final = (Field.CONVERSATION, Field.USER)
_OUTPUTS: Final = (Field.OUTPUT, Field.OUTPUT_MESSAGES)
_BY_TOOL: Final = (StepKind.TOOL, StepKind.HANDOFF, StepKind.RETRIEVER, StepKind.MCP)
_ENVELOPED: Final = (StepKind.TOOL, StepKind.MCP)
_BY_MODEL: Final = (StepKind.LLM, StepKind.EMBEDDING)
_BLANKS: Final = b" \t\n\r"

Candidate = tuple[Entry, Value, bool]  # whether it stands on an event


class Evaluation:
    """The attributes of one span, gathered by `attribute` and `event` and turned into a row by `fill`."""

    def __init__(self, tables: Tables, values: Values, row: int, scope: bytes) -> None:
        self._tables = tables
        self._values = values
        self._row = row
        self._scope = scope
        self._candidates: list[Candidate] = []
        self._kind: tuple[int, int] | None = None
        self._items: dict[int, dict[flat.Slot, Value]] = {}  # by number of the flat entry
        self._places: dict[int, int] = {}  # of the first item of each
        self._declared: list[tuple[Entry, Value]] = []  # by flat entries
        self._best: dict[Field, tuple[int, Value]] = {}
        self._outputs: list[Source] = []
        self._inputs: list[Source] = []
        self._text_numbers: set[int] = set()

    def attribute(self, key: bytes, value: Value) -> None:
        """Notes an attribute, where the table knows its key."""
        entries = self._tables.entries.get(key, ())
        for entry in entries:
            self._note(entry, value, event=False)
        if not entries and value.member == reader.STRING:
            self._flat(key, value)

    def event(self, name: bytes, pairs: list[tuple[bytes, Value]]) -> None:
        """Notes the attributes of an event, where the table knows it."""
        known = self._tables.events.get(name)
        for key, value in pairs if known else ():
            for entry in known.get(key, ()) if known else ():
                self._note(entry, value, event=True)

    def _note(self, entry: Entry, value: Value, *, event: bool) -> None:
        if entry.field is not Field.KIND:
            self._candidates.append((entry, value, event))
            return
        found = self._derived(entry, value) if self._scope.startswith(entry.scope) else None
        text = self._values.text(found) if found else None
        kind = entry.values.get(text, entry.values.get(b"")) if text else None
        if kind is not None and (self._kind is None or entry.rank < self._kind[0]):
            self._kind = entry.rank, kind

    def _flat(self, key: bytes, value: Value) -> None:
        for number, entry in enumerate(self._tables.flat):
            if not key.startswith(entry.name):
                continue
            rest = key[len(entry.name) :]
            if entry.field is Field.FLAT_DECLARED:
                if flat.declares(rest):
                    self._declared.append((entry, value))
                continue
            slot = flat.slot(rest)
            if slot is not None:
                self._places.setdefault(number, len(self._candidates))
                self._items.setdefault(number, {}).setdefault(slot, value)

    def fill(self, row: Row, name: bytes, service: bytes) -> None:
        """The row of a span with valid ids."""
        tables = self._tables
        kind = self._kind[1] if self._kind else 0
        fitting = ((rule, rest) for rule in tables.rules if (rest := rule.rest(kind, self._scope, name)) is not None)
        rule, rest = next(fitting, (None, b""))
        row.kind = kind if rule is None or rule.kind is None else rule.kind
        if row.status == 2:
            row.flags |= Flag.ERROR
        for place, (entry, value, event) in enumerate(self._candidates):
            found = self._derived(entry, value) if entry.fits(row.kind, self._scope) else None
            if found is not None:
                self._choose(row, entry, found, Source(entry.rank, place, True, 0, event, entry.field, found))
        for slot, wanted in enumerate(_NAMES):
            taken = rest if rule is not None and rule.take is wanted else b""
            row.names[slot] = tables.intern(self._values.text(self._best[wanted][1]) if wanted in self._best else taken)
        row.names[4] = tables.intern(service)
        self._fill_fields(row)
        if row.kind in _ENVELOPED and row.step_flags & StepFlag.REFUSED:
            row.flags |= Flag.ERROR
        self._fill_tokens(row)
        self._read_sources(row)

    def _derived(self, entry: Entry, value: Value) -> Value | None:
        """What *entry* takes of *value*: all of it, or what stands at its path or between its markers."""
        if entry.path is not None:
            value = self._at_path(entry.path, value)
        if entry.between is None:
            return None if value.member == _NOTHING else value
        range_ = places.between(self._values.content(value), *entry.between) if value.member == reader.STRING else None
        return None if range_ is None else value._replace(start=value.start + range_[0], end=value.start + range_[1])

    def _at_path(self, path: tuple[bytes | int, ...], value: Value) -> Value:
        place = places.find(self._values.content(value), path) if value.member == reader.STRING else None
        if place is None:
            return Value(_NOTHING)
        start, end = value.start + place.start, value.start + place.end
        if place.first in (b"{", b"["):
            return Value(reader.JSON, start, end)
        if place.first in (b"t", b"f"):
            return Value(reader.BOOL, start, end, place.first == b"t")
        return Value(reader.STRING, start, end, escaped=place.first == b'"' and b"\\" in self._values.payload[start:end])

    def _choose(self, row: Row, entry: Entry, value: Value, source: Source) -> None:
        """A single field by rank; sources of messages put aside."""
        wanted = entry.field
        if self._yields(wanted, value):
            if wanted not in self._best or entry.rank < self._best[wanted][0]:
                self._best[wanted] = entry.rank, value
        elif wanted is Field.ERROR:
            row.flags |= Flag.ERROR if self._says_error(entry, value) else 0
        elif wanted is Field.REFUSED:
            row.step_flags |= StepFlag.REFUSED if row.kind in _ENVELOPED and self._says_error(entry, value) else 0
        elif wanted is Field.MARK:
            row.flags |= 1 << MARK_SHIFT + entry.rank
        elif wanted in _OUTPUTS:
            self._outputs.append(source)
        elif wanted is Field.INPUT_MESSAGES:
            self._inputs.append(source)
        elif wanted is Field.FINISH and row.kind in _BY_MODEL:
            row.step_flags |= StepFlag.TRUNCATED if any(map(entry.values.__contains__, self._reasons(value))) else 0
        elif wanted is Field.DECLARED:
            self._declare(value, one=False)
        elif wanted is Field.TEXT:
            self._put_text(entry.rank, value)

    def _yields(self, wanted: Field, value: Value) -> bool:
        if wanted in _NAMES or wanted in _RANGES:
            return bool(self._values.text(value))
        if wanted in (Field.CALL_ID, Field.ARGUMENTS):
            return value.start < value.end
        if wanted in _COUNTS:
            return self._values.tokens(value) is not None
        if wanted is Field.COST:
            return self._values.amount(value) is not None
        return wanted is Field.RESULT

    def _says_error(self, entry: Entry, value: Value) -> bool:
        if value.member == reader.BOOL:
            return (b"true" if value.number else b"false") in entry.values if entry.values else value.number != 0
        if value.member != reader.STRING:
            return False
        text = self._values.text(value)
        return text in entry.values if entry.values else bool(text)

    def _reasons(self, value: Value) -> Iterator[bytes]:
        """Finish reasons: every text between commas."""
        texts = self._values.strings(value) if value.member in (reader.ARRAY, reader.JSON) else [self._values.text(value)]
        for text in texts:
            bare = text.strip(_BLANKS)
            inner = [bare]
            if bare.startswith(b"["):
                inner = places.strings_in(bare)
            elif bare.startswith(b'"') and (place := places.find(bare, ())):
                inner = [unescape(bare[place.start : place.end])]
            for reason in inner:
                yield from (part.strip(_BLANKS) for part in reason.split(b","))

    def _put_text(self, number: int, value: Value) -> None:
        """Appends a text, unless the span has one with this number."""
        if number in self._text_numbers or not (value.member in (reader.STRING, reader.ARRAY) or self._is_list(value)):
            return
        self._text_numbers.add(number)
        one = value.member == reader.STRING
        text = self._values.decode(value) if one else [each.decode("utf-8", "replace") for each in self._values.strings(value)]
        self._tables.texts.append((self._row, number, text))

    def _is_list(self, value: Value) -> bool:
        return value.member == reader.JSON and self._values.content(value).startswith(b"[")

    def _declare(self, value: Value, *, one: bool) -> None:
        structured = value.member in (reader.ARRAY, reader.KVLIST)
        if value.start >= value.end or not (structured or value.member in (reader.STRING, reader.JSON)):
            return
        how = DECLARED_VALUE if structured else DECLARED_ONE if one else DECLARED_JSON
        how |= DECLARED_ESCAPED if value.escaped else 0
        length = value.end - value.start
        self._tables.declared.append((self._row, value.start, length, how, hashed(self._values.content(value))))

    def _fill_fields(self, row: Row) -> None:
        best = {wanted: value for wanted, (_, value) in self._best.items()}
        content = self._values.content
        if value := best.get(Field.CALL_ID):
            row.hashes[0] = hashed(self._values.plain(value))
        if value := best.get(Field.ARGUMENTS):
            row.hashes[1], row.arguments_len = hashed(content(value)), value.end - value.start
            row.flags |= Flag.HAS_ARGUMENTS
            row.likeness = prints.shape(content(value)) if row.kind in _BY_TOOL else 0
        if value := best.get(Field.RESULT):
            row.hashes[2], row.result_len = hashed(content(value)), value.end - value.start
            row.flags |= Flag.HAS_RESULT
            if row.kind in _ENVELOPED and value.member in (reader.STRING, reader.JSON):
                row.step_flags |= StepFlag.REFUSED if says_no_such_tool(content(value)) else 0
                self._unwrap_result(row, content(value))
        if value := best.get(Field.CONVERSATION):
            row.conversation_range = value.start, value.end - value.start
        if value := best.get(Field.USER):
            row.user_range = value.start, value.end - value.start
        if value := best.get(Field.COST):
            row.cost = self._values.amount(value) or 0.0

    def _fill_tokens(self, row: Row) -> None:
        """Input tokens always come with the cached ones and those written to a cache; an input less than these cannot have had them."""
        for slot, wanted in enumerate(_TOKENS):
            if wanted in self._best:
                row.tokens[slot] = self._values.tokens(self._best[wanted][1]) or 0
        gross, net = self._best.get(Field.INPUT_TOKENS), self._best.get(Field.INPUT_TOKENS_NET)
        cached = max(row.tokens[2], 0) + max(row.tokens[4], 0)
        if net is not None and (gross is None or net[0] < gross[0]):
            row.tokens[0] = min((self._values.tokens(net[1]) or 0) + cached, _INT32_MAX)
        elif 0 <= row.tokens[0] < cached:
            row.tokens[0] = min(row.tokens[0] + cached, _INT32_MAX)
        if row.tokens[0] == 0 and row.kind in _BY_MODEL:
            row.tokens = [count or -1 for count in row.tokens]

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

    def _read_sources(self, row: Row) -> None:
        for number, place in self._places.items():
            entry = self._tables.flat[number]
            if entry.fits(row.kind, self._scope):
                sources = self._outputs if entry.field is Field.FLAT_OUTPUT else self._inputs
                sources.append(Source(entry.rank, place, False, number, False, entry.field, Value()))
        for entry, value in self._declared:
            if entry.fits(row.kind, self._scope):
                self._declare(value, one=True)
        reading = Reader(self._tables, self._values, self._items, self._row)
        reading.outputs(row, ordered(self._outputs))
        if row.kind == StepKind.LLM:
            reading.inputs(row, ordered(self._inputs))


_NOTHING: Final = -2  # the member of a Value that is not there


def _plain(json: Json | None) -> bytes:
    """The text of a string, the raw bytes of another value."""
    if json is None:
        return b""
    return unescape(json.raw) if json.is_string else json.raw
