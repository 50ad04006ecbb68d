"""Steps as plain tuples, in the order of `table.STEP`, and what a run of them comes to. The native codec holds the same in `rows.rs`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from otel_ext.model import StepKind
from otel_ext.wire.table import GroupFlag

Step = tuple[int, int, int, int, int, int, int, int]

# Plain numbers: a member of an enum costs ten times as much to compare with, millions of times a minute.
TOOL: Final = int(StepKind.TOOL)
LLM: Final = int(StepKind.LLM)
AGENT: Final = int(StepKind.AGENT)
HANDOFF: Final = int(StepKind.HANDOFF)
MCP: Final = int(StepKind.MCP)

_KIND: Final = 2
_NAME: Final = 4
_A: Final = 5
_B: Final = 6


class Summary(NamedTuple):
    """What the rules need to know to leave a trace alone. `flags` are GroupFlag bits."""

    models: int
    agents: int
    flags: int
    tokens: int


def summary(steps: Iterable[Step]) -> Summary:
    """Of the steps of one trace, sorted."""
    models = agents = tokens = flags = 0
    signatures: set[tuple[int, int]] = set()
    ends: set[tuple[int, int]] = set()
    for step in steps:
        kind = step[_KIND]
        signature = None
        if kind == TOOL:
            signature = (step[_NAME], step[_A])
        elif kind == LLM:
            models += 1
            tokens += step[_B]
            signature = (-1, step[_A]) if step[_A] else None
        elif kind == AGENT:
            agents += 1
        if signature:
            flags |= GroupFlag.REPEATS if signature in signatures else 0
            signatures.add(signature)
        flags |= GroupFlag.DUPLICATE if step[:2] in ends else 0
        ends.add(step[:2])
    return Summary(models, agents, flags, tokens)
