"""Invariant: for every byte string, native and pure give the same columns, rewrites, errors and byte index, and neither crashes.

`python -m tests.fuzz.wire --seconds 60 --seed 1` damages real and made payloads; exits 1 with the payload in a file where they differ.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence

from otel_ext.errors import MalformedPayload
from otel_ext.wire import encode
from otel_ext.wire.fields import LEN
from otel_ext.wire.reader import pieces
from tests.wire import build
from tests.wire.sample import KEYS, NativeCodec, assert_alike, codecs, real_payloads

_PAYLOAD_BYTES_MAX = 20_000  # longer ones make the pure codec the bottleneck
_WORDS = [key.name.encode() for key in KEYS]
_WORDS += [b'"parts":[', b'{"type":"tool_call",', b"\\u00e9", b"}]", b'"tool_call_id":', b'"isError":true', b"\x0a", b"\xff" * 9, b"\x80"]
_WORDS += [
    b'"toolUse":{',
    b'"function":{',
    b'{"type":"tool_use",',
    b'"call_id":',
    b'"output":[',
    b'"content":',
    b"gen_ai.choice",
    b'["length"]',
]


def _seeds() -> list[bytes]:
    messages = (
        '[{"parts":[{"type":"text","content":"a"},{"type":"tool_call","id":"c","name":"f\\u00e9","arguments":{"q":[1]}},'
        '{"type":"tool_call_response","id":"c","result":"unknown tool"}]},'
        '{"content":"b","tool_calls":[{"id":"d","function":{"name":"g","arguments":"{}"}}],"tool_call_id":"e"}]'
    )
    chat = {"gen_ai.operation.name": "chat", "gen_ai.output.messages": messages, "gen_ai.input.messages": messages, "cost": "1.5"}
    flat = {"openinference.span.kind": "LLM", "otel_ext.expected_tools": ["a", "b"], "error": True, "langfuse.trace_id": 1}
    for prefix in ("llm.output_messages.0.message.", "llm.input_messages.1.message."):
        flat |= {prefix + "content": "x", prefix + "contents.0.message_content.text": "y", prefix + "tool_call_id": "c1"}
        flat |= {prefix + "tool_calls.0.tool_call.id": "c2", prefix + "tool_calls.0.tool_call.function.name": "f"}
    wrapped = '{"type":"tool","data":{"content":"a\\u00e9","tool_call_id":"c","status":"error"},"kwargs":{"is_error":true},"isError":false}'
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.call.arguments": "{}", "gen_ai.tool.call.result": wrapped}
    mcp = {"mcp.method.name": "tools/call", "gen_ai.tool.name": "f", "gen_ai.tool.call.arguments": '{"page": 12}'}
    placed = {
        "name": "a\\n",
        "calls": [{"id": "c", "arguments": "{}"}],
        "usage": {"in": 3, "cost": 0.5},
        "finish": ["length"],
        "tools": [{"name": "t"}],
        "messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "x"}]}],
    }
    others = {
        "gen_ai.operation.name": "chat",
        "all": json.dumps(placed),
        "repr": "id='c' name=f",
        "finish": '["length"]',
        "net": 5,
        "cached": 2,
    }
    said = [{"text": "It is booked."}, {"toolUse": {"toolUseId": "c", "name": "f", "input": {"q": 1.5}}}]
    events = [build.event("gen_ai.choice", {"message": said}), build.event("gen_ai.tool.message", {"content": json.dumps(said)})]
    spans = [
        encode.span(b"\1" * 16, bytes([own]) * 8, b"\2" * 8, "agent a run", 1, 2, one, extra=events)
        for own, one in enumerate((chat, flat, tool, mcp, others), 2)
    ]
    made = encode.request({"service.name": "s"}, "lib.x", "1", spans)
    real = [payload for payload in real_payloads(3) if len(payload) < _PAYLOAD_BYTES_MAX]
    return [made] * (1 + len(real) // 4) + real


def deep_damage(payload: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """*payload* damaged inside one nested field, with every length around it put right, so that the damage is reached."""
    try:
        nested = [piece for piece in pieces(payload, 0, len(payload)) if piece.tag & 7 == LEN]
    except MalformedPayload:
        nested = []
    if not nested or rng.random() < 0.1:
        return damage(payload, rng, others)
    piece = rng.choice(nested)
    content = deep_damage(payload[piece.start : piece.end], rng, others)
    return payload[: piece.mid] + encode.varint(len(content)) + content + payload[piece.end :]


def damage(payload: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """*payload* with a few random edits: bytes set, runs cut, doubled or replaced by words of the format."""
    data = bytearray(payload)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.randint(1, 40))
        edit = rng.randrange(7)
        if edit == 0:
            data[at:end] = bytes(rng.randrange(256) for _ in range(end - at))
        elif edit == 1:
            del data[at:end]
        elif edit == 2:
            data[at:at] = data[at:end]
        elif edit == 3:
            data[at:at] = rng.choice(_WORDS)
        elif edit == 4 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif edit == 5:
            other = rng.choice(others)
            start = rng.randrange(len(other))
            data[at:end] = other[start : start + end - at]
        elif rng.random() < 0.1:
            del data[at:]
    return bytes(data)


def run(seconds: float, seed: int) -> int:
    """Number of payloads tried; raises AssertionError at the first difference."""
    rng = random.Random(seed)
    seeds = _seeds()
    deadline = time.monotonic() + seconds
    tried = 0
    while time.monotonic() < deadline:
        payload = rng.choice(seeds)
        for _ in range(rng.randint(1, 4)):
            payload = deep_damage(payload, rng, seeds)
        try:
            assert_alike(codecs(), payload, tried)
        except BaseException:
            with tempfile.NamedTemporaryFile(prefix="wire-", suffix=".pb", delete=False) as file:
                file.write(payload)
            print(f"seed {seed}, case {tried}: {file.name}", file=sys.stderr)
            raise
        tried += 1
    return tried


def main() -> int:
    """Exit code 0 when nothing differed, 2 where there is no native codec to compare with."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if NativeCodec is None:
        print("the native codec was not built", file=sys.stderr)
        return 2
    print(f"{run(arguments.seconds, arguments.seed)} payloads, no difference")
    return 0


if __name__ == "__main__":
    sys.exit(main())
