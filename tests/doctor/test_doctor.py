"""The doctor uses what is configured, and says which part fails, and what to fix; a healthy one leaves a marked test trace behind."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from otel_ext.app import Sidecar
from otel_ext.configfile import build
from otel_ext.doctor import Finding, State, Surroundings, examine, told
from otel_ext.exporters.base import Runtime
from tests.doubles.alertmanager import AlertmanagerDouble
from tests.doubles.langfuse import LangfuseDouble
from tests.doubles.tempo import TempoDouble
from tests.doubles.tempo_query import TempoQuery
from tests.e2e.kit import command

TRACE_ID = bytes(range(1, 17))
NS = 1_000_000_000
CANARY = "sk-lf-canary"
OK, FAILED, SKIPPED = State.OK, State.FAILED, State.SKIPPED


class Clock:
    """Time that passes only in sleeps."""

    def __init__(self) -> None:
        self.now_ns = 1_790_000_000 * NS
        self.slept_s = 0.0

    async def sleep(self, seconds: float) -> None:
        self.slept_s += seconds
        self.now_ns += int(seconds * NS)
        await asyncio.sleep(0)

    def around(self, deadline_s: float = 60) -> Surroundings:
        runtime = Runtime(now_ns=lambda: self.now_ns, sleep=self.sleep, random=lambda: 0.5)
        return Surroundings(trace_id=TRACE_ID, deadline_s=deadline_s, runtime=runtime)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def langfuse() -> AsyncIterator[LangfuseDouble]:
    double = LangfuseDouble()
    await double.start()
    yield double
    await double.stop()


@pytest.fixture
async def tempo() -> AsyncIterator[TempoDouble]:
    double = TempoDouble()
    await double.start()
    yield double
    await double.stop()


@pytest.fixture
async def query(tempo: TempoDouble) -> AsyncIterator[TempoQuery]:
    double = TempoQuery(tempo)
    await double.start()
    yield double
    await double.stop()


def free_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def local() -> dict[str, Any]:
    """Ports that nobody has."""
    endpoints = [{"endpoint": f"127.0.0.1:{free_port()}"} for _ in range(3)]
    return {"receivers": {"grpc": endpoints[0], "http": endpoints[1]}, "admin": endpoints[2]}


def to_langfuse(server: LangfuseDouble, **more: Any) -> dict[str, Any]:
    return {"langfuse": {"host": server.host, "public_key": server.public_key, "secret_key": server.secret_key, **more}}


async def rows(clock: Clock, exporters: dict[str, Any], deadline_s: float = 60, **sections: Any) -> list[Finding]:
    """Of the destinations alone."""
    settings = build({**local(), "exporters": exporters, **sections}, {})
    found = await examine(settings, clock.around(deadline_s))
    assert [each.state for each in found[:3]] == [OK] * 3
    return found[3:]


def states(found: list[Finding]) -> list[State]:
    return [each.state for each in found]


def failure(found: list[Finding]) -> Finding:
    """The one that failed."""
    failed = [each for each in found if each.state is FAILED]
    assert len(failed) == 1, told(found)
    return failed[0]


# -- Langfuse


@pytest.mark.parametrize(("generation", "route"), [("v4", "v2 routes"), ("v3", "v1 routes")])
async def test_a_healthy_langfuse(clock: Clock, langfuse: LangfuseDouble, generation: str, route: str) -> None:
    """Of either generation: five checks, and the trace was read back; what was stored is marked as the doctor's."""
    langfuse.read.generation = generation
    found = await rows(clock, to_langfuse(langfuse))
    assert [each.check for each in found] == ["reachable", "server generation", "authorised", "takes a trace", "gives it back"]
    assert states(found) == [OK] * 5, told(found)
    assert route in found[-1].seen
    assert "project shop (project-1)" in found[2].seen
    stored = langfuse.spans[TRACE_ID.hex(), TRACE_ID[:8].hex()]
    assert stored.resource["service.name"] == "otel_ext-doctor"
    assert stored.parent_span_id == ""


async def test_a_trace_that_appears_late_is_waited_for(clock: Clock, langfuse: LangfuseDouble) -> None:
    """Within the deadline."""
    langfuse.read.blind = 6
    found = await rows(clock, to_langfuse(langfuse))
    assert states(found) == [OK] * 5
    assert 5 < clock.slept_s < 60


async def test_a_trace_that_is_taken_and_never_stored(clock: Clock, langfuse: LangfuseDouble) -> None:
    """The most frequent complaint: 200, and nothing to see. Exactly that is said, after the deadline."""
    langfuse.read.blind = 10_000
    failed = failure(await rows(clock, to_langfuse(langfuse), deadline_s=30))
    assert (failed.check, failed.seen) == ("gives it back", "not readable within 30 s")
    assert "worker" in failed.fix
    assert clock.slept_s <= 30


async def test_wrong_keys(clock: Clock, langfuse: LangfuseDouble) -> None:
    """Authorisation fails, what comes after is not tried, and no key is told."""
    found = await rows(clock, to_langfuse(langfuse, secret_key=CANARY))
    assert states(found) == [OK, OK, FAILED, SKIPPED, SKIPPED]
    assert "public_key and secret_key" in failure(found).fix
    assert CANARY not in told(found) + repr(found)


async def test_keys_that_may_not_write(clock: Clock, langfuse: LangfuseDouble) -> None:
    """Ingestion suspended: read keys work, spans are refused."""
    langfuse.fail_next(1, 403)
    failed = failure(await rows(clock, to_langfuse(langfuse)))
    assert failed.check == "takes a trace"
    assert "suspended" in failed.fix


async def test_another_program_at_the_host(clock: Clock, langfuse: LangfuseDouble, query: TempoQuery) -> None:
    """It answers, but is no Langfuse."""
    failed = failure(await rows(clock, to_langfuse(langfuse, host=query.url)))
    assert failed.check == "reachable"
    assert "no Langfuse" in failed.fix


async def test_nothing_at_the_host(clock: Clock, langfuse: LangfuseDouble) -> None:
    """And that the address may be wrong."""
    found = await rows(clock, to_langfuse(langfuse, host=f"http://127.0.0.1:{free_port()}"))
    assert states(found) == [FAILED] + [SKIPPED] * 4
    assert "exporters.langfuse.host" in failure(found).fix


@pytest.mark.parametrize("version", ["2.95.0", "5.0.0"])
async def test_a_generation_that_is_not_known(clock: Clock, langfuse: LangfuseDouble, version: str) -> None:
    """Older ones take no OTLP."""
    langfuse.read.version = version
    failed = failure(await rows(clock, to_langfuse(langfuse)))
    assert (failed.check, failed.seen) == ("server generation", f"version {version}")


async def test_links_to_another_project(clock: Clock, langfuse: LangfuseDouble) -> None:
    """The id in `links` is not that of the keys' project: the right one is said."""
    failed = failure(await rows(clock, to_langfuse(langfuse), links={"langfuse_project": "other"}))
    assert failed.check == "authorised"
    assert "set it to project-1" in failed.fix


async def test_every_project_is_asked_with_its_own_keys(clock: Clock, langfuse: LangfuseDouble) -> None:
    """The table of projects may have a typing error in one row."""
    langfuse.projects = {"sk-b": ("b", "pk-b")}
    table = [{"name": "b", "public_key": "pk-b", "secret_key": "sk-b", "callers": ["pk-b"]}]
    table += [{"name": "c", "public_key": "pk-c", "secret_key": "sk-c", "callers": ["pk-c"]}]
    found = await rows(clock, to_langfuse(langfuse, projects=table))
    assert {each.part for each in found} == {"langfuse", "langfuse b", "langfuse c"}
    assert failure(found).part == "langfuse c"


async def test_a_certificate_file_that_is_not_there(clock: Clock, langfuse: LangfuseDouble) -> None:
    """A row like any other: the rest is examined."""
    found = await rows(clock, to_langfuse(langfuse, tls={"ca_file": "/nowhere/ca.pem"}))
    assert "/nowhere/ca.pem" in failure(found).seen


# -- Tempo


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_a_healthy_tempo(clock: Clock, tempo: TempoDouble, query: TempoQuery, protocol: str) -> None:
    """Takes the trace over either transport, and gives it back, be it late."""
    query.blind = 2
    endpoint = tempo.grpc_endpoint if protocol == "grpc" else tempo.http_endpoint
    found = await rows(clock, {"tempo": {"endpoint": endpoint, "protocol": protocol, "query_url": query.url}})
    assert [each.check for each in found] == ["takes a trace", "can be queried", "gives it back"]
    assert states(found) == [OK] * 3, told(found)
    assert "Tempo 2.8.0" in found[1].seen
    assert tempo.resources[TRACE_ID[:8]]["service.name"] == "otel_ext-doctor"


async def test_without_a_query_address_reading_back_is_skipped(clock: Clock, tempo: TempoDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """No fault: it says which setting would allow it."""
    monkeypatch.setattr("otel_ext.doctor.tempo.QUERY_PORT", free_port())
    found = await rows(clock, {"tempo": {"endpoint": tempo.grpc_endpoint}})
    assert states(found) == [OK, SKIPPED, SKIPPED]
    assert "exporters.tempo.query_url" in found[1].seen


async def test_the_query_address_beside_the_endpoint_is_found(
    clock: Clock, tempo: TempoDouble, query: TempoQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Tempo listens on its default port."""
    monkeypatch.setattr("otel_ext.doctor.tempo.QUERY_PORT", query.port)
    found = await rows(clock, {"tempo": {"endpoint": tempo.grpc_endpoint}})
    assert states(found) == [OK] * 3
    assert query.url in found[1].seen


async def test_a_tempo_that_wants_credentials(clock: Clock, tempo: TempoDouble, query: TempoQuery) -> None:
    """For writing, and for reading: each says which setting; with the header both work."""
    tempo.token = query.token = "t"
    section = {"endpoint": tempo.grpc_endpoint, "query_url": query.url}
    failed = failure(await rows(clock, {"tempo": section}))
    assert (failed.check, "exporters.tempo.headers" in failed.fix) == ("takes a trace", True)
    tempo.token = ""
    failed = failure(await rows(clock, {"tempo": section}))
    assert (failed.check, "may not read" in failed.fix) == ("can be queried", True)
    tempo.token = "t"
    assert states(await rows(clock, {"tempo": {**section, "headers": {"Authorization": "Bearer t"}}})) == [OK] * 3


async def test_a_tempo_that_takes_and_does_not_find(clock: Clock, tempo: TempoDouble, query: TempoQuery) -> None:
    """Another tenant, or another Tempo."""
    query.blind = 10_000
    failed = failure(await rows(clock, {"tempo": {"endpoint": tempo.grpc_endpoint, "query_url": query.url}}, deadline_s=20))
    assert (failed.check, failed.seen) == ("gives it back", "not readable within 20 s")
    assert "tenant" in failed.fix


async def test_the_wrong_port_of_tempo(clock: Clock, tempo: TempoDouble, query: TempoQuery) -> None:
    """GRPC to the HTTP port, and HTTP to the query port."""
    failed = failure(await rows(clock, {"tempo": {"endpoint": tempo.http_endpoint, "protocol": "grpc"}}))
    assert "4317" in failed.fix
    failed = failure(await rows(clock, {"tempo": {"endpoint": query.url, "protocol": "http"}}))
    assert "4318" in failed.fix


# -- Alertmanager


async def test_alertmanager_is_asked_and_not_alerted(clock: Clock) -> None:
    """Its version; nobody is called."""
    double = AlertmanagerDouble()
    await double.start()
    found = await rows(clock, {"alertmanager": {"url": double.url}})
    double.fail_next(1, 401)
    refused = failure(await rows(clock, {"alertmanager": {"url": double.url}}))
    lost = failure(await rows(clock, {"alertmanager": {"url": double.url + "/api/v2/alerts"}}))
    await double.stop()
    gone = failure(await rows(clock, {"alertmanager": {"url": double.url}}))
    assert (states(found), found[0].seen, double.requests) == ([OK], "Alertmanager 0.28.1", 0)
    assert "exporters.alertmanager.headers" in refused.fix
    assert "base URL" in lost.fix
    assert "exporters.alertmanager.url" in gone.fix


# -- this machine


async def test_a_sidecar_that_runs(clock: Clock, langfuse: LangfuseDouble) -> None:
    """Its ports are recognised as its own, metrics are there to be scraped; and asking leaves no trace in it."""
    section = {"endpoint": "127.0.0.1:0"}
    sidecar = Sidecar(build({"receivers": {"grpc": section, "http": section}, "admin": section}, {}))
    await sidecar.start()
    at = sidecar.addresses
    ports = {
        "receivers": {"grpc": {"endpoint": at["OTLP/gRPC"]}, "http": {"endpoint": at["OTLP/HTTP"]}},
        "admin": {"endpoint": at["admin"]},
    }
    found = await examine(build(ports, {}), clock.around())
    await sidecar.stop()
    assert states(found[:3]) == [OK] * 3, told(found)
    assert "runs, its metrics can be scraped" in found[0].seen
    assert all("takes OTLP" in each.seen for each in found[1:3])


@pytest.mark.parametrize("part", ["admin", "receivers.grpc", "receivers.http"])
async def test_another_program_on_our_port(clock: Clock, query: TempoQuery, part: str) -> None:
    """It is named with the port, and the setting to change."""
    sections = local()
    holder: dict[str, Any] = sections
    for key in part.split("."):
        holder = holder[key]
    holder["endpoint"] = f"127.0.0.1:{query.port}"
    failed = failure(await examine(build(sections, {}), clock.around()))
    assert failed.part == part
    assert f"another program listens on 127.0.0.1:{query.port}" in failed.seen
    assert f"{part}.endpoint" in failed.fix


async def test_an_address_that_is_not_of_this_machine(clock: Clock) -> None:
    """It cannot be opened."""
    failed = failure(await examine(build({**local(), "admin": {"endpoint": "192.0.2.1:9464"}}, {}), clock.around()))
    assert "cannot be opened" in failed.seen


# -- the command


async def test_the_command_says_it_works(langfuse: LangfuseDouble, tmp_path: Path) -> None:
    """Exit 0, a table."""
    done = await run(langfuse, tmp_path, langfuse.secret_key)
    assert done.returncode == 0, done.stdout
    assert b"everything works" in done.stdout
    assert done.stderr == b""


async def test_the_command_says_what_to_fix(langfuse: LangfuseDouble, tmp_path: Path) -> None:
    """Exit 1, the row, the fix, no key."""
    done = await run(langfuse, tmp_path, CANARY)
    assert done.returncode == 1
    assert b"langfuse: the keys are not known there" in done.stdout
    assert b"1 of 8 checks failed" in done.stdout
    assert CANARY.encode() not in done.stdout + done.stderr


async def run(langfuse: LangfuseDouble, folder: Path, secret_key: str) -> subprocess.CompletedProcess[bytes]:
    config = folder / "c.yaml"
    exporters = f"exporters: {{langfuse: {{host: {langfuse.host}, public_key: pk, secret_key: {secret_key}}}}}"
    ports = local()
    listening = "".join(f"{key}: {value!s}\n" for key, value in ports.items()).replace("'", '"')
    config.write_text(listening + exporters)
    return await asyncio.to_thread(lambda: command("doctor", "--config", str(config), "--deadline", "20"))
