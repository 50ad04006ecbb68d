"""What was found out, as rows; and what a fault of a server means for who configured it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from otel_ext.errors import ConfigError, OtelExtError, Refused
from otel_ext.exporters.base import Runtime
from otel_ext.report import table
from otel_ext.wire import encode

T = TypeVar("T")

SERVICE: Final = "otel_ext-doctor"
SPAN_NAME: Final = "otel_ext doctor"
FIRST_PAUSE_S: Final = 1.0
PAUSE_MAX_S: Final = 5.0  # Langfuse Cloud allows some 30 reads a minute


class State(StrEnum):
    """How a check ended. Only FAILED is a fault."""

    OK = "ok"
    FAILED = "FAILED"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One row: of what, which check, how it ended, what was seen; and what to do where it failed."""

    part: str
    check: str
    state: State
    seen: str
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What one examination works with: the id of its test trace (16 bytes), how long a stored trace may take to appear, a clock."""

    trace_id: bytes
    deadline_s: float
    runtime: Runtime

    @property
    def span_id(self) -> bytes:
        """Of the one test span."""
        return self.trace_id[:8]

    def payload(self) -> bytes:
        """The test trace: one span, marked as ours, no model call in it."""
        now_ns = self.runtime.now_ns()
        attributes: dict[str, encode.Value] = {"langfuse.observation.type": "span", "langfuse.trace.name": SPAN_NAME}
        span = encode.span(self.trace_id, self.span_id, b"", SPAN_NAME, now_ns - 1_000_000, now_ns, attributes)
        return encode.request({"service.name": SERVICE}, "otel_ext.doctor", "", [span])

    async def wait_for(self, look: Callable[[], Awaitable[bool]]) -> bool:
        """Whether *look* saw it within the deadline. Errors of *look* are raised: it retries by itself."""
        pause_s, started_ns = FIRST_PAUSE_S, self.runtime.now_ns()
        while not await look():
            if (self.runtime.now_ns() - started_ns) / 1e9 + pause_s > self.deadline_s:
                return False
            await self.runtime.sleep(pause_s)
            pause_s = min(pause_s * 1.5, PAUSE_MAX_S)
        return True


class Checks:
    """Runs the checks of one part in order: after one that failed the rest cannot tell anything, and is skipped."""

    def __init__(self, part: str, fixes: dict[str, str]) -> None:
        self.found: list[Finding] = []
        self._part = part
        self._fixes = fixes
        self._failed = ""

    async def run(self, check: str, work: Callable[[], Awaitable[str]]) -> None:
        """Add a row: *work* gives what was seen, or raises an OtelExtError (a Skip for what cannot be asked)."""
        if self._failed:
            self._add(check, State.SKIPPED, f"{self._failed} failed")
            return
        try:
            self._add(check, State.OK, await work())
        except Skip as skip:
            self._add(check, State.SKIPPED, str(skip))
        except OtelExtError as error:
            self._failed = check
            self._add(check, State.FAILED, str(error), self._fix(error))

    def _add(self, check: str, state: State, seen: str, fix: str = "") -> None:
        self.found.append(Finding(self._part, check, state, seen, fix))

    def _fix(self, error: Exception) -> str:
        if isinstance(error, Wrong):
            return error.fix
        if isinstance(error, ConfigError):
            return "mend the file that is named"
        text = f"{error.reason} {error}" if isinstance(error, Refused) else str(error)
        return next((fix for word, fix in self._fixes.items() if word in text), self._fixes.get("", ""))


class Skip(OtelExtError):
    """There is no way to check that."""


class Wrong(OtelExtError):
    """A check failed; `fix` says what would mend it."""

    def __init__(self, seen: str, fix: str) -> None:
        super().__init__(seen)
        self.fix = fix


def told(found: Sequence[Finding]) -> str:
    """A table, and under it what to fix."""
    rows = [[each.part, each.check, each.state, each.seen] for each in found]
    lines = [table(rows, ("part", "check", "", "what was seen"))]
    failed = [each for each in found if each.state is State.FAILED]
    lines += ["", *(f"{each.part}: {each.fix}" for each in failed if each.fix)] if failed else []
    skipped = sum(each.state is State.SKIPPED for each in found)
    good = f"everything works; {skipped} could not be checked" if skipped else "everything works"
    lines += ["", f"{len(failed)} of {len(found)} checks failed" if failed else good]
    return "\n".join(lines)
