"""Requests that arrive together: worked on together, answered apart."""

from __future__ import annotations

import asyncio

import pytest

from otel_ext import samples
from otel_ext.dialects import KEYS, RULES
from otel_ext.errors import MalformedPayload, Overloaded
from otel_ext.intake import JOINED_BYTES_MAX, Intake
from otel_ext.model import Receipt
from otel_ext.wire import encode, make_codec
from otel_ext.wire.table import Flag, Scan

NS = 1_800_000_000_000_000_000


class Worker:
    """Counts passes and spans; can be told to refuse."""

    def __init__(self) -> None:
        self.passes: list[int] = []
        self.origins: list[object] = []
        self.error: Exception | None = None
        self.intake = Intake(make_codec(KEYS, RULES), self.work)

    def work(self, payload: bytes, scan: Scan, origin: object) -> Receipt:
        self.origins.append(origin)
        if self.error:
            raise self.error
        bad = int((scan.spans["flags"] & Flag.INVALID_ID != 0).sum())
        self.passes.append(len(scan.spans))
        return Receipt(len(scan.spans) - bad, bad)

    async def together(self, *payloads: bytes) -> list[Receipt | BaseException]:
        return await asyncio.gather(*(self.intake.take(payload) for payload in payloads), return_exceptions=True)


def request(number: int) -> bytes:
    return samples.healthy(number.to_bytes(16, "big"), NS)


async def test_small_requests_share_a_pass() -> None:
    """Three requests of six spans are one pass over eighteen, and every span is accounted for once."""
    worker = Worker()
    receipts = await worker.together(*map(request, (1, 2, 3)))
    assert worker.passes == [18]
    assert sum(receipt.accepted for receipt in receipts if isinstance(receipt, Receipt)) == 18


async def test_a_malformed_request_costs_its_neighbours_nothing() -> None:
    """It alone is refused, with the byte of its own payload."""
    worker = Worker()
    good, bad, also_good = await worker.together(request(1), request(2)[:-3], request(3))
    assert isinstance(bad, MalformedPayload)
    assert bad.at < len(request(2))
    assert (good, also_good) == (Receipt(6), Receipt(6))


async def test_a_refused_span_is_told_to_its_own_sender() -> None:
    """partial_success must name the request that held it."""
    span = encode.span(b"", b"", b"", "no ids", NS, NS, {})
    worker = Worker()
    good, partly = await worker.together(request(1), encode.request({}, "s", "", [span]))
    assert good == Receipt(6)
    assert partly == Receipt(0, 1)


async def test_overload_refuses_all_of_a_pass() -> None:
    """Nothing of any of them was kept, and each is told so."""
    worker = Worker()
    worker.error = Overloaded("full", 1.0)
    assert all(isinstance(answer, Overloaded) for answer in await worker.together(request(1), request(2)))


async def test_a_large_request_goes_alone() -> None:
    """Joining it would cost more than it saves."""
    worker = Worker()
    large = encode.request({"padding": "x" * JOINED_BYTES_MAX}, "s", "", [])
    await worker.together(request(1), large + request(2), request(3))
    assert sorted(worker.passes) == [6, 12]


@pytest.mark.parametrize("count", [1, 65, 200])
async def test_every_request_is_answered(count: int) -> None:
    """However many wait at once."""
    worker = Worker()
    receipts = await worker.together(*map(request, range(1, count + 1)))
    assert sum(receipt.accepted for receipt in receipts if isinstance(receipt, Receipt)) == 6 * count


async def test_a_sender_that_left_stops_nobody() -> None:
    """Its request was taken all the same; the others get their answers."""
    worker = Worker()
    gone = asyncio.ensure_future(worker.intake.take(request(1)))
    stays = asyncio.ensure_future(worker.intake.take(request(2)))
    await asyncio.sleep(0)
    gone.cancel()
    assert isinstance(await stays, Receipt)
