"""`watch`: hear of a loop inside the run that loops, before its next call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import Token
from dataclasses import replace
from types import TracebackType
from typing import Any, Final, Self

from otel_ext.errors import OtelExtError
from otel_ext.model import Finding, Severity
from otel_ext.sdk import scopes
from otel_ext.sdk.judging import Judging
from otel_ext.sdk.reading import Reading
from otel_ext.sdk.scopes import Block, Source, log
from otel_ext.settings import Detect, Loop, Settings, TokenSpike

_NEVER: Final = 1_000_000_000
_COUNT_MIN: Final = 2
_COUNT_MAX: Final = 16  # the rules look back over that many calls
_ITERATIONS: Final = "loop/max_iterations"
_RUN: Final = b"\x01" * 16  # a run is judged as one trace, however many it has


class AgentStopped(OtelExtError):
    """Raised by `raise_if_found`: the run did what it was watched for."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(f"{finding.rule}: {finding.message}")
        self.finding = finding


class watch:  # noqa: N801 - used like a function, as `open` is
    """Watch the agent run in this block; `with watch() as run:`, in sync and async code.

    A count is the call at which repetition becomes a finding, 2 to 16. `max_iterations` bounds the model calls of the run.
    `on_finding` is called in the thread or task in which the span ended, before that goes on. Needs an AgentSpanProcessor.
    """

    def __init__(
        self,
        *,
        max_identical_calls: int = 3,
        max_failing_calls: int = 3,
        max_cycle_repeats: int = 3,
        max_iterations: int | None = None,
        on_finding: Callable[[Finding], object] | None = None,
    ) -> None:
        for name, count in (("max_identical_calls", max_identical_calls), ("max_failing_calls", max_failing_calls)):
            if not _COUNT_MIN <= count <= _COUNT_MAX:
                raise ValueError(f"{name}: {count}, allowed are {_COUNT_MIN} to {_COUNT_MAX}")
        loop = Loop(
            identical_calls=max_identical_calls,
            failing_calls=max_failing_calls,
            cycle_repeats=max_cycle_repeats,
            max_iterations=max_iterations or _NEVER,
        )
        self._settings = Settings(detect=Detect(loop=loop, token_spike=TokenSpike(baseline_tokens=_NEVER)))
        self._on_finding = on_finding
        self._judging: Judging | None = None
        self._source: Source | None = None
        self._token: Token[tuple[Block, ...]] | None = None
        self.traces: dict[int, None] = {}
        self.findings: list[Finding] = []

    # -- the block

    def __enter__(self) -> Self:
        self._token = scopes.enter(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._token is not None:
            scopes.leave(self, self._token)
            self._token = None

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.__exit__(kind, error, trace)

    # -- what was found

    def found(self, rule: str = "") -> Finding | None:
        """The first finding that is an alert and whose rule is or starts with *rule* ("loop", "loop/cycle"), else None.

        A low one counts only where it was asked for: what repeats without recorded arguments may differ in them.
        """
        for finding in list(self.findings):
            asked = finding.severity is not Severity.LOW or (
                finding.rule == _ITERATIONS and self._settings.detect.loop.max_iterations < _NEVER
            )
            if asked and not finding.withdrawn and (finding.rule == rule or finding.rule.startswith(f"{rule}/" if rule else "")):
                return finding
        return None

    def raise_if_found(self, rule: str = "") -> None:
        """Raise AgentStopped where `found(rule)` finds something."""
        finding = self.found(rule)
        if finding is not None:
            raise AgentStopped(finding)

    # -- what the processor tells

    def started(self, source: Source, span: Any) -> None:
        """Nothing to do."""

    def ended(self, source: Source, trace_id: bytes, span_id: int, reading: Reading) -> Sequence[Finding]:
        """Judge the span within the run."""
        if self._judging is None:
            self._source, self._judging = source, Judging(self._settings, source.codec)
        if source is not self._source:
            return ()
        judged = self._judging.take(_RUN, span_id, reading)
        own = [each for each in (*judged.here, *judged.late) if each.type == "loop"]
        langfuse_id = trace_id.hex()
        found = [replace(finding, trace_id=trace_id, langfuse_trace_id=langfuse_id) for finding in own]
        self._keep(found)
        return found

    def heard(self, findings: Sequence[Finding]) -> None:
        """Loops are judged here by the counts of this block; what else the processor finds belongs to the run too."""
        self._keep([finding for finding in findings if finding.type != "loop"])

    def _keep(self, findings: Sequence[Finding]) -> None:
        known = {(each.rule, each.span_id, each.withdrawn) for each in self.findings}
        for finding in findings:
            if (finding.rule, finding.span_id, finding.withdrawn) not in known:
                self.findings.append(finding)
                self._tell(finding)

    def _tell(self, finding: Finding) -> None:
        if self._on_finding is None:
            return
        try:
            self._on_finding(finding)
        except Exception:
            log.exception("otel_ext: on_finding failed")
