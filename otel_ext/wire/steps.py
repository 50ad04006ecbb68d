"""Steps as plain tuples, in the order of `table.STEP`, and what a run of them comes to. The native codec holds the same in `groups.rs`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations, pairwise
from typing import Final, NamedTuple

from otel_ext.model import StepKind
from otel_ext.wire.table import DOUBLED_NS, SIMILAR_BITS_MAX, SIMILAR_STEPS_MAX, GroupFlag, StepFlag

Step = tuple[int, int, int, int, int, int, int, int]

# Plain numbers: a member of an enum costs ten times as much to compare with, millions of times a minute.
TOOL: Final = int(StepKind.TOOL)
LLM: Final = int(StepKind.LLM)
AGENT: Final = int(StepKind.AGENT)
HANDOFF: Final = int(StepKind.HANDOFF)
MCP: Final = int(StepKind.MCP)
_REPEATS: Final = int(GroupFlag.REPEATS)
_DUPLICATE: Final = int(GroupFlag.DUPLICATE)
_DOUBLED: Final = int(GroupFlag.DOUBLED)
_UNUSUAL: Final = int(GroupFlag.UNUSUAL)
_SIMILAR: Final = int(GroupFlag.SIMILAR)
_ODD: Final = int(StepFlag.TRUNCATED | StepFlag.CUT | StepFlag.EMPTY | StepFlag.REPETITIVE)

_END: Final = 0
_SPAN: Final = 1
_KIND: Final = 2
_FLAGS: Final = 3
_NAME: Final = 4
_A: Final = 5
_B: Final = 6
_C: Final = 7


class Summary(NamedTuple):
    """What the rules need to know to leave a trace alone. `flags` are GroupFlag bits."""

    models: int
    agents: int
    flags: int
    tokens: int


def summary(steps: Iterable[Step]) -> Summary:
    """Of the steps of one trace, sorted."""
    agents = tokens = flags = 0
    models: list[Step] = []
    signatures: set[tuple[int, int]] = set()
    shapes: dict[tuple[int, int], int] = {}
    ends: set[tuple[int, int]] = set()
    for step in steps:
        kind = step[_KIND]
        if kind == TOOL:
            name, a = step[_NAME], step[_A]
            flags |= _REPEATS if (name, a) in signatures else 0
            signatures.add((name, a))
            flags |= _SIMILAR if a >> 16 and shapes.setdefault((name, a >> 16), a) != a else 0
        elif kind == LLM:
            models.append(step)
            tokens += step[_B]
        elif kind == AGENT:
            agents += 1
        elif kind == MCP:
            flags |= _DOUBLED
        flags |= _UNUSUAL if step[_FLAGS] & _ODD or kind == HANDOFF else 0
        flags |= _DUPLICATE if step[:2] in ends else 0
        ends.add(step[:2])
    return Summary(len(models), agents, flags | _of_models(models), tokens)


def _of_models(models: Sequence[Step]) -> int:
    """The GroupFlag bits of the model steps."""
    if len(models) < 2:
        return 0
    outputs = sorted((step[_A], step[_B], step[_END]) for step in models if step[_A])
    flags = _REPEATS if any(one[0] == other[0] for one, other in pairwise(outputs)) else 0
    spans = {step[_SPAN] for step in models}
    nested = any(step[_C] and step[_C] != step[_SPAN] and step[_C] in spans for step in models)
    silent = sorted((step[_C], step[_B], step[_END]) for step in models if not step[_A] and step[_B] and step[_C])
    pairs = [*pairwise(outputs), *pairwise(silent)]
    twice = any(one[:2] == other[:2] and other[2] - one[2] <= DOUBLED_NS for one, other in pairs)
    return flags | (_DOUBLED if nested or twice else 0) | (_SIMILAR if _alike([one[0] for one in outputs]) else 0)


def _alike(outputs: Sequence[int]) -> bool:
    """Whether two that differ are alike, or there are too many to tell."""
    if len(outputs) > SIMILAR_STEPS_MAX:
        return True
    return any(one != other and ((one ^ other) >> 16).bit_count() <= SIMILAR_BITS_MAX for one, other in combinations(outputs, 2))
