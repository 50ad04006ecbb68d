"""What a rule over steps sees and says. No I/O, no clock, no names: steps are rows of small integers, a hit is a fact with its numbers.

A *step* is a plain tuple in the order of `wire.table.STEP`: tuples, because a rule reads thousands of them a millisecond.
Steps of a trace are sorted by (end, span), whatever the order in which they arrived, so a rule is a function of what happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from otel_ext.model import Evidence, Severity
from otel_ext.wire.steps import HANDOFF, MCP, TOOL, Step
from otel_ext.wire.table import StepFlag

__all__ = [
    "CALLS",
    "END",
    "FLAGS",
    "KIND",
    "NAME",
    "SPAN",
    "WINDOW",
    "A",
    "B",
    "C",
    "Hit",
    "Step",
    "StepRule",
    "alike",
    "failed",
    "hollow",
    "recorded",
    "refused",
    "same_call",
]

END: Final = 0  # ns since the epoch
SPAN: Final = 1  # low half of the span id
KIND: Final = 2
FLAGS: Final = 3
NAME: Final = 4  # interned: tool, model or agent
A: Final = 5  # arguments of a call, output of a model or agent
B: Final = 6  # result of a call, tokens of a model call, milliseconds an agent ran
C: Final = 7  # call id

_ERROR: Final = int(StepFlag.ERROR)
_REFUSED: Final = int(StepFlag.REFUSED)
_ARGUMENTS: Final = int(StepFlag.HAS_ARGUMENTS)
_RECORDED: Final = _ARGUMENTS | int(StepFlag.HAS_RESULT)

# A rule looks back over this many steps at most: what makes a long trace cost no more a step than a short one.
WINDOW: Final = 48

CALLS: Final = (TOOL, HANDOFF, MCP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A rule's verdict at one step. `subject` tells facts of one rule apart within a trace; `tools` are interned names.

    In `message`, `{tool}` stands for the tools' names, which a rule does not know.
    """

    type: str
    rule: str
    severity: Severity
    subject: int
    span: int  # low half of the id of the span at fault
    message: str
    tools: tuple[int, ...] = ()
    complete: bool = True
    evidence: Evidence = field(default_factory=dict)


class StepRule(Protocol):
    """Judges one step by those before it: a call by calls, a model step by model steps."""

    def judge(self, steps: Sequence[Step], at: int, since: int = 0, /) -> Hit | None:
        """What `steps[at]` shows, given `steps[:at]`, all of one family. Looks back WINDOW steps at most.

        Of calls, `steps[since]` is the first one since the model last answered: an answer ends a turn, and what is asked for again in
        the next turn was asked for by whoever got the answer.
        """
        ...


def failed(step: Step) -> bool:
    """The call ended in an error."""
    return step[FLAGS] & _ERROR != 0


def same_call(one: Step, other: Step) -> bool:
    """The same tool with the same arguments. Arguments that were not recorded equal each other."""
    return one[NAME] == other[NAME] and one[A] == other[A]


def alike(pair: int) -> int:
    """The likeness in a pair (`wire.table.STEP`): equal for arguments that differ in a number only, few bits apart for similar texts."""
    return pair >> 16


def recorded(step: Step) -> bool:
    """Arguments and result are known, so that equal means equal."""
    return step[FLAGS] & _RECORDED == _RECORDED


def hollow(step: Step) -> bool:
    """A tool span that is no call made: it has arguments but neither result nor error, so it may have been withheld; or says so itself."""
    return step[FLAGS] & (_RECORDED | _ERROR) == _ARGUMENTS or refused(step)


def refused(step: Step) -> bool:
    """The tool's span says that the tool does not exist, or was not let run."""
    return step[FLAGS] & _REFUSED != 0
