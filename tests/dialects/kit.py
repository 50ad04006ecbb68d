"""One span by hand, through the real tables and codecs, as plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from otel_ext.dialects import KEYS, RULES
from otel_ext.dialects.base import CALLS, MODELS
from otel_ext.dialects.declared import tool_names
from otel_ext.model import StepKind
from otel_ext.wire import Codec, encode
from otel_ext.wire.names import hashed
from otel_ext.wire.pure import PureCodec
from otel_ext.wire.table import Flag, Limits, Scan, StepFlag

try:
    from otel_ext.wire.native import NativeCodec
except ImportError:
    NativeCodec = None  # type: ignore[assignment,misc]

Attributes = Mapping[str, encode.Value]
CODECS = ["pure", pytest.param("native", marks=pytest.mark.skipif(NativeCodec is None, reason="the native codec was not built"))]


def codec_of(kind: str) -> Codec:
    return NativeCodec(KEYS, RULES, Limits()) if kind == "native" else PureCodec(KEYS, RULES, Limits())


@dataclass(frozen=True)
class Case:
    """A span as an instrumentation writes it, and what is to be read from it. Only what is in `seen` is compared."""

    dialect: str
    name: str
    attributes: Attributes
    seen: Mapping[str, object]
    scope: str = "app"
    events: Sequence[tuple[str, Attributes]] = field(default=())
    status: int = 0
    kind: int = 1

    def payload(self) -> bytes:
        events = [encode.event(name, 1, attributes) for name, attributes in self.events]
        attributes = dict(self.attributes)
        span = encode.span(
            bytes([1]) * 16, bytes([2]) * 8, b"", self.name, 1, 2, attributes, kind=self.kind, status=self.status, extra=events
        )
        return encode.request({"service.name": "shop"}, self.scope, "", [span])


def see(codec: Codec, payload: bytes) -> dict[str, object]:
    """The first span of *payload*. Values that leave the wire as hashes are hashes here: compare with `hashed`."""
    scan = codec.scan(payload)
    row = scan.spans[0]
    seen: dict[str, object] = {
        "kind": StepKind(int(row["kind"])),
        "step": len(scan.steps) > 0,
        "error": bool(row["flags"] & Flag.ERROR),
        "cost": None if math.isnan(row["cost"]) else float(row["cost"]),
        "call_id": int(row["call_id"]),
        "arguments": int(row["arguments"]),
        "result": int(row["result"]),
        "output": int(row["output"]),
    }
    for name in ("tool", "model", "agent", "operation"):
        seen[name] = codec.name(int(row[name]))
    for name in ("input", "output", "cached", "cache_write", "reasoning"):
        count = int(row[f"{name}_tokens"])
        seen[f"{name}_tokens"] = None if count < 0 else count
    for name in ("conversation", "user"):
        at, size = int(row[f"{name}_at"]), int(row[f"{name}_len"])
        seen[name] = payload[at : at + size].decode()
    seen["requests"] = [(codec.name(int(r["tool"])), int(r["call_id"])) for r in scan.requests]
    seen["answers"] = [(int(a["call_id"]), bool(a["refused"])) for a in scan.answers]
    seen["declared"] = declared(payload, scan)
    flags = int(scan.steps[0]["flags"]) if len(scan.steps) else 0
    seen["truncated"] = seen["kind"] in MODELS and bool(flags & StepFlag.TRUNCATED)
    seen["refused"] = seen["kind"] in CALLS and bool(flags & StepFlag.REFUSED)
    return seen


def declared(payload: bytes, scan: Scan) -> list[str]:
    """Names of the tools declared anywhere in the payload, in order."""
    found: dict[str, None] = {}
    for row in scan.declared:
        at, size = int(row["at"]), int(row["len"])
        found.update(dict.fromkeys(tool_names(payload[at : at + size], int(row["how"]))))
    return list(found)


HASHES = ("call_id", "arguments", "result", "output")


def expected(seen: Mapping[str, object]) -> dict[str, object]:
    """*seen* in the terms of `see`: texts of hashed fields as hashes."""
    wanted = dict(seen)
    for name in HASHES:
        if isinstance(text := wanted.get(name), str):
            wanted[name] = hashed(text.encode())
    if "requests" in wanted:
        wanted["requests"] = [(tool, hashed(call.encode())) for tool, call in wanted["requests"]]  # type: ignore[attr-defined]
    if "answers" in wanted:
        wanted["answers"] = [(hashed(call.encode()), refused) for call, refused in wanted["answers"]]  # type: ignore[attr-defined]
    return wanted
