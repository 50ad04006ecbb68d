"""What comes to the verdicts and goes from them: values, shared by the sidecar's pipeline and the in-process SpanProcessor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from otel_ext.detectors.base import Step
from otel_ext.detectors.runs import Request, Text
from otel_ext.ledger import Answer
from otel_ext.model import Finding
from otel_ext.tracebook import Trace
from otel_ext.wire.steps import Summary


class Place(NamedTuple):
    """What a finding says of the span it is about. `row` is the caller's own number for it; `agent` and `service` are interned names."""

    row: int
    span_id: int
    end: int
    agent: int
    service: int
    conversation: str


@dataclass(frozen=True, slots=True)
class Arrival:
    """New steps of one trace, sorted, the same packed, and what their model calls asked for, were answered, and said.

    `place` gives the span of one of these steps by the low half of its id, and the last one for an id that is not among them. `tools` are
    state-changing tools that the models were told of; `cost` is what their calls cost, in dollars, as far as known.
    """

    trace_id: bytes
    steps: list[Step]
    packed: bytes
    place: Callable[[int], Place]
    requests: Sequence[Request] = ()
    answers: Sequence[Answer] = ()
    summary: Summary | None = None  # of `steps`, where the caller has it
    said: Sequence[Text] = ()
    tools: frozenset[int] | None = None
    cost: float = 0.0


class Extra(NamedTuple):
    """What an arrival knows besides its steps: see `Arrival`."""

    tools: frozenset[int] | None = None
    cost: float = 0.0

    def put(self, trace: Trace) -> None:
        """Into a trace that was just opened."""
        if self.tools:
            trace.tools = self.tools
        if self.cost:
            trace.cost = self.cost


NOTHING: Final = Extra()


class Given(NamedTuple):
    """A finding, and the row of its span where that is among the spans that just arrived."""

    finding: Finding
    row: int | None


class Taken(NamedTuple):
    """What became of an arrival.

    `standing` are findings given earlier whose span is here again: to be marked, not to be told. `doubled` are steps of a call that another
    step tells of too: not to be counted.
    """

    trace: Trace
    fresh: list[Step]
    given: list[Given]
    standing: Sequence[Given] = ()
    doubled: Sequence[Step] = ()


class Waiting(NamedTuple):
    """An agent run that is judged for good at `due_ns`; again only where more came than the `steps_len` bytes it was judged by.

    `judged`: nothing was outstanding then. `whole`: those steps are all of this run, and each call in them is told of once.
    """

    due_ns: int
    trace_id: bytes
    span: int
    place: Place
    judged: bool
    steps_len: int
    whole: bool = False
