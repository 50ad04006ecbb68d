"""The load generator, in a process of its own: a fixed number of batches over OTLP gRPC, several calls in flight.

At full speed, or at a fixed rate.

Prints `ready` when everything is made and the warm-up is through, waits for a line, sends, prints one line of JSON.
A refusal that OTLP calls retryable is retried after the delay that it names.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import sys
import time
from collections.abc import Coroutine, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np
import uvloop
from google.rpc import error_details_pb2, status_pb2

from benchmarks.payload import SEED, SENT, SHAPES, Batch, Payload, sent_rows
from benchmarks.sinks import EXPORT, GRPC_OPTIONS

RETRYABLE: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED)
SEND_S_MAX: Final = 120.0  # warm-up, and the load: a contender that refuses everything must end too
RETRY_S: Final = 0.1


@dataclass(slots=True)
class Sent:
    """What the generator did. `late_ms_max` is how far it fell behind a fixed rate: over a few ms, its delays say nothing."""

    spans: int = 0
    seconds: float = 0.0
    retries: int = 0
    refusal: str = ""
    failed: int = 0
    error: str = ""
    late_ms_max: float = 0.0


class Sender:
    """Sends batches over one channel and remembers when each first set out."""

    def __init__(self, target: str) -> None:
        channel: Any = grpc.aio.insecure_channel(target, options=GRPC_OPTIONS)
        self._channel = channel
        self._export = channel.unary_unary(EXPORT)
        self.sent = Sent()
        self.started_ns: dict[int, int] = {}

    async def closed_loop(self, batches: Iterable[tuple[int, Batch]], inflight: int) -> None:
        """*inflight* calls at a time, each followed at once by the next."""
        source = iter(batches)

        async def work() -> None:
            for number, batch in source:
                await self._send(number, batch)

        await asyncio.gather(*(work() for _ in range(inflight)))

    async def paced(self, batches: Iterable[tuple[int, Batch]], spans_per_second: float) -> None:
        """Each batch at its own time, whatever became of those before."""
        start, spans, calls = time.monotonic(), 0, list[asyncio.Task[None]]()
        for number, batch in batches:
            due = start + spans / spans_per_second
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self.sent.late_ms_max = max(self.sent.late_ms_max, (time.monotonic() - due) * 1e3)
            calls.append(asyncio.create_task(self._send(number, batch)))
            spans += batch.span_ids.shape[0] * batch.span_ids.shape[1]
        await asyncio.gather(*calls)

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()

    async def _send(self, number: int, batch: Batch) -> None:
        self.started_ns[number] = time.monotonic_ns()
        while True:
            try:
                await self._export(batch.body)
            except grpc.aio.AioRpcError as error:
                if error.code() not in RETRYABLE:
                    self.sent.failed += 1
                    self.sent.error = f"{error.code().name}: {error.details()}"
                    return
                self.sent.retries += 1
                self.sent.refusal = f"{error.code().name}: {error.details()}"
                await asyncio.sleep(_retry_delay_s(error))
            else:
                self.sent.spans += batch.span_ids.shape[0] * batch.span_ids.shape[1]
                return


def _retry_delay_s(error: grpc.aio.AioRpcError) -> float:
    """Seconds that the server asks for in RetryInfo, else RETRY_S."""
    metadata: Any = error.trailing_metadata() or ()
    for key, value in metadata:
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                info = error_details_pb2.RetryInfo()
                if detail.Unpack(info):
                    return float(info.retry_delay.seconds + info.retry_delay.nanos / 1e9)
    return RETRY_S


def _write_ledger(path: Path, batches: list[Batch], started_ns: dict[int, int], warm: int) -> None:
    """What was sent and when: `rows` (SENT), `started_ns` by batch number, and how many batches were `warm`-up."""
    rows = sent_rows(batches) if batches else np.zeros(0, dtype=SENT)
    starts = np.array([started_ns.get(number, 0) for number in range(len(batches))], dtype="<i8")
    np.savez(path, rows=rows, started_ns=starts, warm=warm)


async def _within_limit(sender: Sender, sending: Coroutine[Any, Any, None]) -> None:
    """Await *sending* for SEND_S_MAX; what is not through by then has failed."""
    try:
        async with asyncio.timeout(SEND_S_MAX):
            await sending
    except TimeoutError:
        sender.sent.failed += 1
        sender.sent.error = f"not all was taken within {SEND_S_MAX:.0f} s; last refusal: {sender.sent.refusal or 'none'}"


async def _run(options: argparse.Namespace) -> None:
    shape = SHAPES[options.shape]
    payload = Payload(shape, seed=options.seed, start_ns=time.time_ns())
    count = max(1, options.spans // shape.spans_per_batch)
    warm = list(payload.batches(options.warm_up // shape.spans_per_batch))
    if options.looping:
        warm += Payload(SHAPES["looping"], seed=options.seed + 1, start_ns=time.time_ns()).batches(1)
    source: Iterator[Batch] = payload.batches(count)
    kept = warm + ([] if options.lazy else list(source))
    main = source if options.lazy else iter(kept[len(warm) :])
    sender = Sender(options.target)
    await _within_limit(sender, sender.closed_loop(enumerate(warm), options.inflight))
    warmed, sender.sent = sender.sent, Sent()
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    start = time.monotonic()
    numbered = zip(itertools.count(len(warm)), main, strict=False)
    sending = sender.paced(numbered, options.rate) if options.rate else sender.closed_loop(numbered, options.inflight)
    await _within_limit(sender, sending)
    sender.sent.seconds = time.monotonic() - start
    sender.sent.failed += warmed.failed
    sender.sent.retries += warmed.retries
    sender.sent.refusal = sender.sent.refusal or warmed.refusal
    sender.sent.error = sender.sent.error or warmed.error
    print(json.dumps(asdict(sender.sent) | {"span_bytes": round(payload.span_bytes, 1)}), flush=True)
    if options.ledger:
        _write_ledger(Path(options.ledger), kept, sender.started_ns, len(warm))
    await sender.close()


def main() -> None:
    """Send what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", required=True, help="host:port")
    parser.add_argument("--shape", choices=sorted(SHAPES), default="512")
    parser.add_argument("--spans", type=int, required=True)
    parser.add_argument("--warm-up", type=int, default=0, help="spans sent before `ready`")
    parser.add_argument("--looping", action="store_true", help="end the warm-up with one trace of an agent that loops")
    parser.add_argument("--inflight", type=int, default=8)
    parser.add_argument("--rate", type=float, default=0.0, help="spans a second; 0: as fast as it is taken")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--lazy", action="store_true", help="make batches while sending: for loads that are not to be kept in memory")
    parser.add_argument("--ledger", default="", help="file for what was sent (.npz)")
    uvloop.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
