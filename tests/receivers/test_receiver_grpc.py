"""OTLP/gRPC only: method names, details, compression."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from otel_ext.receivers.grpc import EXPORT, OTHER_SIGNALS

UNIMPLEMENTED = 12


@pytest.mark.parametrize(("method", "signal"), OTHER_SIGNALS.items())
async def test_other_signals_are_unimplemented_with_a_sentence(house: Any, method: str, signal: str) -> None:
    """Metrics, logs and profiles: UNIMPLEMENTED, which senders do not retry, and a sentence that says why."""
    outcome = await house._send_grpc(b"", method=method)
    assert outcome.code == UNIMPLEMENTED
    assert "only traces" in outcome.status.message
    assert signal in outcome.status.message
    assert house.stats.grpc.refused_requests == {"other_signal": 1}


async def test_other_methods_are_unimplemented(house: Any) -> None:
    """A method that does not exist is UNIMPLEMENTED."""
    assert (await house._send_grpc(b"", method="/a.B/C")).code == UNIMPLEMENTED


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_every_compression_of_grpc_is_taken(house: Any, make: Any, compression: grpc.Compression) -> None:
    """None and gzip MUST be supported; deflate comes with grpcio."""
    answer = await house.channel.unary_unary(EXPORT)(make(200).SerializeToString(), compression=compression)
    assert answer == b""
    assert house.consumer.requests == [make(200)]


async def test_a_stream_without_a_message_is_refused(house: Any) -> None:
    """A call that ends before its message (grpcio refused it, or none was sent) is no empty request: it is refused and counted."""
    call = house.channel.stream_unary(EXPORT)(iter([]))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert house.stats.grpc.accepted_requests == 0


async def test_a_call_given_up_by_its_sender_leaves_nothing_behind(house: Any, make: Any) -> None:
    """A cancelled call frees what it held; the next one is served."""
    house.consumer.gate = asyncio.Event()
    call = house.channel.unary_unary(EXPORT)(make(1, padding=500_000).SerializeToString())
    await house.consumer.arrived()
    call.cancel()
    house.consumer.gate.set()
    await asyncio.sleep(0.1)
    assert house.grpc._in_flight.held_bytes == 0
    assert (await house.link("grpc").export(make(1))).code == 0


async def test_messages_that_are_not_ascii_survive(house: Any, make: Any) -> None:
    """The message of a refusal reaches the sender whatever language it is in."""
    from otel_ext.errors import Refused

    house.consumer.error = Refused("voll", "Größe überschritten \n" + "é" * 2000)
    outcome = await house.link("grpc").export(make(1))
    assert "Größe überschritten" in outcome.status.message
    assert len(outcome.status.message) <= 1000
