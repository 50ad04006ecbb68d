"""One call is one step, whoever told of it: which steps of a payload go, see `table.STEP`. The twin of native/src/doubles.rs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from otel_ext.model import StepKind
from otel_ext.wire.table import NAME_OTHER, StepFlag

_RESULT: Final = int(StepFlag.HAS_RESULT | StepFlag.SHORT_RESULT)
_SAID: Final = int(StepFlag.ERROR | StepFlag.REFUSED)
_HOPS_MAX: Final = 16  # calls inside of calls; damaged parents may go in a circle


@dataclass(slots=True)
class Made:
    """A step as its span tells it."""

    trace: int
    end: int
    span_id: int
    parent_id: int
    row: int
    kind: int
    flags: int
    name: int
    a: int
    b: int
    c: int
    inside: Made | None = None  # the call that tells of the same one

    @property
    def order(self) -> tuple[int, int, int, int, int]:
        """Steps are sorted by this."""
        return self.trace, self.end, self.span_id & 0xFFFFFFFF, self.span_id, self.row


def single(made: Iterable[Made]) -> list[Made]:
    """The steps that stay, in order of rows; what those that go tell is added to the ones that stand for them."""
    steps = list(made)
    calls = [step for step in steps if step.kind == StepKind.TOOL]
    by_id: dict[tuple[int, int], Made] = {}
    for step in calls:
        by_id.setdefault((step.trace, step.span_id), step)
    for step in calls:
        parent = by_id.get((step.trace, step.parent_id))
        if parent is not None and parent is not step and step.name == parent.name and step.name > NAME_OTHER:
            step.inside = parent
    for step in calls:
        outer = _outermost(step)
        if outer is not None:
            _fill(outer, step)
    return [step for step in steps if step.inside is None]


def _outermost(step: Made) -> Made | None:
    outer = step.inside
    for _ in range(_HOPS_MAX):
        if outer is None or outer.inside is None:
            return outer
        outer = outer.inside
    return None


def _fill(outer: Made, inner: Made) -> None:
    outer.flags |= inner.flags & _SAID
    outer.c = outer.c or inner.c
    if not outer.flags & StepFlag.HAS_ARGUMENTS:
        outer.flags |= inner.flags & StepFlag.HAS_ARGUMENTS
        outer.a = inner.a
    if not outer.flags & StepFlag.HAS_RESULT:
        outer.flags |= inner.flags & _RESULT
        outer.b = inner.b
