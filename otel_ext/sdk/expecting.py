"""`expect_tools`: which tools a block must call, and which it did not."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Sequence
from contextvars import Token
from types import TracebackType
from typing import Any, Final, Self, TypeVar, cast

from opentelemetry import trace

from otel_ext import semconv
from otel_ext.detectors.base import NAME, Hit, Step, failed
from otel_ext.detectors.runs import Run
from otel_ext.detectors.skipping import EXPECTED, Expected
from otel_ext.errors import OtelExtError
from otel_ext.model import Finding, StepKind
from otel_ext.sdk import scopes, spans
from otel_ext.sdk.reading import LOW, Reading
from otel_ext.sdk.scopes import Block, Source

_TOOL: Final = int(StepKind.TOOL)
_AGENT: Final = int(StepKind.AGENT)
_CALLS_MAX: Final = 10_000
_Function = TypeVar("_Function", bound=Callable[..., Any])


class ToolsMissing(OtelExtError):
    """Raised at the end of a block with `raise_missing`: these tools were not called, or failed every time."""

    def __init__(self, missing: tuple[str, ...]) -> None:
        super().__init__(f"not called: {', '.join(missing)}")
        self.missing = missing


class expect_tools:  # noqa: N801 - used like a function, as `open` is
    """The block must call each of these tools with success; `with expect_tools("search", "calculate") as expected:` or a decorator.

    At its end `expected.missing` holds those it did not, a finding tells of them, and with `raise_missing` ToolsMissing is raised, unless
    the block raises already. Sync and async. Agent spans inside carry `otel_ext.expected_tools`, so that a sidecar judges alike.
    Needs an AgentSpanProcessor: without one nothing is known, and `missing` stays empty.
    """

    def __init__(self, *tools: str, raise_missing: bool = False) -> None:
        if not tools or not all(isinstance(tool, str) and tool for tool in tools):
            raise ValueError("expect_tools needs names of tools")
        self.tools = tools
        self.missing: tuple[str, ...] = ()
        self.traces: dict[int, None] = {}
        self._raise_missing = raise_missing
        self._calls: list[Step] = []
        self._agent = 0
        self._service = 0
        self._told = False
        self._source: Source | None = None
        self._token: Token[tuple[Block, ...]] | None = None
        self._anchor: Any = None
        self._started_ns = 0

    # -- the block

    def __enter__(self) -> Self:
        self._started_ns = time.time_ns()
        span = trace.get_current_span()
        if span.is_recording():
            self._anchor = span
            self._state(span)
        self._token = scopes.enter(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._token is None:
            return
        scopes.leave(self, self._token)
        self._token = None
        try:
            self._judge()
        except Exception:
            scopes.log.exception("otel_ext: expect_tools could not judge its block")
        if self.missing and self._raise_missing and kind is None:
            raise ToolsMissing(self.missing)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.__exit__(kind, error, traceback)

    def __call__(self, function: _Function) -> _Function:
        """A block around every call of *function*, a coroutine function or a plain one."""

        def fresh() -> expect_tools:
            return expect_tools(*self.tools, raise_missing=self._raise_missing)

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def asynchronous(*args: Any, **kwargs: Any) -> Any:
                async with fresh():
                    return await function(*args, **kwargs)

            return cast(_Function, asynchronous)

        @functools.wraps(function)
        def synchronous(*args: Any, **kwargs: Any) -> Any:
            with fresh():
                return function(*args, **kwargs)

        return cast(_Function, synchronous)

    # -- what the processor tells

    def started(self, source: Source, span: Any) -> None:
        """State the expectation on agent spans; the first span inside is what a finding is about where the block has no own."""
        if self._anchor is None:
            self._anchor = span
        reading = source.reader.read(span, span._context.span_id, spans.attributes_of(span), inputs=False)
        if reading is not None and reading.kind == _AGENT:
            self._state(span)

    def _state(self, span: Any) -> None:
        before = getattr(span, "attributes", None) or {}
        known = tuple(before.get(semconv.EXPECTED_TOOLS) or ())
        span.set_attribute(semconv.EXPECTED_TOOLS, (*known, *(tool for tool in self.tools if tool not in known)))

    def ended(self, source: Source, _trace_id: bytes, _span_id: int, reading: Reading) -> Sequence[Finding]:
        """Remember a call."""
        if self._source is None:
            self._source = source
        if source is not self._source:
            return ()
        agent, service = reading.agent_and_service
        self._agent, self._service = agent or self._agent, service or self._service
        if reading.kind == _TOOL and len(self._calls) < _CALLS_MAX:
            self._calls.append(reading.step)
        return ()

    def heard(self, findings: Sequence[Finding]) -> None:
        """The processor may have told of it at the end of the agent's own span."""
        self._told = self._told or any(finding.rule == EXPECTED for finding in findings)

    # -- the end

    def _judge(self) -> None:
        source = self._source or next(iter(scopes.sources), None)
        if source is None:
            return
        name = source.codec.name
        good = {name(step[NAME]) for step in self._calls if not failed(step)}
        self.missing = tuple(tool for tool in self.tools if tool not in good)
        if self._anchor is None or not self.missing:
            return
        context = self._anchor.get_span_context()
        trace_id, span_id = context.trace_id.to_bytes(16, "big"), context.span_id
        source.settled(trace_id, span_id)
        if self._told:
            return
        finding = self._finding(source, trace_id, span_id)
        if finding is not None:
            spans.mark(self._anchor, [finding])
            source.report(finding)

    def _finding(self, source: Source, trace_id: bytes, span_id: int) -> Finding | None:
        codec, now_ns = source.codec, time.time_ns()
        run = Run(
            agent=self._agent,
            service=self._service,
            span=span_id & LOW,
            start=self._started_ns,
            end=now_ns,
            error=False,
            calls=self._calls,
            expected=tuple(map(codec.intern, self.tools)),
        )
        hit: Hit | None = next(Expected((), codec.name, codec.intern).judge(run), None)
        if hit is None:
            return None
        return Finding(
            time_unix_nano=now_ns,
            trace_id=trace_id,
            span_id=span_id.to_bytes(8, "big"),
            type=hit.type,
            rule=hit.rule,
            severity=hit.severity,
            message=hit.message,
            agent=codec.name(self._agent),
            service=codec.name(self._service),
            evidence=hit.evidence,
            langfuse_trace_id=trace_id.hex(),
        )
