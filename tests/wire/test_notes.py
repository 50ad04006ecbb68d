"""Notes of a trace, ragged columns, cuts and counts: what they do, and that both implementations do the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_ext.wire import NATIVE, encode, fields, make_codec, notes, numbers
from otel_ext.wire.table import RaggedColumn

NS = 1_800_000_000_000_000_000
TABLE = notes.NoteTable(
    slots=(("user.id", ("user.id", "lf.user")), ("session.id", ("session.id",)), ("lf.name", ("lf.name",))),
    tags=("lf.tags", ("lf.tags", "tags")),
    name=2,
    usage=("usage.",),
    explicit=("lf.usage",),
    neutral=encode.attribute("lf.usage", "{}"),
    integers=("prompt.version",),
    words={"level": ("ERROR", "DEBUG")},
    lengths={"lf.name": 8},
    pairs=(("prompt.name", "prompt.version"),),
    plain=("env",),
    message=("lf.message",),
    traces_max=4,
    span_bytes_max=400,
)
KEEP = notes.KEEP
BOTH = pytest.mark.parametrize("native", [pytest.param(True, marks=pytest.mark.skipif(not NATIVE, reason="not built")), False])
NESTED = encode.delimited(fields.AnyValue.KVLIST_VALUE, b"")


def span(number: int, trace: int, attributes: dict[str, Any], name: str = "span", **more: Any) -> bytes:
    return encode.span(bytes([trace]) * 16, number.to_bytes(8, "big"), b"", name, NS, NS, attributes, **more)


def request(*spans: bytes) -> bytes:
    return encode.request({"service.name": "s"}, "app", "", spans)


def gained(noted: notes.Noted, row: int) -> dict[str, Any]:
    """What a row gains, as values."""
    from tests.e2e.kit import attributes_of

    content = noted.data[noted.offsets[row] : noted.offsets[row + 1]]
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    return attributes_of(Span.FromString(content))


@BOTH
def test_what_one_span_says_others_gain(native: bool) -> None:
    """Of the same trace, in the same payload whatever the order, and in later ones; nobody gains what it says itself."""
    book = notes.make_notes(TABLE, prefer_native=native)
    payload = request(span(1, 1, {}), span(2, 1, {"lf.user": "u", "session.id": "s"}), span(3, 2, {}))
    noted = book.take(payload, bytes([KEEP] * 3), [])
    assert [gained(noted, row) for row in range(3)] == [{"user.id": "u", "session.id": "s"}, {}, {}]
    later = book.take(request(span(4, 1, {"user.id": "other"})), bytes([KEEP]), [])
    assert gained(later, 0) == {"session.id": "s"}


@BOTH
def test_what_the_scan_found_counts_too(native: bool) -> None:
    """A value at a place in the payload, under a key that is not the table's."""
    payload = request(span(1, 1, {"enduser.id": "ada"}), span(2, 1, {}))
    ranges = np.array([[payload.index(b"ada"), 3], [0, 0]], "<u4").tobytes()
    noted = notes.make_notes(TABLE, prefer_native=native).take(payload, bytes([KEEP] * 2), [ranges])
    assert [gained(noted, row) for row in range(2)] == [{"user.id": "ada"}] * 2


@BOTH
def test_lists_of_tags_are_united(native: bool) -> None:
    """Every span has all of them, and none has two lists: its own is cut out."""
    book = notes.make_notes(TABLE, prefer_native=native)
    payload = request(
        span(1, 1, {"lf.tags": ["a"]}), span(2, 1, {"k": "v", "tags": ["b"], "l": "w"}), span(3, 1, {}), span(4, 1, {"lf.tags": "x"})
    )
    noted = book.take(payload, bytes([KEEP] * 4), [])
    assert [gained(noted, row).get("lf.tags") for row in range(4)] == [["a", "b"], ["a", "b"], ["a", "b"], None]
    codec = make_codec((), (), prefer_native=native)
    column = RaggedColumn(noted.offsets, noted.data)
    out = codec.project(payload, np.ones(4, "u1"), np.zeros(4, "u8"), [column], noted.cuts)
    spans = ExportTraceServiceRequest.FromString(out).resource_spans[0].scope_spans[0].spans
    assert [[pair.key for pair in each.attributes] for each in spans] == [["lf.tags"], ["k", "l", "lf.tags"], ["lf.tags"], ["lf.tags"]]


@BOTH
def test_wrappers_do_not_say_again_what_calls_used(native: bool) -> None:
    """Only where the trace has such a call, and nothing was said on purpose."""
    book = notes.make_notes(TABLE, prefer_native=native)
    wraps = KEEP | notes.WRAPS
    payload = request(span(1, 1, {"usage.x": 7}), span(2, 2, {"usage.x": 7}), span(3, 2, {}), span(4, 2, {"usage.x": 7, "lf.usage": "{}"}))
    noted = book.take(payload, bytes([wraps, wraps, KEEP | notes.SPENDS, wraps]), [])
    assert [gained(noted, row) for row in range(4)] == [{}, {"lf.usage": "{}"}, {}, {}]


@BOTH
def test_a_root_names_its_trace(native: bool) -> None:
    """By its own name, where nothing else does; for those that follow too."""
    book = notes.make_notes(TABLE, prefer_native=native)
    noted = book.take(request(span(1, 1, {}, "POST /ask"), span(2, 2, {"lf.name": "mine"}, "x")), bytes([KEEP | notes.NAMES] * 2), [])
    assert [gained(noted, row) for row in range(2)] == [{"lf.name": "POST /ask"}, {}]
    assert gained(book.take(request(span(3, 1, {}, "joined")), bytes([KEEP | notes.NAMES]), []), 0) == {"lf.name": "POST /ask"}


LOOKS = [
    ({"a": "x", "b": 1, "c": [1.5], "d": True}, 0), ({"a": []}, notes.NESTED), ({"level": "WARN"}, notes.ODD), ({"level": "ERROR"}, 0),
    ({"prompt.version": "3", "prompt.name": "p"}, notes.ODD), ({"prompt.version": 3, "prompt.name": "p"}, 0),
    ({"prompt.name": "p"}, notes.ODD),
    ({"lf.name": "123456789"}, notes.ODD), ({"lf.name": 7}, notes.ODD), ({"env": "Prod EU"}, notes.ODD), ({"env": "prod-eu"}, 0),
    ({"env": "a" * 41}, notes.ODD), ({"long": "x" * 500}, notes.LARGE),
]  # fmt: skip


@BOTH
@pytest.mark.parametrize(("attributes", "look"), LOOKS)
def test_what_needs_a_closer_look(native: bool, attributes: dict[str, Any], look: int) -> None:
    """Types, words, lengths, pairs, sizes."""
    noted = notes.make_notes(TABLE, prefer_native=native).take(request(span(1, 1, attributes)), bytes([KEEP]), [])
    assert noted.looks.tolist() == [look]


@BOTH
@pytest.mark.parametrize(("more", "look"), [({}, notes.RAISED), ({"status": 2, "status_message": "why"}, 0), ({"status": 2}, notes.RAISED)])
def test_exceptions_that_nobody_tells(native: bool, more: dict[str, Any], look: int) -> None:
    """In an event, with no status message beside it."""
    raised = span(1, 1, {}, extra=[encode.event("exception", NS, {"exception.message": "m"})], **more)
    noted = notes.make_notes(TABLE, prefer_native=native).take(request(raised), bytes([KEEP]), [])
    assert noted.looks.tolist() == [look]


@BOTH
def test_memory_is_bounded_and_counted(native: bool) -> None:
    """The oldest trace goes first."""
    book = notes.make_notes(TABLE, prefer_native=native)
    for trace in range(1, 7):
        book.take(request(span(trace, trace, {"user.id": f"u{trace}"})), bytes([KEEP]), [])
    assert book.forgotten == 2
    noted = book.take(request(span(9, 2, {}), span(10, 3, {})), bytes([KEEP] * 2), [])
    assert [gained(noted, row) for row in range(2)] == [{}, {"user.id": "u3"}]


@BOTH
def test_rows_that_do_not_fit_are_an_error(native: bool) -> None:
    """As everywhere in the codec."""
    with pytest.raises(ValueError, match="1 spans, but there are 2 rows"):
        notes.make_notes(TABLE, prefer_native=native).take(request(span(1, 1, {})), bytes(2), [])


KEYS = [
    "user.id",
    "lf.user",
    "session.id",
    "lf.name",
    "lf.tags",
    "tags",
    "usage.x",
    "lf.usage",
    "prompt.name",
    "prompt.version",
    "level",
    "env",
    "k",
]
VALUES = st.one_of(st.text(max_size=12), st.integers(-3, 300), st.booleans(), st.lists(st.text(max_size=3), max_size=3))
SPANS = st.lists(
    st.tuples(st.integers(1, 6), st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6), st.integers(0, 15), st.booleans()), max_size=8
)


@pytest.mark.skipif(not NATIVE, reason="not built")
@settings(max_examples=200, deadline=None)
@given(st.lists(SPANS, max_size=3))
def test_both_take_the_same_notes(batches: list[list[tuple[int, dict[str, Any], int, bool]]]) -> None:
    """Over several payloads, with all roles of spans."""
    native, pure = notes.make_notes(TABLE), notes.make_notes(TABLE, prefer_native=False)
    for batch in batches:
        event = [encode.event("exception", NS, {})]
        spans = [span(n, trace, attributes, f"name {n}", extra=event * raised) for n, (trace, attributes, _, raised) in enumerate(batch, 1)]
        payload, rows = request(*spans), bytes(bits for _, _, bits, _ in batch)
        one, other = native.take(payload, rows, []), pure.take(payload, rows, [])
        for name in notes.Noted._fields:
            assert bytes(memoryview(getattr(one, name)).tobytes()) == memoryview(getattr(other, name)).tobytes(), name
        assert native.forgotten == pure.forgotten
        columns, keep = [RaggedColumn(one.offsets, one.data)], np.frombuffer(rows, "u1") & 1
        outputs = [
            make_codec((), (), prefer_native=each).project(payload, keep, np.zeros(len(rows), "u8"), columns, one.cuts)
            for each in (True, False)
        ]
        assert outputs[0] == outputs[1]


@pytest.mark.skipif(not NATIVE, reason="not built")
@given(st.lists(st.tuples(st.integers(-2, 2**31 - 1), st.integers(-2, 2**31 - 1), st.integers(-2, 2**62)), max_size=8))
def test_both_write_the_same_numbers(rows: list[tuple[int, int, int]]) -> None:
    """Counts and billionths."""
    one, other, amounts = (np.array([row[at] for row in rows], "i8") for at in range(3))
    columns = {"input": one.astype("i4"), "output": other.astype("i4")}
    made = [numbers.counts("k", columns, prefer_native=each) for each in (True, False)]
    made += [numbers.billionths("k", "total", amounts, prefer_native=each) for each in (True, False)]
    assert [(each.offsets.tolist(), each.data) for each in made[::2]] == [(each.offsets.tolist(), each.data) for each in made[1::2]]


@BOTH
def test_counts_are_a_json_object(native: bool) -> None:
    """What is unknown is left out; where all is, there is no attribute."""
    column = numbers.counts("k", {"a": np.array([1, -1, 0], "i4"), "b": np.array([20, -1, -1], "i4")}, prefer_native=native)
    noted = notes.Noted(column.offsets, column.data, b"", np.zeros(0), np.zeros(0))
    assert [gained(noted, row) for row in range(3)] == [{"k": '{"a":1,"b":20}'}, {}, {"k": '{"a":0}'}]
    cost = numbers.billionths("k", "total", np.array([1_234_500_000, -1], "i8"), prefer_native=native)
    assert gained(notes.Noted(cost.offsets, cost.data, b"", np.zeros(0), np.zeros(0)), 0) == {"k": '{"total":1.234500000}'}
