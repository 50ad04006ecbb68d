"""Traces written down that hold something for every rule, and some that hold what looks like it."""

from __future__ import annotations

import json

from otel_ext import samples
from otel_ext.wire import encode

NS = 1_800_000_000_000_000_000
PAST_RUNS = 12
LONG = "a result that is long enough to be more than an acknowledgement, as a page of a list would be"
BOOKED = "Your flight has been booked. The confirmation number is 7."
TOOLS = json.dumps([{"type": "function", "name": "book_flight"}, {"type": "function", "name": "search"}])
ROUND = " ".join(["around and around it goes"] * 12)
SAME = (
    "I am sorry, but I could not find any flight from Paris to Rome on that day; please tell me another day that suits you well.",
    "I am sorry, but I could not find any flight from Paris to Rome on that day; please tell me another day that suits you best.",
)


class Run(samples.Agent):
    """An agent run with what the samples do not need."""

    def says(self, text: str, *, tools: str = "", finish: str = "stop", calls: tuple[tuple[str, str], ...] = ()) -> bytes:
        """A model call with declared tools, or another reason to end; returns the id of its span."""
        parts: list[dict[str, object]] = [{"type": "text", "content": text}] if text else []
        parts += [{"type": "tool_call", "id": call, "name": tool, "arguments": {}} for call, tool in calls]
        output = {"role": "assistant", "parts": parts, "finish_reason": finish}
        self._model(json.dumps([output]), {"gen_ai.tool.definitions": tools} if tools else {}, finish)
        self._history.append(output)
        return self._id(self._count)

    def _model(self, output: str, more: dict[str, encode.Value], finish: str = "stop") -> None:
        attributes: dict[str, encode.Value] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": self.model,
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.response.finish_reasons": [finish],
            "gen_ai.input.messages": json.dumps(self._history),
            "gen_ai.output.messages": output,
            **more,
        }
        self._add("chat", attributes, kind=3)

    def told_twice(self, text: str) -> None:
        """A model call that two instrumentations saw: the client's span inside the framework's."""
        self.says(text)
        inner = self._spans[-1]
        self.says(text)
        outer_id = self._id(self._count)
        self._spans[-2] = inner.replace(self.span_id, outer_id, 1)

    def hands_over(self, to: str) -> None:
        """A hand-off to another agent."""
        self._add(f"handoff {to}", {"gen_ai.operation.name": "handoff", "gen_ai.handoff.to_agent": to})

    def mcp(self, tool: str, *, failed: bool = False) -> None:
        """A call of a tool on a server: its client's span."""
        self._add(f"tools/call {tool}", {"mcp.method.name": "tools/call", "gen_ai.tool.name": tool}, kind=3, failed=failed)

    def tool_over_mcp(self, tool: str, arguments: str, result: str) -> None:
        """A tool's span with the client's span inside it."""
        self.mcp(tool)
        inner = self._spans[-1]
        self.tool(f"call_{self._count}", tool, {"q": arguments}, result)
        self._spans[-2] = inner.replace(self.span_id, self._id(self._count), 1)

    def inside(self, name: str, run_s: float) -> None:
        """The span of an agent run that ends now and began `run_s` ago."""
        self._count += 1
        attributes: dict[str, encode.Value] = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": name}
        start = self._now_ns - int(run_s * 1e9)
        self._spans.append(self._span(self._id(self._count), self.span_id, f"invoke_agent {name}", start, attributes, 1))
        self._now_ns += 1_000_000


def _claiming(trace_id: bytes) -> bytes:
    run = Run(trace_id, "booker", NS)
    run.says("Let me see.", tools=TOOLS)
    run.call("search", {"q": "Rome"}, "one flight")
    run.says(BOOKED)
    return run.end()


def _claiming_late_in_a_conversation(trace_id: bytes) -> bytes:
    """Two turns of one trace; the tools are declared in the second, and the claim is taken back in neither."""
    run = Run(trace_id, "booker", NS)
    run.says("Hello, where do you want to go today?")
    run.says(BOOKED, calls=(("call_s", "search"),))
    run.tool("call_s", "search", {"q": "Rome"}, "one flight")
    run.says("There is one flight.", tools=TOOLS)
    return run.end()


def _resuming(trace_id: bytes) -> bytes:
    """The conversation is older than the trace: what is missing may have been done before."""
    run = Run(trace_id, "booker", NS)
    run._history.append({"role": "tool", "parts": [{"type": "tool_call_response", "id": "call_old", "response": "ok"}]})
    run.says(BOOKED, tools=TOOLS)
    return run.end()


def _walking(trace_id: bytes) -> bytes:
    run = Run(trace_id, "reader", NS)
    for page in range(6):
        run.call("list_orders", {"page": page}, LONG)
    return run.end()


def _paraphrasing(trace_id: bytes) -> bytes:
    run = Run(trace_id, "talker", NS)
    for number in range(6):
        run.says(SAME[number % 2])
    return run.end()


def _parroting(trace_id: bytes) -> bytes:
    run = Run(trace_id, "talker", NS)
    for _ in range(4):
        run.says(SAME[0])
    return run.end()


def _circling(trace_id: bytes) -> bytes:
    run = Run(trace_id, "triage", NS)
    for _ in range(4):
        run.hands_over("billing")
        run.hands_over("support")
    run.says("Nobody can help you.")
    return run.end()


def _nesting(trace_id: bytes) -> bytes:
    """Five runs of one agent, each asked for by a model call of the one around it."""
    run = Run(trace_id, "thinker", NS)
    for _ in range(5):
        run.says("")
    run.call("search", {"q": "x"}, "something")
    for depth in range(1, 5):
        run.inside("thinker", 1.0 + 0.4 * depth)
    return run.end()


def _degraded(trace_id: bytes, text: str, finish: str) -> bytes:
    run = Run(trace_id, "writer", NS)
    run.call("search", {"q": "x"}, "something")
    run.says(text, finish=finish)
    return run.end()


def _iterating(trace_id: bytes) -> bytes:
    run = Run(trace_id, "worker", NS)
    for number in range(12):
        run.call("search", {"q": f"the {number}th".encode().hex()}, f"answer {number}")
    return run.end()


def _told_twice(trace_id: bytes) -> bytes:
    """Model calls and MCP calls that two spans tell of; nothing in it is wrong."""
    run = Run(trace_id, "worker", NS)
    run.told_twice("Let me look for what was ordered last week by this customer.")
    run.tool_over_mcp("search", "a", "something")
    run.told_twice("There was an order for two chairs, a table and one lamp.")
    run.tool_over_mcp("search", "b", "something else")
    return run.end()


def _looping_over_mcp(trace_id: bytes) -> bytes:
    run = Run(trace_id, "worker", NS)
    for _ in range(4):
        run.says("")
        run.mcp("lookup", failed=True)
    run.says("It does not answer.")
    return run.end()


def _refused(trace_id: bytes) -> bytes:
    """A call that was answered with an error, and an agent of that name later on."""
    run = Run(trace_id, "clerk", NS)
    run.says("", calls=(("call_r", "delete_all"),))
    answer: dict[str, object] = {"type": "tool_call_response", "id": "call_r", "response": "Error: Tool 'delete_all' not found"}
    run._history.append({"role": "tool", "parts": [answer]})
    run.says("That cannot be done.")
    return run.end()


def past(number: int) -> bytes:
    """One of the runs from which is learned what is usual."""
    run = samples.Agent(b"past" + bytes([number]) * 12, "regular", NS - 10**15)
    run.call("search", {"q": number}, f"result {number}")
    run.chat("Here is what was found, in a sentence.", tokens=(900 + number, 60))
    return run.end()


def _unlike(trace_id: bytes) -> bytes:
    """An agent with a past: without its usual tool, with many times its tokens, its time and its model calls."""
    run = samples.Agent(trace_id, "regular", NS)
    for number in range(7):
        run.chat(f"Thinking about part {number} of the whole.", tokens=(9_000, 60))
        run.wait(10)
    return run.end()


def written() -> list[bytes]:
    """One trace each."""
    failing = samples.Agent(b"f" * 16, "clerk", NS)
    for _ in range(4):
        failing.call("book", {"id": 1}, "no", error="Timeout")
    forgetful = samples.Agent(b"g" * 16, "clerk", NS, expected=("search",))
    forgetful.chat(calls=[("call_x", "calculate", {})])
    forgetful.chat("done")
    cycling = samples.Agent(b"h" * 16, "clerk", NS)
    for _ in range(4):
        cycling.call("search", {"q": 1}, "same")
        cycling.call("calculate", {"q": 1}, "same")
    makers = (samples.healthy, samples.looping, samples.skipping, samples.spiking)
    made = [make(bytes([number]) * 16, NS) for number, make in enumerate(makers, start=1)]
    runs = (
        _claiming,
        _claiming_late_in_a_conversation,
        _resuming,
        _walking,
        _paraphrasing,
        _parroting,
        _circling,
        _nesting,
        lambda trace_id: _degraded(trace_id, "", "stop"),
        lambda trace_id: _degraded(trace_id, "It goes on and", "length"),
        lambda trace_id: _degraded(trace_id, ROUND, "stop"),
        _iterating,
        _told_twice,
        _looping_over_mcp,
        _refused,
        _unlike,
    )
    more = [make(bytes([number]) * 16) for number, make in enumerate(runs, start=128)]
    return [*made, failing.end(), forgetful.end(), cycling.end(), *more]
