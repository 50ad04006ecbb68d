"""Halving: the bad span stands alone, every good one is delivered once."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_ext.errors import Refused, Unreachable
from otel_ext.exporters.base import Record
from otel_ext.exporters.delivery import Delivery, DeliveryOptions
from otel_ext.exporters.halving import CodecHalver
from otel_ext.exporters.log import MemoryLog
from otel_ext.wire import Codec
from tests.exporters.kit import CODECS, TRACE_ID, FakeDestination, FakeTime, numbers, payload, refuse_if


async def deliver(
    destination: FakeDestination, *batches: bytes, options: DeliveryOptions | None = None, codec: Codec = CODECS[-1]
) -> Delivery:
    time = FakeTime()
    log = MemoryLog(1, queue_batches=1_000, queue_bytes=1 << 30)
    delivery = Delivery(destination, log.reader(0), CodecHalver(codec), time.runtime, options or DeliveryOptions(linger_s=0))
    await delivery.start()
    for batch in batches:
        log.append(Record((batch,), (len(numbers(batch)),)))
    left = await time.run(delivery.drain(1_000))
    assert left.records == 0
    return delivery


@given(st.data())
@settings(max_examples=60, deadline=None)
async def test_every_good_span_is_delivered_once(data: st.DataObject) -> None:
    """Whatever the positions of the bad ones, however the batches were cut, and whenever the destination was away."""
    sizes = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=4))
    total = sum(sizes)
    bad = data.draw(st.sets(st.integers(1, total), max_size=6))
    codec = data.draw(st.sampled_from(CODECS))
    every = iter(range(1, total + 1))
    batches = [payload(*(next(every) for _ in range(size))) for size in sizes]
    refuse, moods = refuse_if(bad), iter(data.draw(st.lists(st.booleans(), max_size=20)))

    def judge(request: bytes) -> None:
        if next(moods, False):
            raise Unreachable("UNAVAILABLE")
        refuse(request)

    destination = FakeDestination(judge=judge)
    delivery = await deliver(destination, *batches, codec=codec)
    assert sorted(destination.spans()) == sorted(set(range(1, total + 1)) - bad)
    assert delivery.stats.failed_spans == ({"bad_data": len(bad)} if bad else {})
    assert delivery.stats.sent_spans == total - len(bad)
    assert {int.from_bytes(span.span_id, "big") for span in delivery.quarantine} == bad


async def test_one_bad_span_costs_two_requests_a_halving() -> None:
    """512 spans, one bad: 9 halvings, and no request more."""
    destination = FakeDestination(judge=refuse_if({300}))
    await deliver(destination, payload(*range(1, 513)))
    assert len(destination.attempts) == 1 + 2 * 9


async def test_quarantine_keeps_ids_and_no_content() -> None:
    """Reason, size and ids: what somebody needs to find the span, nothing that an agent said."""
    destination = FakeDestination(judge=refuse_if({2}))
    delivery = await deliver(destination, payload(1, 2, 3, text="my password is hunter2"))
    (bad,) = delivery.quarantine
    assert (bad.reason, bad.trace_id, bad.span_id) == ("bad_data", TRACE_ID, (2).to_bytes(8, "big"))
    assert bad.size_bytes == len(payload(2, text="my password is hunter2"))
    assert "hunter2" not in repr(bad)


async def test_quarantine_is_bounded() -> None:
    """The last ones stay, the others are counted."""
    destination = FakeDestination(judge=refuse_if(set(range(1, 9))))
    delivery = await deliver(destination, payload(*range(1, 9)), options=DeliveryOptions(linger_s=0, quarantine_max=3))
    assert (len(delivery.quarantine), delivery.quarantine.dropped) == (3, 5)


@pytest.mark.parametrize("codec", CODECS)
def test_halves_keep_every_byte_of_their_spans(codec: Codec) -> None:
    """Resource, scope, unknown fields and parents stay; both halves together have each span once, in order."""
    unknown = b"\xfa\x3e\x03abc"  # field 1007 of the request's own level
    data = payload(1, 0, 2) + payload(3, 4, trace_id=b"z" * 16, text="kept") + unknown
    cut = CodecHalver(codec).halves(data)
    assert cut is not None
    assert (cut[0].spans, cut[1].spans) == (2, 3)
    assert (numbers(cut[0].payload), numbers(cut[1].payload)) == ([1, 0], [2, 3, 4])
    assert cut[1].payload.count(b"kept") == 2
    assert CodecHalver(codec).halves(payload(1)) is None
    assert CodecHalver(codec).ids(payload(0)) == (b"", bytes(8))


async def test_too_large_is_halved_too() -> None:
    """A message limit that is lower than ours costs requests, not spans."""

    def judge(data: bytes) -> None:
        if len(data) > 300:
            raise Refused("too_large", "HTTP 413", bad_data=True)

    destination = FakeDestination(judge=judge)
    delivery = await deliver(destination, payload(*range(1, 101)))
    assert sorted(destination.spans()) == list(range(1, 101))
    assert delivery.stats.failed_spans == {}


async def test_over_64_mib_is_never_sent_whole() -> None:
    """OTLP 1.11: a request over 64 MiB MUST NOT be sent."""
    destination = FakeDestination()
    await deliver(destination, payload(1, 2, text="x" * (40 << 20)))
    assert [numbers(data) for data in destination.attempts] == [[1], [2]]


async def test_a_destination_that_takes_nothing_is_not_flooded() -> None:
    """A server that dislikes every request gets a bounded number of them; all spans are counted."""
    destination = FakeDestination(judge=refuse_if(set(range(1, 5_000))))
    options = DeliveryOptions(linger_s=0, request_bytes_max=1, concurrency=1)
    batches = [payload(*range(1 + 512 * index, 513 + 512 * index)) for index in range(5)]
    delivery = await deliver(destination, *batches, options=options)
    assert delivery.stats.failed_spans == {"bad_data": 5 * 512}
    assert len(destination.attempts) < 300 + 4 * 50


async def test_a_destination_that_takes_data_again_is_trusted_again() -> None:
    """After a success a batch with many bad spans is cut as finely as ever."""
    bad = {*range(1, 513), *range(1_000, 1_064, 2)}
    destination = FakeDestination(judge=refuse_if(bad))
    options = DeliveryOptions(linger_s=0, request_bytes_max=1, concurrency=1)
    delivery = await deliver(destination, payload(*range(1, 513)), payload(600), payload(*range(1_000, 1_064)), options=options)
    assert sorted(destination.spans()) == [600, *range(1_001, 1_064, 2)]
    assert delivery.stats.failed_spans == {"bad_data": 512 + 32}


async def test_a_payload_that_cannot_be_cut_is_counted() -> None:
    """A refused request without a span to isolate is lost as a whole, by the destination's reason."""
    destination = FakeDestination(judge=refuse_if({1}))
    delivery = await deliver(destination, payload(1))
    assert delivery.stats.failed_spans == {"bad_data": 1}
    assert delivery.stats.healthy
