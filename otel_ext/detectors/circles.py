"""Circles that show only over a whole run: answers that say the same in other words, and agents inside of themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from otel_ext.detectors.base import END, KIND, NAME, SPAN, A, B, Hit, Step, alike
from otel_ext.detectors.runs import Run
from otel_ext.model import Severity
from otel_ext.wire.steps import LLM

_TOO_MANY: Final = 64  # outputs to compare with each other for a quick look
_NEAR: Final = 8  # answers among which similar ones count
_BLUR_NS: Final = 2_000_000  # how long a run took is known to the millisecond
_SIMILAR_BITS: Final = 1  # of the 16-bit print of a text that may differ (simhash over pairs of words, Charikar 2002)


@dataclass(frozen=True, slots=True)
class SimilarOutputs:
    """The model answers the same in other words, `count` times among eight answers."""

    count: int

    def judge(self, run: Run) -> Iterator[Hit]:
        """One hit, at the answer that makes it `count`."""
        said = answers(run)
        for at in range(self.count - 1, len(said)):
            last = said[at]
            alike = [step for step in said[max(0, at + 1 - _NEAR) : at] if _similar(step, last)]
            if len(alike) + 1 >= self.count and any(step[A] != last[A] for step in alike):
                yield Hit(
                    type="loop",
                    rule="loop/similar_output",
                    severity=Severity.MEDIUM,
                    subject=run.span,
                    span=last[SPAN],
                    message=f"the model gave nearly the same answer {self.count} times within {_NEAR} answers",
                    evidence={"repeats": self.count},
                )
                return


@dataclass(frozen=True, slots=True)
class Recursion:
    """An agent runs inside itself, `depth` deep. Two instrumentations of one run make two; a loop does not stop there.

    Nesting is told by time. Runs side by side lie inside one another by chance: where two of them overlap and neither holds the other, or
    where an inner one began before the outer one had asked its model, nothing is said.
    """

    depth: int

    def judge(self, run: Run) -> Iterator[Hit]:
        """A hit where *run* is the outermost of `depth` nested runs of one agent."""
        nested = sorted((step for step in run.inner if step[NAME] == run.agent), key=lambda step: (-step[B], step[END]))
        if not run.agent or len(nested) < self.depth or nested[0][SPAN] != run.span:
            return
        if _side_by_side(nested):
            return
        deepest = _chain(nested, [step[END] for step in run.models])
        if len(deepest) >= self.depth:
            yield Hit(
                type="loop",
                rule="loop/recursion",
                severity=Severity.MEDIUM,
                subject=run.agent,
                span=run.span,
                tools=(),
                message=f"the agent runs inside itself, {len(deepest)} deep",
                evidence={"depth": len(deepest)},
            )


def may_be_similar(outputs: Sequence[int], count: int) -> bool:
    """Of these outputs of models *count* may be alike; False only where they surely are not."""
    texts = [alike(output) for output in outputs if output]
    if len(texts) > _TOO_MANY:
        return True
    return any(sum((one ^ each).bit_count() <= _SIMILAR_BITS for each in texts) >= count for one in texts)


def answers(run: Run) -> Sequence[Step]:
    """Model steps with a text that no call followed from: what whoever called the agent got to read."""
    found: list[Step] = []
    led_to_call = False
    for step in sorted([*run.calls, *run.models], reverse=True):
        if step[KIND] == LLM and step[A] and not led_to_call:
            found.append(step)
        led_to_call = step[KIND] != LLM
    return found[::-1]


def _similar(one: Step, other: Step) -> bool:
    return (alike(one[A]) ^ alike(other[A])).bit_count() <= _SIMILAR_BITS


def _side_by_side(runs: Sequence[Step]) -> bool:
    """Two of them overlap, and neither holds the other."""
    open_: list[Step] = []  # runs that hold the one looked at
    for step in sorted(runs, key=lambda step: (_start(step), -step[END])):
        while open_ and open_[-1][END] <= _start(step):
            open_.pop()
        if open_ and step[END] > open_[-1][END] + _BLUR_NS and _start(step) > _start(open_[-1]) + _BLUR_NS:
            return True
        open_.append(step)
    return False


def _chain(nested: Sequence[Step], models: Sequence[int]) -> list[Step]:
    """The runs that lie inside one another, the longest first; each began after a model call of the one around it, ends in *models*."""
    chain = [nested[0]]
    for step in nested[1:]:
        outer = chain[-1]
        inside = _start(outer) <= _start(step) and step[END] <= outer[END] and step != outer
        if inside and any(_start(outer) <= end <= _start(step) for end in models):
            chain.append(step)
    return chain


def _start(step: Step) -> int:
    return step[END] - step[B] * 1_000_000
