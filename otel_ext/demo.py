"""`otel-ext demo`: a real sidecar on free ports, real OTLP to it over gRPC, and what it found."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Final, TextIO

from otel_ext import samples
from otel_ext.app import Sidecar
from otel_ext.exporters.otlp import OtlpGrpc
from otel_ext.model import Finding
from otel_ext.report import findings_table, links_of, table
from otel_ext.settings import NS_PER_S, Admin, Detect, GrpcReceiver, HttpReceiver, Links, Receivers, Settings, ToolSkipping

RUNS: Final[tuple[tuple[str, Callable[[bytes, int], bytes]], ...]] = (
    ("healthy: searches, calculates, answers", samples.healthy),
    ("looping: the same search six times", samples.looping),
    ("skipping: answers without the search it needs", samples.skipping),
    ("token spike: 41,000 tokens for one page", samples.spiking),
)
FREE: Final = "127.0.0.1:0"
SETTLED_S: Final = 0.6  # after it, verdicts that waited were given
LINKS: Final = Links(langfuse_url="http://localhost:3000", langfuse_project="demo", grafana_url="http://localhost:3001")


def run(out: TextIO) -> int:
    """Run the demo; the exit code."""
    return asyncio.run(_run(out))


def _settings() -> Settings:
    return Settings(
        receivers=Receivers(grpc=GrpcReceiver(endpoint=FREE), http=HttpReceiver(endpoint=FREE)),
        admin=Admin(endpoint=FREE),
        links=LINKS,
        detect=Detect(tool_skipping=replace(ToolSkipping(), settle=NS_PER_S // 5)),
    )


async def _run(out: TextIO) -> int:
    sidecar = Sidecar(_settings())
    found: list[Finding] = []
    sidecar.on_finding[:] = [found.append]
    await sidecar.start()
    addresses = sidecar.addresses
    print(f"sidecar: OTLP/gRPC on {addresses['OTLP/gRPC']}, metrics on http://{addresses['admin']}/metrics\n", file=out)
    client = OtlpGrpc(f"http://{addresses['OTLP/gRPC']}")
    await client.start()
    try:
        rows = [await _send(client, what, make) for what, make in RUNS]
        await asyncio.sleep(SETTLED_S)
    finally:
        await client.close()
        await sidecar.stop()
    print(table(rows, ["sent over OTLP/gRPC", "trace", "answer"]), end="\n\n", file=out)
    print(findings_table(found), end="\n\n", file=out)
    for finding in found[:1]:
        print(f"Where to look for {finding.rule} (with your own hosts under `links:`):", *links_of(finding, LINKS), sep="\n  ", file=out)
    print("\nThe healthy run raised nothing. `otel-ext serve` runs the same sidecar; README shows its configuration.", file=out)
    return 0


async def _send(destination: OtlpGrpc, what: str, make: Callable[[bytes, int], bytes]) -> list[str]:
    trace_id = uuid.uuid4().bytes
    answer = await destination.send(make(trace_id, time.time_ns() - 10 * NS_PER_S))
    return [what, trace_id.hex(), answer.message or "accepted"]
