"""Claimed, not done, as a rule over runs: what texts said, held against the calls that were made."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass, field
from typing import Final

from otel_ext.detectors.base import END, KIND, NAME, SPAN, Hit, Step, failed
from otel_ext.detectors.baselines import Key
from otel_ext.detectors.claim_check import Call, effect, unbacked
from otel_ext.detectors.claims import Claim
from otel_ext.detectors.runs import Run
from otel_ext.dialects import HANDOFF_PREFIXES, OUTPUT_PREFIXES, OUTPUT_TOOLS
from otel_ext.model import Severity
from otel_ext.wire.steps import HANDOFF

AGENTS_MAX: Final = 2_000  # whose tools are remembered; the one learned first goes first
_ANSWERS: Final = (*OUTPUT_TOOLS, *OUTPUT_PREFIXES)  # what an answer is handed over with does nothing else
TOOLS_MAX: Final = 256  # of one agent


@dataclass(slots=True)
class KnownTools:
    """Tools by the agent that called them in earlier runs, and which of them change something; bounded, in agents and in tools of one."""

    name: Callable[[int], str]
    forgotten: int = 0
    left_out: int = 0  # times that a tool over the bound of its agent was not remembered
    _agents: dict[Key, set[int]] = field(default_factory=dict)
    _acting: dict[int, bool] = field(default_factory=dict)  # bounded by the table of names

    def acting(self, tools: Iterable[int]) -> list[int]:
        """Those of *tools* that change something, by their names."""
        return [tool for tool in tools if self._acts(tool)]

    def _acts(self, tool: int) -> bool:
        known = self._acting.get(tool)
        if known is None:
            known = self._acting[tool] = effect(self.name(tool)) is not None
        return known

    def learn(self, agent: Key, tools: Set[int]) -> None:
        """*agent* called *tools*."""
        known = self._agents.get(agent)
        if known is None:
            known = self._agents[agent] = set()
            if len(self._agents) > AGENTS_MAX:
                del self._agents[next(iter(self._agents))]
                self.forgotten += 1
        if not tools <= known:
            new, room = tools - known, max(0, TOOLS_MAX - len(known))
            known.update(itertools.islice(new, room))
            self.left_out += max(0, len(new) - room)

    def of(self, agent: Key) -> frozenset[int]:
        """What *agent* called before and changes something."""
        return frozenset(self.acting(self._agents.get(agent, ())))


@dataclass(frozen=True, slots=True)
class ClaimedNotDone:
    """The agent says that it did something, a tool for it is known, and no successful call did it."""

    name: Callable[[int], str]
    tools: KnownTools

    def judge(self, run: Run) -> Iterator[Hit]:
        """One hit an action."""
        said = [text.said for text in run.said if not text.of_agent] or [text.said for text in run.said]
        if not said:
            return
        calls = [call for step in run.earlier if not (call := self._call(step)).tool.startswith(_ANSWERS)]
        known = {self.name(tool) for tool in self.tools.of((run.agent, run.service)) | run.tools}
        told: set[str] = set()
        for claim in unbacked(said, calls, known):
            if claim.action not in told:
                told.add(claim.action)
                yield self._hit(run, claim, {call.tool for call in calls if call.failed})

    def _call(self, step: Step) -> Call:
        """A hand-off is named for whom it hands over to."""
        name = self.name(step[NAME])
        handed_over = step[KIND] == HANDOFF and not name.startswith(HANDOFF_PREFIXES)
        return Call(f"transfer_to_{name}" if handed_over else name, failed(step), step[END])

    @staticmethod
    def _hit(run: Run, claim: Claim, attempted: set[str]) -> Hit:
        unseen = run.lossy or run.resumed
        done = "wrote the call out as text" if claim.voice == "written" else f"says that it did something ({claim.action})"
        return Hit(
            type="tool_skipping",
            rule="tool_skipping/claimed",
            severity=Severity.LOW if unseen else Severity.HIGH,
            subject=hash((run.span, claim.action)),
            span=run.models[-1][SPAN] if run.models else run.span,
            message=f"the agent {done}, and no successful call did it" + (" in this trace" if run.resumed else ""),
            complete=not unseen,
            evidence={"action": claim.action, "attempted": sorted(attempted)} if attempted else {"action": claim.action},
        )
