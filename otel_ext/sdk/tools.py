"""`instrument_mcp_tool`: a span around every call of a tool function, whatever kind of function it is."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast, overload

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider

from otel_ext import __version__, semconv
from otel_ext.sdk import calls, carriers, scopes
from otel_ext.sdk.calls import Call, Mask
from otel_ext.sdk.scopes import log

LIMIT: Final = 8_192  # characters of arguments and of results
DESCRIPTION_MAX: Final = 256
RESULTS_MAX: Final = 1_000  # of a generator, that are remembered
_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    name: str
    description: str
    record_arguments: bool
    record_results: bool
    limit: int
    mask: Mask | None
    provider: TracerProvider | None
    signature: inspect.Signature | None


@overload
def instrument_mcp_tool(function: _Function, /) -> _Function: ...
@overload
def instrument_mcp_tool(
    *,
    name: str = ...,
    record_arguments: bool = ...,
    record_results: bool = ...,
    limit: int = ...,
    mask: Mask | None = ...,
    tracer_provider: TracerProvider | None = ...,
) -> Callable[[_Function], _Function]: ...


def instrument_mcp_tool(
    function: Any = None,
    /,
    *,
    name: str = "",
    record_arguments: bool = False,
    record_results: bool = False,
    limit: int = LIMIT,
    mask: Mask | None = None,
    tracer_provider: TracerProvider | None = None,
) -> Any:
    """Trace a tool: span `execute_tool {name}`, by the GenAI and MCP conventions; functions, coroutines, generators of both, methods.

    Arguments and results are on the span only when asked for, through *mask* and cut at *limit* characters; loops are found without.
    A `_trace_parent` keyword is taken as the parent, and the tool never sees it. A result with `isError` makes the span an error.
    """

    def decorate(target: Any) -> Any:
        if isinstance(target, classmethod | staticmethod):
            return type(target)(decorate(target.__func__))
        doc = (inspect.getdoc(target) or "").partition("\n")[0]
        options = _Options(
            name=name or getattr(target, "__name__", "tool"),
            description=doc[:DESCRIPTION_MAX],
            record_arguments=record_arguments,
            record_results=record_results,
            limit=limit,
            mask=mask,
            provider=tracer_provider,
            signature=_signature(target),
        )
        return _wrapped(target, options)

    return decorate if function is None else decorate(function)


def _signature(target: Any) -> inspect.Signature | None:
    try:
        return inspect.signature(target)
    except (TypeError, ValueError):
        return None


def _wrapped(target: Any, options: _Options) -> Any:
    if inspect.isasyncgenfunction(target):

        @functools.wraps(target)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            run = _Run(options, args, kwargs)
            return _async_items(target(*args, **kwargs), run)

    elif inspect.isgeneratorfunction(target):

        @functools.wraps(target)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            run = _Run(options, args, kwargs)
            return _items(target(*args, **kwargs), run)

    elif inspect.iscoroutinefunction(target):

        @functools.wraps(target)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            run = _Run(options, args, kwargs)
            with run.whole():
                result = await target(*args, **kwargs)
                run.give(result)
            return result

    else:

        @functools.wraps(target)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            run = _Run(options, args, kwargs)
            with run.whole():
                result = target(*args, **kwargs)
                run.give(result)
            return result

    return wrapper


class _Run:
    """One call. Whatever fails in here fails alone: the tool is called all the same."""

    def __init__(self, options: _Options, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._options = options
        self._result: str | None = None
        self._items: list[Any] = []
        parent = carriers.extract_context(kwargs) if carriers.PARAMETER in kwargs else get_current()
        self._arguments = self._guarded(lambda: calls.text_of(self._bound(args, kwargs)), "")
        self.span = self._start(parent, args, kwargs)
        self.context = trace.set_span_in_context(self.span, parent)

    def _bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._options.signature is None:
            return {"args": list(args), **kwargs} if args else kwargs
        given = dict(self._options.signature.bind_partial(*args, **kwargs).arguments)
        for own in ("self", "cls"):
            if next(iter(self._options.signature.parameters), None) == own:
                given.pop(own, None)
        return {key: value for key, value in given.items() if not _is_context(value)}

    def _start(self, parent: Context, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Span:
        options = self._options
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": options.name,
            "gen_ai.tool.type": "function",
            "mcp.method.name": "tools/call",
            semconv.MCP_TOOL: options.name,
        }
        if options.description:
            attributes["gen_ai.tool.description"] = options.description
        if options.record_arguments:
            shown = self._guarded(lambda: calls.text_of(self._bound(args, kwargs), options.mask), "(could not be recorded)")
            attributes[calls.ARGUMENTS] = calls.cut(shown, options.limit)
        tracer = trace.get_tracer(semconv.SCOPE, __version__, options.provider)
        span = tracer.start_span(f"execute_tool {options.name}", context=parent, kind=SpanKind.INTERNAL, attributes=attributes)
        self._link_back(span)
        return span

    @staticmethod
    def _link_back(span: Span) -> None:
        context = span.get_span_context()
        if span.is_recording():
            span.set_attribute(semconv.TEMPO_SPAN_ID, trace.format_span_id(context.span_id))
            span.set_attribute(semconv.TEMPO_TRACE_ID, trace.format_trace_id(context.trace_id))

    def _guarded(self, make: Callable[[], str], otherwise: str) -> str:
        try:
            return make()
        except Exception:
            log.debug("otel_ext: arguments or result of %s cannot be shown", self._options.name, exc_info=True)
            return otherwise

    # -- the ways a call runs

    @contextmanager
    def whole(self) -> Iterator[None]:
        """The call in one piece."""
        token = attach(self.context)
        try:
            yield
        except BaseException as error:
            self.fail(error)
            raise
        finally:
            detach(token)
            self.end()

    @contextmanager
    def piece(self) -> Iterator[None]:
        """One step of a generator: between two steps the context is the caller's."""
        token = attach(self.context)
        try:
            yield
        finally:
            detach(token)

    def item(self, value: Any) -> None:
        """A generator gave *value*."""
        if len(self._items) < RESULTS_MAX:
            self._items.append(value)

    def give(self, result: Any) -> None:
        """The call returned *result*."""
        options = self._options
        self._result = self._guarded(lambda: calls.text_of(_content(result)), "")
        if options.record_results:
            shown = self._guarded(lambda: calls.text_of(_content(result), options.mask), "(could not be recorded)")
            self.span.set_attribute(calls.RESULT, calls.cut(shown, options.limit))
        if _is_error(result):
            self.span.set_attribute("error.type", "tool_error")
            self.span.set_status(Status(StatusCode.ERROR))

    def fail(self, error: BaseException) -> None:
        """The call raised."""
        if isinstance(error, GeneratorExit):
            return
        self.span.record_exception(error)
        self.span.set_attribute("error.type", type(error).__qualname__)
        self.span.set_status(Status(StatusCode.ERROR, str(error)))

    def end(self) -> None:
        """End the span; what it does not carry is known to the processors for that moment."""
        if not scopes.sources:
            self.span.end()
            return
        span_id = self.span.get_span_context().span_id
        calls.remember(span_id, Call(self._arguments, self._result))
        try:
            self.span.end()
        finally:
            calls.forget(span_id)

    def finish(self) -> None:
        """A generator came to its end."""
        self.give(self._items)


def _items(inner: Iterator[Any], run: _Run) -> Generator[Any, Any, Any]:
    """The items of *inner*, which sees its own span; what is sent or thrown in reaches it."""
    generator = cast(Any, inner)
    try:
        step: Callable[[], Any] = functools.partial(next, generator)
        while True:
            try:
                with run.piece():
                    value = step()
            except StopIteration as stop:
                run.finish()
                return stop.value
            run.item(value)
            try:
                sent = yield value
                step = functools.partial(generator.send, sent)
            except GeneratorExit:
                generator.close()
                raise
            except BaseException as error:
                step = functools.partial(generator.throw, error)
    except BaseException as error:
        run.fail(error)
        raise
    finally:
        run.end()


async def _async_items(inner: AsyncIterator[Any], run: _Run) -> AsyncIterator[Any]:
    """The same for an asynchronous generator."""
    generator = cast(Any, inner)
    try:
        step: Callable[[], Any] = generator.__anext__
        while True:
            try:
                with run.piece():
                    value = await step()
            except StopAsyncIteration:
                run.finish()
                return
            run.item(value)
            try:
                sent = yield value
                step = functools.partial(generator.asend, sent)
            except GeneratorExit:
                await generator.aclose()
                raise
            except BaseException as error:
                step = functools.partial(generator.athrow, error)
    except BaseException as error:
        run.fail(error)
        raise
    finally:
        run.end()


def _is_context(value: object) -> bool:
    """A server's request context is no argument of the tool."""
    return type(value).__name__ in ("Context", "RunContext", "ToolContext", "RunContextWrapper", "ServerRequestContext")


def _is_error(result: Any) -> bool:
    if isinstance(result, dict):
        return result.get("isError") is True
    return getattr(result, "isError", None) is True or getattr(result, "is_error", None) is True


def _content(result: Any) -> Any:
    """A result model as its plain content."""
    dump = getattr(result, "model_dump", None)
    return dump(mode="json", exclude_none=True) if callable(dump) and not isinstance(result, type) else result
