"""Spans that a Langfuse server would misread, drop, or show without what matters: their attributes, mended one by one.

Only the few rows come here that a closer look was asked for (`otel_ext.wire.notes`).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from otel_ext import semconv
from otel_ext.wire import fields, notes
from otel_ext.wire.encode import Value as Plain
from otel_ext.wire.encode import attribute
from otel_ext.wire.fields import tag
from otel_ext.wire.reader import ARRAY, BOOL, BYTES, DOUBLE, INT, ITEM, KVLIST, STRING, Piece, Value, Values, pieces
from otel_ext.wire.walk import spans_of

LEVELS: Final = ("DEBUG", "DEFAULT", "WARNING", "ERROR")
# Older servers drop an observation with a level that is none of the four.
_ALIASES: Final = {
    **dict.fromkeys(("WARN",), "WARNING"),
    **dict.fromkeys(("FATAL", "CRITICAL", "ERR"), "ERROR"),
    **dict.fromkeys(("INFO", "NOTICE", "OK", "SUCCESS", "LOG"), "DEFAULT"),
    **dict.fromkeys(("TRACE", "VERBOSE"), "DEBUG"),
}
ENVIRONMENT_CHARS_MAX: Final = 40
MESSAGE_CHARS_MAX: Final = 2_000
CUT_TEXT: Final = "… [otel_ext: {} bytes cut]"
CUT_BYTES_MIN: Final = 256  # what is left of a text that was cut, at least
_NAME_CHARS_MAX: Final = 1_000
_DEPTH_MAX: Final = 32
_NOT_PLAIN: Final = re.compile(r"[^a-z0-9_-]+")
_PREFIX: Final = re.compile(r"^langfuse[-_]?")

_ATTRIBUTES: Final = tag(fields.Span.ATTRIBUTES)
_EVENTS: Final = tag(fields.Span.EVENTS)
_EVENT_NAME: Final = tag(fields.Event.NAME)
_EVENT_ATTRIBUTES: Final = tag(fields.Event.ATTRIBUTES)


@dataclass(frozen=True, slots=True)
class Rows:
    """What is known of rows: `marked` have level and message from findings, `tops` (bool a row) are topmost, `failed` are errors."""

    marked: Collection[int]
    tops: np.ndarray
    failed: np.ndarray


@dataclass(slots=True)
class Mended:
    """`cuts` as `Codec.project` takes them; `fragments` by row: what comes instead."""

    cuts: bytes
    fragments: dict[int, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class _Span:
    """One span while it is mended: its attributes, what is cut, what is put."""

    size: int
    pairs: list[tuple[str, Value, Piece]]
    cut: dict[tuple[int, int], int] = field(default_factory=dict)  # range -> bytes
    put: dict[str, Plain] = field(default_factory=dict)

    def replace(self, piece: Piece, key: str, value: Plain | None) -> None:
        """Cut the attribute, and put *value* in its place where there is one."""
        self.cut[piece.at, piece.end] = piece.end - piece.at
        if value is not None:
            self.put[key] = value


class Mender:
    """Mends rows of a payload; `counts` says what was mended, by kind."""

    def __init__(self, span_bytes_max: int) -> None:
        self.counts: dict[str, int] = {}
        self._span_bytes_max = span_bytes_max

    def mend(self, payload: bytes, looks: np.ndarray, cuts: bytes, rows: Rows) -> Mended:
        """The rows with a bit in *looks*; *cuts* are those that are there already."""
        known = {(start, end) for start, end in np.frombuffer(cuts, "<u4").reshape(-1, 2).tolist()}
        ranges, fragments = set(known), {}
        for row, piece in spans_of(payload):
            if looks[row]:
                span = self._span(payload, piece, int(looks[row]), known, tell=row not in rows.marked, failed=bool(rows.failed[row]))
                if not rows.tops[row]:
                    self._below_a_root(span)
                ranges |= span.cut.keys()
                fragments[row] = b"".join(attribute(key, value) for key, value in span.put.items())
        return Mended(np.array(sorted(ranges), "<u4").tobytes(), fragments)

    def _span(self, payload: bytes, piece: Piece, look: int, known: Collection[tuple[int, int]], *, tell: bool, failed: bool) -> _Span:
        values = Values(payload, _DEPTH_MAX)
        parts = list(pieces(payload, piece.start, piece.end))
        pairs = [(*values.pair(part.start, part.end), part) for part in parts if part.tag == _ATTRIBUTES]
        readable = [(key.decode("utf-8", "replace"), value, part) for key, value, part in pairs if (part.at, part.end) not in known]
        span = _Span(piece.end - piece.start, readable)
        if look & notes.NESTED:
            self._flatten(span, values)
        if look & notes.ODD:
            self._set_right(span, values)
        if look & notes.RAISED and tell:
            self._tell(span, values, parts, failed=failed)
        if look & notes.LARGE:
            self._shorten(span, values)
        return span

    def _count(self, kind: str) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1

    def _below_a_root(self, span: _Span) -> None:
        for key, _, piece in span.pairs:
            if key == semconv.AS_ROOT:
                self._count("root")
                span.replace(piece, key, None)

    # -- nested values

    def _flatten(self, span: _Span, values: Values) -> None:
        """A server keeps the protobuf wrapper of these as they are; as JSON they can be read."""
        for key, value, piece in span.pairs:
            if value.member in (STRING, BOOL, INT, DOUBLE):
                continue
            plain = _plain(values, value)
            if (
                value.member == ARRAY
                and isinstance(plain, list)
                and plain
                and all(isinstance(item, str | bool | int | float) for item in plain)
            ):
                continue
            self._count("nested")
            span.replace(piece, key, None if plain is None else plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False))

    # -- values of the wrong kind

    def _set_right(self, span: _Span, values: Values) -> None:
        stated = {key: (value, piece) for key, value, piece in span.pairs}
        for key, (value, piece) in stated.items():
            text = values.text(value).decode("utf-8", "replace")
            if key == semconv.OBSERVATION_LEVEL and text not in LEVELS:
                self._put(span, piece, key, _level(text))
            elif key == semconv.OBSERVATION_TYPE and text != text.lower():
                self._put(span, piece, key, text.lower() or None)
            elif key in (semconv.LANGFUSE_ENVIRONMENT, "deployment.environment.name", "deployment.environment"):
                self._environment(span, key, text, stated)
            elif key == semconv.TRACE_NAME and (value.member != STRING or len(text) > _NAME_CHARS_MAX):
                self._put(span, piece, key, _text(values, value)[:_NAME_CHARS_MAX])
            elif key in _TEXTS and value.member in (BOOL, INT, DOUBLE):
                self._put(span, piece, key, _text(values, value))
        for name, version in ((semconv.PROMPT_NAME, semconv.PROMPT_VERSION), ("langfuse.prompt.name", "langfuse.prompt.version")):
            self._prompt(span, values, stated.get(name), stated.get(version), (name, version))

    def _put(self, span: _Span, piece: Piece, key: str, value: Plain | None) -> None:
        self._count("value")
        span.replace(piece, key, value)

    def _environment(self, span: _Span, key: str, text: str, stated: Mapping[str, Any]) -> None:
        normal = normal_environment(text)
        if normal == text:
            return
        if key == semconv.LANGFUSE_ENVIRONMENT:
            self._put(span, stated[key][1], key, normal)
        elif semconv.LANGFUSE_ENVIRONMENT not in stated:
            self._count("value")
            span.put.setdefault(semconv.LANGFUSE_ENVIRONMENT, normal)

    def _prompt(self, span: _Span, values: Values, name: Any, version: Any, keys: tuple[str, str]) -> None:
        """Both or none, and the version a whole number: else an older server drops the observation."""
        if not name and not version:
            return
        number = _integer(values, version[0]) if version else None
        if name and number is not None:
            if version[0].member != INT:
                self._put(span, version[1], keys[1], number)
            return
        for key, stated in zip(keys, (name, version), strict=True):
            if stated:
                self._put(span, stated[1], key, None)
                span.put[f"{semconv.OBSERVATION_METADATA}{key.removeprefix('langfuse.observation.')}"] = _text(values, stated[0])

    # -- exceptions

    def _tell(self, span: _Span, values: Values, parts: list[Piece], *, failed: bool) -> None:
        """Events are never shown: the last exception becomes the status message."""
        said = [text for part in parts if part.tag == _EVENTS and (text := _exception(values, part))]
        if not said:
            return
        self._count("exception")
        span.put[semconv.OBSERVATION_STATUS] = said[-1][:MESSAGE_CHARS_MAX]
        if not failed and not any(key == semconv.OBSERVATION_LEVEL for key, _, _ in span.pairs):
            span.put[semconv.OBSERVATION_LEVEL] = "WARNING"

    # -- size

    def _shorten(self, span: _Span, values: Values) -> None:
        """Cut the longest texts first, until the span is under its mark."""
        excess = span.size - sum(span.cut.values()) + sum(map(_size, span.put.values())) - self._span_bytes_max
        texts: list[tuple[int, str, str, Piece | None]] = [
            (_size(text), key, text, None) for key, text in span.put.items() if isinstance(text, str)
        ]
        texts += [
            (value.end - value.start, key, values.text(value).decode("utf-8", "replace"), piece)
            for key, value, piece in span.pairs
            if value.member == STRING and (piece.at, piece.end) not in span.cut
        ]
        whole = 0
        for size, key, text, piece in sorted(texts, key=lambda each: -each[0]):
            if excess <= 0 or size <= CUT_BYTES_MIN:
                break
            left = max(CUT_BYTES_MIN, size - excess - len(CUT_TEXT))
            shorter = shortened(text, left)
            self._count("cut")
            whole += size - _size(shorter)
            excess -= size - _size(shorter)
            if piece is not None:
                span.replace(piece, key, shorter)
            else:
                span.put[key] = shorter
        if whole:
            span.put[semconv.OBSERVATION_CUT] = whole


_TEXTS: Final = (semconv.OBSERVATION_STATUS, semconv.OBSERVATION_USAGE, semconv.OBSERVATION_COST, semconv.OBSERVATION_PARAMETERS)


def normal_environment(text: str) -> str:
    """*text* as a server takes an environment: lower case, [a-z0-9_-], at most 40, without `langfuse` in front; "" for nothing left."""
    lower = _PREFIX.sub("", text.lower()) if text.lower().startswith("langfuse") else text.lower()
    return _NOT_PLAIN.sub("-", lower).strip("-")[:ENVIRONMENT_CHARS_MAX] if _NOT_PLAIN.search(lower) else lower[:ENVIRONMENT_CHARS_MAX]


def shortened(text: str, bytes_max: int) -> str:
    """*text* in about *bytes_max* bytes, with a mark that says how much is missing. JSON stays JSON: the longest texts in it go first."""
    if text[:1] in "[{":
        try:
            document = json.loads(text)
        except ValueError:
            pass
        else:
            return _shortened_json(document, text, bytes_max)
    return _shortened_text(text, bytes_max)


def _shortened_text(text: str, bytes_max: int) -> str:
    encoded = text.encode()
    if len(encoded) <= bytes_max:
        return text
    return encoded[:bytes_max].decode("utf-8", "ignore") + CUT_TEXT.format(len(encoded) - bytes_max)


def _shortened_json(document: Any, text: str, bytes_max: int) -> str:
    longest = max((len(each) for each in _strings(document)), default=0)
    limit = longest
    while limit > 16:
        limit //= 2
        shorter = json.dumps(_with_strings(document, limit), ensure_ascii=False, separators=(",", ":"))
        if _size(shorter) <= bytes_max:
            return shorter
    return _shortened_text(text, bytes_max)


def _strings(document: Any) -> Iterator[str]:
    if isinstance(document, str):
        yield document
    elif isinstance(document, list | dict):
        for item in document.values() if isinstance(document, dict) else document:
            yield from _strings(item)


def _with_strings(document: Any, bytes_max: int) -> Any:
    if isinstance(document, str):
        return _shortened_text(document, bytes_max)
    if isinstance(document, dict):
        return {key: _with_strings(value, bytes_max) for key, value in document.items()}
    return [_with_strings(value, bytes_max) for value in document] if isinstance(document, list) else document


def _size(value: Plain) -> int:
    return len(value.encode("utf-8", "replace")) if isinstance(value, str) else 0


def _level(text: str) -> str | None:
    upper = text.strip().upper()
    return upper if upper in LEVELS else _ALIASES.get(upper)


def _integer(values: Values, value: Value) -> int | None:
    if value.member == INT:
        return int(_plain(values, value))
    text = values.text(value).decode("utf-8", "replace").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _text(values: Values, value: Value) -> str:
    plain = _plain(values, value)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def _exception(values: Values, event: Piece) -> str:
    parts = list(pieces(values.payload, event.start, event.end))
    if not any(part.tag == _EVENT_NAME and values.payload[part.start : part.end] == b"exception" for part in parts):
        return ""
    pairs = dict(values.pair(part.start, part.end) for part in parts if part.tag == _EVENT_ATTRIBUTES)
    found = [values.text(pairs[key]).decode("utf-8", "replace") for key in (b"exception.type", b"exception.message") if key in pairs]
    return ": ".join(filter(None, found))


def _plain(values: Values, value: Value) -> Any:
    """An AnyValue as Python has it; bytes in base64."""
    if value.member == STRING:
        return values.text(value).decode("utf-8", "replace")
    if value.member == BYTES:
        return base64.b64encode(values.payload[value.start : value.end]).decode()
    if value.member == BOOL:
        return bool(value.number)
    if value.member == INT:
        return value.number - 2**64 if value.number >= 2**63 else value.number
    if value.member == DOUBLE:
        (number,) = np.frombuffer(value.number.to_bytes(8, "little"), "<f8").tolist()
        return number
    return _nested(values, value) if value.member in (ARRAY, KVLIST) else None


def _nested(values: Values, value: Value) -> Any:
    *_, whole = (piece for piece in pieces(values.payload, value.start, value.end) if piece.tag in (ARRAY, KVLIST))
    items = [piece for piece in pieces(values.payload, whole.start, whole.end) if piece.tag == ITEM]
    if whole.tag == ARRAY:
        return [_plain(values, values.any_value(item.start, item.end, 1, Value())) for item in items]
    pairs = (values.pair(item.start, item.end) for item in items)
    return {key.decode("utf-8", "replace"): _plain(values, each) for key, each in pairs}
