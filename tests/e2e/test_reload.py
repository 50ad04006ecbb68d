"""SIGHUP: rules, expectations and links change while connections stay; a bad file changes nothing and is told about."""

from __future__ import annotations

import http.client
import signal
import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest
import yaml

from otel_ext import samples
from otel_ext.receivers.grpc import EXPORT
from tests.e2e.kit import FREE, LINKS, Langfuse, Process, Stage, Tempo, attributes_of, config, new_trace, started, trace_id_of, until
from tests.e2e.test_commands import NOW_NS

Serve = Callable[..., Process]
FREE_PORTS = {f"OTEL_EXT_{name}__ENDPOINT": FREE for name in ("RECEIVERS__GRPC", "RECEIVERS__HTTP", "ADMIN")}
DONE, WAITING, KEPT = "was read again; in force now: ", "not in force before a restart: ", "was not read again"


def tell(sidecar: Process, tree: dict[str, Any] | str, word: str = DONE) -> str:
    """Write the configuration, send the signal; what the log says of it with *word* in it."""
    sidecar.file.write_text(tree if isinstance(tree, str) else yaml.safe_dump(tree))
    before = len(sidecar.log)
    sidecar.process.send_signal(signal.SIGHUP)
    line = until(lambda: next((line for line in sidecar.log[before:] if word in line["event"]), None), word)
    return str(line["event"])


def looping(times: int) -> bytes:
    return samples.looping(new_trace(), NOW_NS, times)


def rules_of(sidecar: Process, data: bytes) -> list[str]:
    return [line["rule"] for line in sidecar.findings(trace_id_of(data))]


def detecting(**sections: Any) -> dict[str, Any]:
    return {"detect": {"tool_skipping": {"settle": "0s"}, **sections}}


def test_rules_change_between_two_requests(serve: Serve) -> None:
    """What was no loop before is one after, and the other way round."""
    sidecar = serve(detecting(loop={"identical_calls": 6}), **FREE_PORTS)
    first, second, third = looping(4), looping(4), looping(4)
    sidecar.export(first)
    said = tell(sidecar, detecting(loop={"identical_calls": 3}))
    assert said.endswith("in force now: detect.loop.identical_calls")
    sidecar.export(second)
    until(lambda: "loop/identical_calls" in rules_of(sidecar, second), "the loop")
    assert "loop/identical_calls" not in rules_of(sidecar, first)
    tell(sidecar, detecting(loop={"identical_calls": 6}))
    sidecar.export(third)
    until(lambda: sidecar.value("otelcol_receiver_accepted_spans_total") >= 27, "the third")
    assert "loop/identical_calls" not in rules_of(sidecar, third)


def test_an_open_trace_is_judged_by_the_new_rules(serve: Serve) -> None:
    """Three calls under the old rule, one more under the new: four in a row are seen."""
    sidecar = serve(detecting(loop={"identical_calls": 8}), **FREE_PORTS)
    trace_id = new_trace()
    agent = samples.Agent(trace_id, "planner", NOW_NS)
    for _ in range(3):
        agent.call("search", {"q": "x"}, "nothing")
    sidecar.export(agent.end())
    tell(sidecar, detecting(loop={"identical_calls": 4}))
    assert not sidecar.findings(trace_id.hex())
    agent.call("search", {"q": "x"}, "nothing")
    sidecar.export(agent.end())
    found = until(lambda: sidecar.findings(trace_id.hex()), "the loop")
    assert [each["rule"] for each in found] == ["loop/identical_calls"]
    assert found[0]["evidence"]["repeats"] == 4


def test_expectations_change(serve: Serve) -> None:
    """A tool that is required from now on is missed from now on."""
    sidecar = serve(detecting(), **FREE_PORTS)
    before, after = samples.healthy(new_trace(), NOW_NS), samples.healthy(new_trace(), NOW_NS)
    sidecar.export(before)
    expectation = {"agent": "travel-*", "require": ["book"]}
    said = tell(sidecar, {"detect": {"tool_skipping": {"settle": "0s", "expectations": [expectation]}}})
    assert said.endswith("in force now: detect.tool_skipping.expectations")
    sidecar.export(after)
    until(lambda: rules_of(sidecar, after) == ["tool_skipping/expected"], "what was skipped")
    assert rules_of(sidecar, before) == []


def test_links_change_in_both_directions(destinations: tuple[Tempo, Langfuse], serve: Serve) -> None:
    """The next spans lead to the new addresses, in Tempo and in Langfuse."""
    tempo, langfuse = destinations
    sidecar = serve(config(tempo, langfuse))
    sidecar.export(samples.healthy(new_trace(), NOW_NS))
    moved = {"langfuse_url": "https://new.example", "langfuse_project": "q", "grafana_url": "https://graphs.example"}
    said = tell(sidecar, config(tempo, langfuse, links={**LINKS, **moved}))
    assert said.endswith("in force now: links.langfuse_url, links.langfuse_project, links.grafana_url")
    data = samples.healthy(new_trace(), NOW_NS)
    sidecar.export(data)
    agent = until(lambda: tempo.named(trace_id_of(data), "invoke_agent travel-planner"), "the span in Tempo")[0]
    assert attributes_of(agent)["langfuse.trace_url"] == f"https://new.example/project/q/traces/{trace_id_of(data)}"
    wire = until(lambda: [span for span in langfuse.wire if span.trace_id.hex() == trace_id_of(data)], "the span in Langfuse")
    found = [value for span in wire for key, value in attributes_of(span).items() if key.endswith("tempo_url")]
    assert found
    assert all(url.startswith("https://graphs.example/") for url in found)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("detect: {loop: {identical_calls: 99}}", "detect.loop.identical_calls: is 99, allowed are 2 to 16 (line 1)"),
        ("detect: [", "line 1: not valid YAML"),
        ("detect:\n  rules: [nowhere.to:Befound]", "detect.rules: nowhere.to:Befound: cannot be imported"),
    ],
)
def test_a_bad_file_keeps_the_old_one_and_says_so(serve: Serve, text: str, fault: str) -> None:
    """What is wrong, with its line; the metric says it too, until a good file comes."""
    sidecar = serve(detecting(loop={"identical_calls": 3}), **FREE_PORTS)
    assert fault in tell(sidecar, text, KEPT)
    assert sidecar.value("otel_ext_config_last_reload_successful") == 0
    data = looping(4)
    sidecar.export(data)
    until(lambda: "loop/identical_calls" in rules_of(sidecar, data), "the loop, by the old rule")
    assert tell(sidecar, detecting(loop={"identical_calls": 4})).endswith("detect.loop.identical_calls")
    assert sidecar.value("otel_ext_config_last_reload_successful") == 1


def test_a_file_that_is_gone_keeps_the_old_one(serve: Serve) -> None:
    """As a bad one does."""
    sidecar = serve(detecting(), **FREE_PORTS)
    sidecar.file.unlink()
    sidecar.process.send_signal(signal.SIGHUP)
    until(lambda: any(KEPT in line["event"] and sidecar.file.name in line["event"] for line in sidecar.log), "the complaint")
    assert sidecar.get("/health")[0] == 200


def test_what_cannot_be_reloaded_is_named(serve: Serve, destinations: tuple[Tempo, Langfuse]) -> None:
    """By its path: no value is told, because it may be a key. What can be, is, at the same time."""
    tempo, langfuse = destinations
    sidecar = serve(config(tempo, langfuse))
    other = config(tempo, langfuse, detect={"loop": {"identical_calls": 4}}, traces={"max_traces": 5})
    other["exporters"]["langfuse"]["secret_key"] = "sk-lf-another"
    other["links"]["store"] = "/nowhere/links.db"
    said = tell(sidecar, other, WAITING)
    assert said.endswith("before a restart: links.store, traces.max_traces, exporters.langfuse.secret_key")
    assert any(line["event"].endswith("in force now: detect.loop.identical_calls") for line in sidecar.log)
    assert "another" not in sidecar.stderr
    data = looping(5)
    sidecar.export(data)
    until(lambda: langfuse.of(trace_id_of(data)), "the trace, with the old key")


def test_no_connection_is_dropped_and_nothing_is_lost_or_doubled(stage: Stage, serve: Serve) -> None:
    """One gRPC channel and one HTTP connection, kept over ten readings of the file under traffic."""
    tempo = Tempo(stage)
    with started(stage, tempo):
        sidecar = serve(config(tempo))
        states: list[grpc.ChannelConnectivity] = []
        sent: list[str] = []
        over = threading.Event()
        with grpc.insecure_channel(sidecar.grpc) as channel:
            channel.subscribe(states.append, try_to_connect=True)
            until(lambda: grpc.ChannelConnectivity.READY in states, "the channel")
            kept = http.client.HTTPConnection(sidecar.http, timeout=10)
            kept.connect()
            socket = kept.sock
            sending = threading.Thread(target=_send, args=(channel, kept, sent, over))
            sending.start()
            for number in range(10):
                tell(sidecar, config(tempo, detect={"loop": {"max_iterations": 20 + number}}))
            over.set()
            sending.join(30)
            assert states[states.index(grpc.ChannelConnectivity.READY) :] == [grpc.ChannelConnectivity.READY]
            assert kept.sock is socket
            kept.close()
        assert len(sent) >= 20
        until(lambda: all(tempo.of(each) for each in sent), "every trace")
        assert {count for each in sent for count in tempo.counts(each).values()} == {1}


def _send(channel: grpc.Channel, kept: http.client.HTTPConnection, sent: list[str], over: threading.Event) -> None:
    """By turns, until it is over; what is refused raises, and there is no end of it."""
    export = channel.unary_unary(EXPORT)
    while not over.is_set():
        first, second = samples.healthy(new_trace(), NOW_NS), samples.healthy(new_trace(), NOW_NS)
        sent += [trace_id_of(first), trace_id_of(second)]
        export(first, timeout=10)
        kept.request("POST", "/v1/traces", second, {"Content-Type": "application/x-protobuf"})
        answer = kept.getresponse()
        answer.read()
        assert answer.status == 200
