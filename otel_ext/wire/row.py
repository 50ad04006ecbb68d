"""One row of SPAN in the making, and what else of the span its step needs: the twin of `Span` in native/src/rows.rs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass(slots=True)
class Row:
    """Columns as in `table.SPAN`; ranges and names that belong together side by side."""

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
    step_flags: int = 0  # StepFlag bits that are no Flag
    likeness: int = 0  # of the arguments or the output, see `table.STEP`
