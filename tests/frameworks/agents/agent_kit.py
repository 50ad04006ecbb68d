"""What every agent program shares: the tools, the truth about them, a real OpenTelemetry SDK, and the loop over scenarios.

    python <program>.py SERVER_URL TRUTH_FILE PAIR SCENARIO...

Runs under any interpreter that holds its framework: needs the OpenTelemetry SDK and the standard library.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sys
import traceback
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

URL, TRUTH, PAIR = [*sys.argv, "", "", ""][1:4]
# What the runner says of each scenario: question, streamed, failing, polling, withheld, handoff.
SCENARIOS: dict[str, dict[str, Any]] = json.loads(os.environ.get("SCENARIOS", "{}"))
MODEL = "gpt-4o"
INSTRUCTIONS = "You are a travel agent. Use your tools."

# Clients of model providers look here; none of them may reach the world.
os.environ.update(OPENAI_API_KEY="sk-scripted", OPENAI_BASE_URL=f"{URL}/v1", ANTHROPIC_API_KEY="sk-scripted", ANTHROPIC_BASE_URL=URL)
os.environ.update(GOOGLE_API_KEY="scripted", GEMINI_API_KEY="scripted", no_proxy="127.0.0.1", NO_PROXY="127.0.0.1")


def _stay_here(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: whoever connects to anything but this machine hears that there is no network."""
    address = arguments[1] if event == "socket.connect" else arguments[0] if event == "socket.getaddrinfo" else None
    host = address[0] if isinstance(address, tuple) else address
    if isinstance(host, str | bytes) and host and (host if isinstance(host, str) else host.decode()) not in HERE:
        raise OSError(f"no network in this test: {event} {host!r}")


HERE = ("127.0.0.1", "localhost", "::1", "0.0.0.0")  # an address that is compared
sys.addaudithook(_stay_here)


@dataclass
class Run:
    """One scenario, and what was really entered: (tool, arguments, whether it returned)."""

    question: str
    streamed: bool = False
    failing: bool = False
    polling: bool = False
    withheld: bool = False
    handoff: bool = False
    entered: list[tuple[str, dict[str, str], bool]] = field(default_factory=list)
    error: str = ""
    answer: str = ""

    def enter(self, tool: str, **arguments: str) -> str:
        """The body of every tool."""
        fails = self.failing and tool == "book_flight"
        self.entered.append((tool, arguments, not fails))
        if fails:
            raise RuntimeError("the booking system does not answer")
        return self._result(tool, len(self.entered))

    def refuses(self, tool: str) -> bool:
        """Whether the customer does not approve of this call."""
        return self.withheld and tool == "book_flight"

    def delegate(self, tool: str, answer: str) -> str:
        """The body of a tool that is another agent; *answer* is that agent's."""
        self.entered.append((tool, {}, True))
        return answer

    def _result(self, tool: str, number: int) -> str:
        if tool == "search" and self.polling:
            return f"status: step {number} of 3"
        return {"search": "Paris Rome 129 euros", "calculate": "258", "book_flight": "confirmed, seat 12A"}[tool]


run = Run("")
REFUSED = "Error: the customer did not approve"


def search(q: str) -> str:
    """Search fares and hotels.

    Args:
        q: what to look for
    """
    return run.enter("search", q=q)


def calculate(expr: str) -> str:
    """Calculate an arithmetic expression.

    Args:
        expr: the expression
    """
    return run.enter("calculate", expr=expr)


def book_flight(flight: str) -> str:
    """Book a flight. Charges the customer.

    Args:
        flight: the flight number
    """
    return run.enter("book_flight", flight=flight)


TOOLS: dict[str, Callable[..., str]] = {"search": search, "calculate": calculate, "book_flight": book_flight}
SCHEMAS = {
    name: {
        "type": "object",
        "properties": {key: {"type": "string"} for key in inspect.signature(tool).parameters},
        "required": list(inspect.signature(tool).parameters),
        "additionalProperties": False,
    }
    for name, tool in TOOLS.items()
}
DESCRIPTIONS = {name: (tool.__doc__ or "").partition("\n")[0] for name, tool in TOOLS.items()}


def tools_of_first() -> list[Callable[..., str]]:
    """What the first agent may call: in a hand-off booking is the second one's."""
    return [search, calculate] if run.handoff else [search, calculate, book_flight]


def provider(logs: bool = False, attributes: dict[str, str] | None = None) -> Any:
    """A tracer provider as applications set it up, made global: batches, OTLP over HTTP."""
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.name": "travel", **(attributes or {})})
    made = TracerProvider(resource=resource)
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{URL}/v1/traces")))
    trace.set_tracer_provider(made)
    if logs:
        _log_provider(resource)
    return made


def _log_provider(resource: Any) -> None:
    from opentelemetry import _logs
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    made = LoggerProvider(resource=resource)
    made.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(endpoint=f"{URL}/v1/logs")))
    _logs.set_logger_provider(made)


def flush() -> None:
    """Everything that ended leaves."""
    from opentelemetry import _logs, trace

    for made in (trace.get_tracer_provider(), _logs.get_logger_provider()):
        if hasattr(made, "force_flush"):
            made.force_flush()


def main(scenario: Callable[[Run], Any], after: Callable[[], object] = lambda: None) -> None:
    """Play every scenario asked for; *scenario* runs the agent once, as a function or a coroutine, and gives its answer.

    One event loop for all of them, as in an application: frameworks keep their HTTP clients. *after* comes before spans are flushed.
    """
    truth: dict[str, Any] = {}
    with asyncio.Runner() as runner:
        for name in sys.argv[4:]:
            _play(name, scenario, runner)
            after()
            flush()
            truth[name] = {"entered": run.entered, "error": run.error, "answer": run.answer}
    with open(TRUTH, "w") as file:
        json.dump(truth, file)


def _play(name: str, scenario: Callable[[Run], Any], runner: asyncio.Runner) -> None:
    global run
    run = Run(**SCENARIOS[name])
    urllib.request.urlopen(urllib.request.Request(f"{URL}/begin/{name}", data=b"", method="POST"))  # noqa: S310
    try:
        result = scenario(run)
        run.answer = str(runner.run(result) if inspect.iscoroutine(result) else result)
    except Exception as error:
        run.error = f"{type(error).__name__}: {error}"
        traceback.print_exc()
