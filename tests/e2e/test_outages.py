"""Destinations that die, are slow, refuse, come back: nothing is lost, nothing doubled by us, and the other one never notices."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from otel_ext import samples
from tests.e2e.app import EXPORTERS, KEPT, App, exporter_to, shop_trace
from tests.e2e.kit import PUBLIC_KEY, SECRET_KEY, Inside, Langfuse, Stage, Tempo, config, new_trace, spans_of, status_of, until

Start = Callable[[dict[str, Any]], Inside]
Pair = tuple[Tempo, Langfuse]


def run(trace_id: bytes) -> bytes:
    return samples.healthy(trace_id, time.time_ns() - 10_000_000_000)


def send(sidecar: Inside, count: int) -> list[str]:
    """Send *count* runs; their trace ids."""
    ids = [new_trace() for _ in range(count)]
    for trace_id in ids:
        sidecar.export(run(trace_id))
    return [trace_id.hex() for trace_id in ids]


def each_once(double: Tempo | Langfuse, ids: list[str]) -> bool:
    """Every span of these traces was accepted; fails where one was twice."""
    counts = [double.counts(trace_id) for trace_id in ids]
    assert {count for each in counts for count in each.values()} <= {1}
    return all(len(each) == len(samples_of(trace_id)) for each, trace_id in zip(counts, ids, strict=True))


def samples_of(trace_id: str) -> set[str]:
    return {span.span_id.hex() for span in spans_of(ExportTraceServiceRequest.FromString(run(bytes.fromhex(trace_id))))}


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_langfuse_does_not_notice_that_tempo_is_dead(stage: Stage, destinations: Pair, inside: Start, protocol: str) -> None:
    """Langfuse gets everything at once; Tempo gets everything, once, when it is back."""
    tempo, langfuse = destinations
    sidecar = inside(config(tempo, langfuse, protocol=protocol))
    stage.run(tempo.stop())
    ids = send(sidecar, 5)
    until(lambda: each_once(langfuse, ids), "Langfuse")
    assert tempo.spans == []
    stage.run(tempo.start())
    until(lambda: each_once(tempo, ids), "Tempo")


def test_readiness_says_who_is_down(stage: Stage, destinations: Pair, inside: Start) -> None:
    """503 with the row of the dead one, its backlog and a short reason, while the other is ready; 200 once it is back."""
    tempo, langfuse = destinations
    sidecar = inside(config(tempo, langfuse))
    assert sidecar.ready()[0] == 200
    stage.run(tempo.stop())
    send(sidecar, 3)
    until(lambda: sidecar.ready()[0] == 503, "503")
    until(lambda: not sidecar.ready()[1]["langfuse"]["queue_size"], "Langfuse to be served")
    rows = sidecar.ready()[1]
    assert (rows["tempo"]["ready"], rows["langfuse"]["ready"]) == (False, True)
    assert rows["tempo"]["queue_size"] == 3
    assert rows["tempo"]["last_error"] == "UNAVAILABLE"
    assert sidecar.get("/health")[0] == 200
    stage.run(tempo.start())
    until(lambda: sidecar.ready()[0] == 200, "200")
    assert sidecar.ready()[1]["tempo"]["queue_size"] == 0


def test_a_slow_tempo_slows_nobody(destinations: Pair, inside: Start) -> None:
    """While each of its answers takes a second, senders are answered and Langfuse has everything; Tempo gets each span once."""
    tempo, langfuse = destinations
    tempo.delay_s = 1.0
    sidecar = inside(config(tempo, langfuse))
    ids = send(sidecar, 20)
    until(lambda: each_once(langfuse, ids), "Langfuse")
    assert len(tempo.spans) < len(langfuse.spans)
    tempo.delay_s = 0.0
    until(lambda: each_once(tempo, ids), "Tempo")


def test_tempo_restarts_under_traffic(stage: Stage, destinations: Pair, inside: Start) -> None:
    """Stopped and started three times while spans flow: both have each span once."""
    tempo, langfuse = destinations
    sidecar = inside(config(tempo, langfuse, protocol="http"))
    ids: list[str] = []
    enough = threading.Event()

    def traffic() -> None:
        while not enough.is_set():
            ids.extend(send(sidecar, 1))

    sender = threading.Thread(target=traffic)
    sender.start()
    for _ in range(3):
        before = len(ids)
        until(lambda before=before: len(ids) > before + 10)
        stage.run(tempo.stop(grace_s=1))
        before = len(ids)
        until(lambda before=before: len(ids) > before + 10)
        stage.run(tempo.start())
    enough.set()
    sender.join()
    until(lambda: sidecar.delivered(), "delivery")
    assert set().union(*(double.counts(trace_id).values() for double in (tempo, langfuse) for trace_id in ids)) == {1}
    assert all(len(tempo.of(trace_id)) == len(langfuse.of(trace_id)) == len(samples_of(trace_id)) for trace_id in ids)


def full(tempo: Tempo, langfuse: Langfuse, inside: Start, stage: Stage) -> tuple[Inside, list[str]]:
    """A sidecar whose queue to a dead Tempo holds two batches, and is full; the traces it took."""
    tree = config(tempo, langfuse, shutdown_timeout="2s")
    tree["exporters"]["tempo"]["queue_batches"] = 2
    stage.run(tempo.stop())
    sidecar = inside(tree)
    return sidecar, send(sidecar, 2)


def test_a_full_queue_refuses_over_grpc(stage: Stage, destinations: Pair, inside: Start) -> None:
    """UNAVAILABLE with RetryInfo: a sender keeps its data and comes back."""
    sidecar, _ = full(*destinations, inside, stage)
    with pytest.raises(grpc.RpcError) as caught:
        sidecar.call(run(new_trace()))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    info = RetryInfo()
    assert status_of(caught.value).details[0].Unpack(info)
    assert info.retry_delay.ToNanoseconds() > 0
    stage.run(destinations[0].start())


@pytest.mark.parametrize("media", ["application/x-protobuf", "application/json"])
def test_a_full_queue_refuses_over_http(stage: Stage, destinations: Pair, inside: Start, media: str) -> None:
    """503 with Retry-After, and a google.rpc.Status in the encoding of the request."""
    sidecar, _ = full(*destinations, inside, stage)
    status, body, headers = sidecar.post(b'{"resourceSpans": []}' if "json" in media else run(new_trace()), media)
    assert (status, headers["Content-Type"]) == (503, media)
    assert int(headers["Retry-After"]) >= 1
    assert (json.loads(body)["code"] if "json" in media else Status.FromString(body).code) == grpc.StatusCode.UNAVAILABLE.value[0]
    stage.run(destinations[0].start())


def test_nothing_of_a_refused_request_is_kept(stage: Stage, destinations: Pair, inside: Start) -> None:
    """Refused is refused for all: Langfuse, findings and metrics know nothing of it, and sent again it arrives once."""
    tempo, langfuse = destinations
    sidecar, taken = full(tempo, langfuse, inside, stage)
    again = new_trace()
    data = samples.looping(again, time.time_ns() - 10_000_000_000)
    names = ("otel_ext_findings_total", "llm_tokens_used_total", "mcp_tool_duration_seconds_count", "otelcol_receiver_accepted_spans_total")
    before = {name: sidecar.value(name) for name in names}
    for _ in range(3):
        assert sidecar.post(data)[0] == 503
    assert {name: sidecar.value(name) for name in names} == before
    stage.run(tempo.start())
    until(lambda: sidecar.post(data)[0] == 200, "the queue to have room")
    until(sidecar.delivered, "delivery")
    assert each_once(tempo, taken)
    assert each_once(langfuse, taken)
    for double in destinations:
        assert set(double.counts(again.hex()).values()) == {1}
    assert sidecar.value("otel_ext_findings_total") == 1
    assert len(langfuse.scores_of(again.hex())) == 1


def test_each_destination_has_the_queue_it_was_given(destinations: Pair, inside: Start) -> None:
    """`queue_batches` of one destination bounds that destination's queue, and /metrics says so."""
    tree = config(*destinations)
    tree["exporters"]["tempo"]["queue_batches"], tree["exporters"]["langfuse"]["queue_batches"] = 3, 7
    sidecar = inside(tree)
    rows = sidecar.ready()[1]
    assert {name: rows[name]["queue_capacity"] for name in rows if rows[name]["essential"]} == {"tempo": 3, "langfuse": 7}
    assert sidecar.value("otelcol_exporter_queue_capacity", exporter="tempo") == 3
    assert sidecar.value("otelcol_exporter_queue_capacity", exporter="langfuse") == 7


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_langfuse_is_asked_again(destinations: Pair, inside: Start, status: int) -> None:
    """What fails for now is sent again, also after the 500 of its storage; each span is stored once."""
    tempo, langfuse = destinations
    langfuse.fail_next(2, status)
    langfuse.fail_next(2, status, lane="scores")
    sidecar = inside(config(tempo, langfuse))
    trace_id = new_trace()
    sidecar.export(samples.looping(trace_id, time.time_ns() - 10_000_000_000))
    until(sidecar.delivered, "delivery")
    assert set(langfuse.counts(trace_id.hex()).values()) == {1}
    assert len(langfuse.score_posts) == 1
    assert [request.status for request in langfuse.requests if request.lane == "spans"] == [status, status, 200]


def test_a_poison_span_is_isolated(destinations: Pair, inside: Start) -> None:
    """Tempo refuses any push that holds it: the others are delivered once, that one is counted, Langfuse has them all."""
    tempo, langfuse = destinations
    ids = [new_trace() for _ in range(4)]
    poison = sorted(samples_of(ids[2].hex()))[3]
    tempo.poison = bytes.fromhex(poison)
    sidecar = inside(config(tempo, langfuse))
    for trace_id in ids:
        sidecar.export(run(trace_id))
    until(sidecar.delivered, "delivery")
    for trace_id in ids:
        assert tempo.counts(trace_id.hex()) == dict.fromkeys(samples_of(trace_id.hex()) - {poison}, 1)
        assert langfuse.counts(trace_id.hex()) == dict.fromkeys(samples_of(trace_id.hex()), 1)
    assert sidecar.value("otelcol_exporter_send_failed_spans_total", exporter="tempo") == 1
    assert sidecar.samples("otel_ext_dropped_total", what="spans to tempo", reason="bad_data")[0].value == 1
    assert sidecar.ready()[0] == 200


def test_a_span_larger_than_tempos_limit_is_isolated(stage: Stage, destinations: Pair, inside: Start) -> None:
    """One span over max_receive_message_length costs itself alone."""
    tempo, langfuse = destinations
    sidecar = inside(config(tempo, langfuse))
    agent = samples.Agent(new_trace(), "wordy", time.time_ns() - 10_000_000_000)
    agent.chat("short")
    agent.chat("long " * 1_000_000)
    sidecar.export(agent.end())
    until(sidecar.delivered, "delivery")
    assert len(tempo.of(agent.trace_id.hex())) == 2
    assert len(langfuse.of(agent.trace_id.hex())) == 3
    assert sidecar.value("otelcol_exporter_send_failed_spans_total", exporter="tempo") == 1


def test_wrong_keys_are_a_permanent_refusal(destinations: Pair, inside: Start) -> None:
    """401 is not sent again: counted, /ready says so, Tempo has everything, and the queue does not fill."""
    tempo, langfuse = destinations
    tree = config(tempo, langfuse)
    tree["exporters"]["langfuse"] |= {"public_key": PUBLIC_KEY, "secret_key": "wrong"}
    sidecar = inside(tree)
    ids = send(sidecar, 2)
    until(lambda: each_once(tempo, ids), "Tempo")
    until(sidecar.delivered, "the refusal")
    status, rows = sidecar.ready()
    assert (status, rows["langfuse"]["ready"], rows["langfuse"]["last_error"]) == (503, False, "unauthenticated")
    assert sidecar.value("otelcol_exporter_send_failed_spans_total", exporter="langfuse") == sum(len(samples_of(each)) for each in ids)
    assert SECRET_KEY not in sidecar.get("/ready")[1]


def test_without_scores_none_is_sent(destinations: Pair, inside: Start) -> None:
    """`scores: false` leaves that lane off; the observation is marked all the same."""
    tempo, langfuse = destinations
    tree = config(tempo, langfuse)
    tree["exporters"]["langfuse"]["scores"] = False
    sidecar = inside(tree)
    sidecar.export(samples.looping(new_trace(), time.time_ns() - 10_000_000_000))
    until(lambda: sidecar.delivered() and langfuse.spans, "delivery")
    assert langfuse.score_posts == []
    assert any("langfuse.observation.level" in span.attributes for span in langfuse.spans.values())


@pytest.mark.parametrize("name", ["grpc", "http"])
def test_a_real_sender_outlasts_a_full_queue(stage: Stage, destinations: Pair, inside: Start, name: str) -> None:
    """The SDK's exporter obeys the delay it is told, sends again, and each of its spans arrives once."""
    tempo, langfuse = destinations
    sidecar, _ = full(tempo, langfuse, inside, stage)
    processor = BatchSpanProcessor(exporter_to(sidecar, name))
    trace_id = shop_trace(App(processor))
    flushing = threading.Thread(target=processor.force_flush)
    flushing.start()
    until(lambda: sidecar.samples("otel_ext_dropped_total", what="request", reason="overloaded"), "a refusal")
    stage.run(tempo.start())
    flushing.join()
    processor.shutdown()
    until(sidecar.delivered, "delivery")
    assert sorted(tempo.counts(trace_id).values()) == [1] * 10
    assert sorted(langfuse.counts(trace_id).values()) == [1] * 5


def test_many_senders_at_once_lose_and_double_nothing(destinations: Pair, inside: Start) -> None:
    """Eight applications over all transports, at the same time: each span once in Tempo, each agent step once in Langfuse.

    Where an export ends inside a trace, a span that Langfuse would not get follows its child there, so that the tree is whole.
    """
    tempo, langfuse = destinations
    sidecar = inside(config(tempo, langfuse))
    ids: list[str] = []

    def application(name: str) -> None:
        processor = BatchSpanProcessor(exporter_to(sidecar, name), schedule_delay_millis=5)
        app = App(processor)
        ids.extend(shop_trace(app) for _ in range(20))
        assert processor.force_flush()
        processor.shutdown()

    senders = [threading.Thread(target=application, args=(name,)) for name in EXPORTERS * 2]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    until(sidecar.delivered, "delivery")
    assert len(ids) == 160
    assert {tuple(tempo.counts(trace_id).values()) for trace_id in ids} == {(1,) * 10}
    assert {count for trace_id in ids for count in langfuse.counts(trace_id).values()} == {1}
    assert all(KEPT.keys() <= {span.name for span in langfuse.of(trace_id).values()} for trace_id in ids)


def test_tempo_does_not_notice_that_langfuse_is_dead(stage: Stage, destinations: Pair, inside: Start) -> None:
    """Tempo gets everything at once; Langfuse gets its spans and its scores, once, when it is back."""
    tempo, langfuse = destinations
    sidecar = inside(config(tempo, langfuse))
    stage.run(langfuse.stop())
    ids = send(sidecar, 3)
    bad = new_trace()
    sidecar.export(samples.looping(bad, time.time_ns() - 10_000_000_000))
    until(lambda: each_once(tempo, ids) and len(tempo.of(bad.hex())) == 14, "Tempo")
    stage.run(langfuse.start())
    until(sidecar.delivered, "delivery")
    assert each_once(langfuse, ids)
    assert set(langfuse.counts(bad.hex()).values()) == {1}
    assert len(langfuse.score_posts) == 1


def test_a_verdict_waits_while_the_queue_is_full(stage: Stage, destinations: Pair, inside: Start) -> None:
    """Nothing is judged that could not be told: when there is room again the finding is told, everywhere, once."""
    tempo, langfuse = destinations
    tree = config(tempo, langfuse, shutdown_timeout="2s", detect={"tool_skipping": {"settle": "60s"}})
    tree["exporters"]["tempo"]["queue_batches"] = 1
    sidecar = inside(tree)
    stage.run(tempo.stop())
    agent = samples.Agent(new_trace(), "careless", time.time_ns() - 10_000_000_000)
    agent.chat(calls=[("call_a", "refund", {"order": 1})])
    agent.chat("Refunded.")
    sidecar.export(agent.end())
    sidecar.pass_time(61)
    assert sidecar.value("otel_ext_findings_total") == 0
    stage.run(tempo.start())
    name = "otel_ext finding tool_skipping/requested_not_executed"
    until(lambda: tempo.named(agent.trace_id.hex(), name), "the finding span")
    until(sidecar.delivered, "delivery")
    assert sidecar.value("otel_ext_findings_total") == 1
    assert len(langfuse.score_posts) == 1
