"""A model server that follows a script and bills for it, and an OTLP collector that keeps bodies: what an agent talks to in these tests.

One script at a time: `POST /begin/<scenario>` starts it. What comes in until the next belongs to it: requests to the model in any
protocol of `protocols.py`, `POST /v1/traces` and `/v1/logs` as an exporter sends them. It listens on a free port of 127.0.0.1.
"""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.frameworks.protocols import PROTOCOLS, Answer, Asked, Protocol, ToolCall
from tests.frameworks.scenarios import HANDOFF, SCENARIOS, Call, Scenario, Turn, Usage, usage

DONE = Turn("I am done.")
FINAL_ANSWER = "final_answer"
HANDOFF_WORDS = ("transfer", "handoff", "hand_off", "delegate", "booker")


@dataclass
class Seen:
    """What the server saw of one run. `answered` are the tool answers of all histories, by call id."""

    scenario: Scenario
    asked: list[Asked] = field(default_factory=list)
    billed: list[Usage] = field(default_factory=list)
    usage_sent: list[bool] = field(default_factory=list)
    requested: list[ToolCall] = field(default_factory=list)
    answered: dict[str, str] = field(default_factory=dict)
    traces: list[bytes] = field(default_factory=list)
    logs: list[bytes] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


class ModelServer:
    """`with ModelServer() as server:` listens; `server.seen` has every run by scenario."""

    def __init__(self) -> None:
        self.seen: dict[str, Seen] = {}
        self._now: Seen | None = None
        self._lock = threading.Lock()
        server = self

        class Handler(_Handler):
            owner = server

        self._http = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)

    def __enter__(self) -> ModelServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def begin(self, scenario: str) -> None:
        """Start the script of *scenario*."""
        self._now = self.seen[scenario] = Seen(SCENARIOS[scenario])

    @property
    def now(self) -> Seen:
        """The run that is on."""
        assert self._now is not None, "POST /begin/<scenario> comes first"
        return self._now

    def answer(self, asked: Asked) -> Answer:
        """The next turn of the script, as an answer to *asked*; what is asked and billed is kept.

        A request without tools is an aside (a title for the conversation), which the script leaves alone.
        """
        with self._lock:
            seen = self.now
            played = sum(bool(each.tools) for each in seen.asked)
            is_scripted = asked.tools and played < len(seen.scenario.turns)
            answer = _answer(len(seen.asked), seen.scenario.turns[played] if is_scripted else DONE, asked)
            seen.asked.append(asked)
            seen.billed.append(answer.usage if asked.has_reasoning else replace(answer.usage, reasoning=0))
            seen.usage_sent.append(asked.wants_usage)
            seen.requested += answer.calls
            seen.answered.update(asked.answers)
            return answer


def _answer(number: int, turn: Turn, asked: Asked) -> Answer:
    calls = [_call(f"call_{number}_{index}", call, asked.tools) for index, call in enumerate(turn.calls)]
    text = turn.text
    if FINAL_ANSWER in asked.tools and not calls:  # an agent that may only end by this tool
        calls, text = [ToolCall(f"call_{number}_final", FINAL_ANSWER, {"answer": text})], ""
    return Answer(number, asked.model, text, calls, usage(number, turn))


def _call(call_id: str, call: Call, tools: Mapping[str, Any]) -> ToolCall:
    """*call* with the name that the tool was declared by: a hand-off is what leads to the second agent, arguments as its schema wants."""
    if call.tool == HANDOFF:
        name = next((name for name in tools if any(word in name for word in HANDOFF_WORDS)), "transfer_to_booker")
        schema = tools.get(name) or {}
        wanted = schema.get("required") or schema.get("properties") or ()
        return ToolCall(call_id, name, {key: "booker" if "agent" in key else "Book flight AZ 611." for key in wanted})
    declared = next((name for name in tools if name == call.tool or name.endswith((f"-{call.tool}", f"_{call.tool}"))), call.tool)
    return ToolCall(call_id, declared, call.arguments)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Clients that hang up, as processes that end do, are no fault; what a request did wrong is in `faults`."""


class _Handler(BaseHTTPRequestHandler):
    owner: ModelServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:  # the name is the library's
        chunked = self.headers.get("Transfer-Encoding") == "chunked"
        body = b"".join(self._chunks()) if chunked else self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        path = self.path.partition("?")[0]
        try:
            self._route(path, body)
        except Exception as error:
            self.owner.now.faults.append(f"{path}: {type(error).__name__}: {error}")
            self._send(500, "application/json", b'{"error": {"message": "the scripted model did not understand"}}')

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def do_GET(self) -> None:
        self._send(404, "application/json", b"{}")

    def _route(self, path: str, body: bytes) -> None:
        if path.startswith("/begin/"):
            self.owner.begin(path.removeprefix("/begin/"))
        elif path.endswith("/v1/traces"):  # Langfuse has a path of its own before it
            self.owner.now.traces.append(body)
        elif path.endswith("/v1/logs"):
            self.owner.now.logs.append(body)
        else:
            protocol = next(found for end, found in PROTOCOLS.items() if end in path)
            self._model(protocol, path, json.loads(body))
            return
        self._send(200, "application/x-protobuf", b"")

    def _model(self, protocol: Protocol, path: str, body: dict[str, Any]) -> None:
        asked = protocol.read(path, body)
        answer = self.owner.answer(asked)
        if not asked.stream:
            self._send(200, "application/json", json.dumps(protocol.write(answer)).encode())
            return
        events = protocol.events(answer, asked)
        lines = [f"event: {name}\n" * bool(name) + f"data: {json.dumps(event)}\n\n" for name, event in events]
        self._send(200, "text/event-stream", "".join(lines).encode() + protocol.ends)

    def _send(self, status: int, media: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""
