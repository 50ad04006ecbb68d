"""Key table, payloads and comparison that the tests of both codecs share."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_ext.errors import MalformedPayload
from otel_ext.model import StepKind
from otel_ext.wire import Codec, encode, make_codec
from otel_ext.wire.pure import PureCodec
from otel_ext.wire.table import SPAN, Column, Field, IdColumn, Key, Limits, NameRule, Scan

try:
    from otel_ext.wire.native import NativeCodec
except ImportError:
    NativeCodec = None  # type: ignore[assignment,misc]

needs_native = pytest.mark.skipif(NativeCodec is None, reason="the native codec was not built")

LLM, TOOL, AGENT, MCP = StepKind.LLM, StepKind.TOOL, StepKind.AGENT, StepKind.MCP
_OPERATIONS = {"chat": LLM, "execute_tool": TOOL, "invoke_agent": AGENT, "embeddings": StepKind.EMBEDDING, "handoff": StepKind.HANDOFF}

KEYS = (
    Key("gen_ai.operation.name", Field.KIND, 0, _OPERATIONS),
    Key("openinference.span.kind", Field.KIND, 1, {"LLM": LLM, "TOOL": TOOL, "AGENT": AGENT, "CHAIN": StepKind.CHAIN}),
    Key("mcp.method.name", Field.KIND, -1, {"tools/call": MCP, "tools/list": MCP}),
    Key("x.kind", Field.KIND, 2, {"LLM": LLM, "TOOL": TOOL}, path=("kind", 0), scope="lib"),
    Key("gen_ai.operation.name", Field.OPERATION),
    Key("gen_ai.tool.name", Field.TOOL),
    Key("tool.name", Field.TOOL, 1),
    Key("gen_ai.response.model", Field.MODEL),
    Key("gen_ai.request.model", Field.MODEL, 1),
    Key("llm.model_name", Field.MODEL, 1),
    Key("gen_ai.agent.name", Field.AGENT),
    Key("service.name", Field.SERVICE),
    Key("gen_ai.tool.call.id", Field.CALL_ID),
    Key("gen_ai.tool.call.arguments", Field.ARGUMENTS),
    Key("input.value", Field.ARGUMENTS, 1, kinds=(TOOL,)),
    Key("gen_ai.tool.call.result", Field.RESULT),
    Key("output.value", Field.RESULT, 1, kinds=(TOOL,)),
    Key("output.value", Field.OUTPUT, 2, kinds=(LLM, AGENT)),
    Key("gen_ai.output.messages", Field.OUTPUT_MESSAGES),
    Key("llm.output_messages.", Field.FLAT_OUTPUT, 1),
    Key("gen_ai.input.messages", Field.INPUT_MESSAGES),
    Key("llm.input_messages.", Field.FLAT_INPUT, 1, kinds=(LLM,)),
    Key("gen_ai.usage.input_tokens", Field.INPUT_TOKENS),
    Key("llm.token_count.prompt", Field.INPUT_TOKENS, 1),
    Key("gen_ai.usage.output_tokens", Field.OUTPUT_TOKENS),
    Key("llm.token_count.completion", Field.OUTPUT_TOKENS, 1),
    Key("cached", Field.CACHED_TOKENS),
    Key("reasoning", Field.REASONING_TOKENS),
    Key("cost", Field.COST),
    Key("gen_ai.conversation.id", Field.CONVERSATION),
    Key("error", Field.ERROR),
    Key("error.type", Field.ERROR, values={"timeout": 1}),
    Key("success", Field.ERROR, values={"false": 1}),
    Key("tool.type", Field.REFUSED, values={"BaseTool": 1, "true": 1}),
    Key("refused", Field.REFUSED),
    Key("tool.call", Field.KIND, 8, {"": TOOL, "none": StepKind.CHAIN}),
    Key("otel_ext.expected_tools", Field.TEXT, 1),
    Key("langfuse.trace_id", Field.MARK, 0),
    Key("tool.mark", Field.MARK, 3, kinds=(TOOL,)),
    Key("net", Field.INPUT_TOKENS_NET, 1),
    Key("written", Field.CACHE_WRITE_TOKENS),
    Key("user.id", Field.USER),
    Key("finish", Field.FINISH, values={"length": 1, "max_tokens": 1}),
    Key("gen_ai.tool.definitions", Field.DECLARED, kinds=(LLM, AGENT)),
    Key("llm.tools.", Field.FLAT_DECLARED),
    Key("scoped", Field.TOOL, 2, scope="lib"),
    Key("all", Field.OUTPUT_MESSAGES, 3, path=()),
    Key("all", Field.OUTPUT, 4),
    Key("all", Field.TOOL, 3, path=("name",)),
    Key("all", Field.CALL_ID, 3, path=("calls", 0, "id")),
    Key("all", Field.ARGUMENTS, 3, path=("calls", 0, "arguments")),
    Key("all", Field.RESULT, 3, path=("result",), kinds=(TOOL, MCP)),
    Key("all", Field.INPUT_TOKENS, 3, path=("usage", "in")),
    Key("all", Field.COST, 3, path=("usage", "cost")),
    Key("all", Field.ERROR, 3, path=("error",)),
    Key("all", Field.USER, 3, path=("user",)),
    Key("all", Field.TEXT, 2, path=("texts",)),
    Key("all", Field.MARK, 4, path=("mark",)),
    Key("all", Field.FINISH, values={"length": 1}, path=("finish",)),
    Key("all", Field.DECLARED, path=("tools",)),
    Key("all", Field.INPUT_MESSAGES, 3, path=("messages",)),
    Key("repr", Field.CALL_ID, 4, between=("id='", "'")),
    Key("repr", Field.TOOL, 4, between=("name=", "")),
    Key("repr", Field.ARGUMENTS, 4, path=("text",), between=("", " -> ")),
    Key("message", Field.OUTPUT_MESSAGES, 2, event="gen_ai.choice", kinds=(LLM, AGENT)),
    Key("message", Field.RESULT, 2, event="gen_ai.choice", kinds=(TOOL,)),
    Key("content", Field.INPUT_MESSAGES, 2, event="gen_ai.tool.message", kinds=(LLM,)),
    Key("content", Field.ARGUMENTS, 2, event="gen_ai.tool.message", kinds=(TOOL,)),
    Key("finish_reason", Field.FINISH, values={"max_tokens": 1}, event="gen_ai.choice"),
    Key("gen_ai.completion.", Field.FLAT_OUTPUT, 4),
    Key("llm.tools.9.name", Field.TOOL, 9),
)
RULES = (
    NameRule("execute_tool ", TOOL, Field.TOOL),
    NameRule("agent ", AGENT, Field.AGENT, scope="lib.", suffix=" run"),
    NameRule("tools/call ", None, Field.TOOL, kinds=(MCP,)),
    NameRule("running ", None, Field.TOOL, kinds=(TOOL,)),
    NameRule("", StepKind.CHAIN, kinds=(StepKind.OTHER,), scope="chains"),
)
LIMITS = Limits(depth_max=5, names_max=400, name_bytes_max=16, requests_max=3, answers_max=4)


def codecs(limits: Limits = LIMITS) -> list[Codec]:
    """The pure codec, and the native one where it was built, both fresh."""
    pure: list[Codec] = [PureCodec(KEYS, RULES, limits)]
    return pure if NativeCodec is None else [*pure, NativeCodec(KEYS, RULES, limits)]


def scan_outcome(codec: Codec, payload: bytes) -> object:
    """Everything a scan tells, in a form that compares: bytes of columns, or reason and index."""
    try:
        return flatten(codec.scan(payload))
    except MalformedPayload as error:
        return error.reason, error.at


def flatten(scan: Scan) -> list[object]:
    """A Scan as plain values."""
    arrays = (scan.spans, scan.steps, scan.step_rows, scan.groups, scan.requests, scan.answers, scan.declared, scan.scopes)
    return [*(array.tobytes() for array in arrays), scan.trace_ids, scan.texts, scan.overflow]


def outcome(call: Callable[[], bytes]) -> object:
    """The bytes of a rewrite, or what it raised."""
    try:
        return call()
    except MalformedPayload as error:
        return error.reason, error.at
    except ValueError as error:
        return str(error)


def rewrite_outcomes(codec: Codec, payload: bytes, rows: int, seed: int) -> list[object]:
    """Splice and project with choices drawn from *seed*; *rows* may be wrong."""
    rng = np.random.default_rng(seed)
    fragments = [b"", b"\x4a\x07\x0a\x01k\x12\x02\x18\x01", b"\x4a\x02\x0a\x00" * 40]
    columns: list[Column] = [(rng.integers(0, 3, rows), fragments), (rng.integers(0, 2 + seed % 3, rows).astype("<u2"), fragments[:2])]
    columns.insert(1, IdColumn(rng.integers(0, 2, rows).astype("u1"), *encode.id_attribute("url", "http://x/{trace_id}/y")))
    columns.append(IdColumn(rng.integers(0, 2, rows + (seed % 7 == 0)) == 1, *encode.id_attribute("own.id", digits=16), of_span=True))
    keep = rng.integers(0, 2, rows).astype("u1")
    parents = rng.choice(np.array([0, 1, 2**63, 0x0102030405060708], "<u8"), rows)
    return [
        outcome(lambda: codec.splice(payload, columns)),
        outcome(lambda: codec.splice(payload, [])),
        outcome(lambda: codec.splice(payload, columns[:1])),
        outcome(lambda: codec.project(payload, keep, parents, columns)),
        outcome(lambda: codec.project(payload, keep, parents, [])),
    ]


def assert_alike(codecs: list[Codec], payload: bytes, seed: int = 0) -> object:
    """Every codec says the same of *payload* in every call; gives what they say of the scan."""
    first, *others = [scan_outcome(codec, payload) for codec in codecs]
    assert all(other == first for other in others)
    rows = len(first[0]) // SPAN.itemsize if isinstance(first, list) else seed % 5
    one, *more = [rewrite_outcomes(codec, payload, rows, seed) for codec in codecs]
    assert all(other == one for other in more)
    return first


def names_of(codec: Codec, count: int) -> list[str]:
    """The first *count* interned names."""
    return [codec.name(number) for number in range(count)]


def from_json(line: str) -> bytes:
    """OTLP/JSON, whose ids are hex, as protobuf."""
    document = json.loads(line)
    for resource in document.get("resourceSpans", ()):
        for scope in resource.get("scopeSpans", ()):
            for span in scope.get("spans", ()):
                for one in [span, *span.get("links", ())]:
                    for name in ("traceId", "spanId", "parentSpanId"):
                        if name in one:
                            one[name] = base64.b64encode(bytes.fromhex(one[name])).decode()
    message = json_format.ParseDict(document, ExportTraceServiceRequest(), ignore_unknown_fields=True)
    return message.SerializeToString()


_SHARED = Path(__file__).resolve().parents[3] / "shared"


def real_payloads(limit: int = 40) -> Iterator[bytes]:
    """Payloads of real runs, where this checkout has them beside it."""
    files = sorted((_SHARED / "captures").glob("*/S?.otlp.jsonl.gz")) + sorted((_SHARED / "data").glob("*.otlp.jsonl.gz"))
    for path in files:
        with gzip.open(path, "rt") as lines:
            for _, line in zip(range(limit), lines, strict=False):
                yield from_json(line)


__all__ = ["KEYS", "LIMITS", "RULES", "assert_alike", "codecs", "from_json", "make_codec", "needs_native", "real_payloads"]
