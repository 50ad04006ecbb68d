"""The client reads from both generations of the server, page by page, within bounds, and says by type what went wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

from otel_ext import samples
from otel_ext.errors import PermanentError, Refused, RetryableError, TooLarge
from otel_ext.exporters.base import Runtime
from otel_ext.exporters.langfuse import LangfuseSpans
from otel_ext.langfuse import Api, ModelDefinition, NotFound, Options, PricingTier, Unreadable
from tests.doubles.langfuse import LangfuseDouble
from tests.doubles.langfuse_read import managed

TRACE = bytes(range(16))
TRACE_ID = TRACE.hex()
START = 1_790_000_000_000_000_000
GENERATIONS = ["v4", "v3"]


class Sleeps:
    """A runtime that does not wait, and remembers for how long it was asked to."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(0)

    @property
    def runtime(self) -> Runtime:
        return Runtime(now_ns=lambda: START, sleep=self.sleep, random=lambda: 0.5)


@pytest.fixture
async def server() -> AsyncIterator[LangfuseDouble]:
    langfuse = LangfuseDouble()
    await langfuse.start()
    yield langfuse
    await langfuse.stop()


@pytest.fixture
def sleeps() -> Sleeps:
    return Sleeps()


@pytest.fixture
async def api(server: LangfuseDouble, sleeps: Sleeps) -> AsyncIterator[Api]:
    async with Api(server.host, server.public_key, server.secret_key, Options(runtime=sleeps.runtime)) as api:
        yield api


async def store(server: LangfuseDouble, payload: bytes) -> None:
    """Over the real OTLP route."""
    runtime = Runtime(now_ns=lambda: START, sleep=asyncio.sleep, random=lambda: 0.5)
    sender = LangfuseSpans(server.host, server.public_key, server.secret_key, runtime)
    await sender.start()
    await sender.send(payload)
    await sender.close()


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_health_and_project(server: LangfuseDouble, api: Api, generation: str) -> None:
    """What the server is, and whose keys these are."""
    server.read.generation = generation
    health = await api.health()
    assert (health.status, health.version[:1]) == ("OK", generation[1])
    assert [(project.id, project.name, project.organization) for project in await api.projects()] == [("project-1", "shop", "acme")]


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_a_trace_is_the_same_from_either_generation(server: LangfuseDouble, api: Api, generation: str) -> None:
    """Stored as such, or made of its spans: names, tree, types, tokens."""
    server.read.generation = generation
    await store(server, samples.healthy(TRACE, START))
    trace = await api.trace(TRACE_ID)
    assert trace is not None
    assert (trace.id, trace.name) == (TRACE_ID, "invoke_agent travel-planner")
    by_type = sorted(each.type for each in trace.observations)
    assert by_type == ["AGENT", "GENERATION", "GENERATION", "GENERATION", "TOOL", "TOOL"]
    root = next(each for each in trace.observations if not each.parent_id)
    assert {each.parent_id for each in trace.observations if each is not root} == {root.id}
    call = next(each for each in trace.observations if each.type == "GENERATION")
    assert (call.trace_id, call.model, dict(call.usage), call.level) == (TRACE_ID, "gpt-4o", {"input": 900, "output": 60}, "DEFAULT")
    assert call.start is not None
    assert call.end is not None
    assert 0.3 < (call.end - call.start).total_seconds() < 0.5


async def test_a_model_is_found_by_its_later_name_too(server: LangfuseDouble, api: Api) -> None:
    """Servers after 4.16 say `model`."""
    server.read.model_key = "model"
    await store(server, samples.healthy(TRACE, START))
    assert {each.model async for each in api.observations(type="GENERATION")} == {"gpt-4o"}


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_a_trace_that_is_not_stored_is_none(server: LangfuseDouble, api: Api, generation: str) -> None:
    """Not (yet): no error."""
    server.read.generation = generation
    assert await api.trace("00" * 16) is None


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_which_route_answers_is_remembered(server: LangfuseDouble, api: Api, generation: str) -> None:
    """The newer one is tried once; and when the server is upgraded, the other is found again."""
    server.read.generation = generation
    await store(server, samples.healthy(TRACE, START))
    await api.trace(TRACE_ID)
    server.read.asked.clear()
    assert await api.trace(TRACE_ID) is not None
    assert len(server.read.asked) == 1
    assert api.older == {"traces": generation == "v3"}
    server.read.generation = next(each for each in GENERATIONS if each != generation)
    assert await api.trace(TRACE_ID) is not None
    assert api.older == {"traces": generation == "v4"}


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_observations_come_page_by_page(server: LangfuseDouble, api: Api, generation: str) -> None:
    """All of them, each once, over as many pages as it takes."""
    server.read.generation = generation
    await store(server, samples.looping(TRACE, START, times=150))
    found = [each.id async for each in api.observations(trace_id=TRACE_ID)]
    assert len(found) == len(set(found)) == 302
    assert len([path for path in server.read.asked if "observations" in path]) == 4 + (generation == "v3")


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_observations_are_filtered_by_the_server(server: LangfuseDouble, api: Api, generation: str) -> None:
    """By what was asked for."""
    server.read.generation = generation
    await store(server, samples.healthy(TRACE, START))
    assert [each.name async for each in api.observations(trace_id=TRACE_ID, type="TOOL", name="search")] == ["search"]
    assert [each async for each in api.observations(trace_id="ff" * 16)] == []


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_scores_name_what_they_are_about(server: LangfuseDouble, api: Api, generation: str) -> None:
    """The trace, and the observation where there is one; by trace or by id."""
    server.read.generation = generation
    server.scores["a"] = {"name": "otel_ext.loop", "value": 1, "dataType": "NUMERIC", "traceId": TRACE_ID, "comment": "c"}
    server.scores["b"] = {"name": "otel_ext.loop", "value": "x", "traceId": TRACE_ID, "observationId": "1234"}
    server.scores["c"] = {"name": "other", "value": 0, "traceId": "ff" * 16}
    found = {score.id: score async for score in api.scores(trace_id=TRACE_ID)}
    assert found.keys() == {"a", "b"}
    assert (found["a"].trace_id, found["a"].observation_id, found["a"].value, found["a"].comment) == (TRACE_ID, "", 1, "c")
    assert (found["b"].trace_id, found["b"].observation_id, found["b"].value) == (TRACE_ID, "1234", "x")
    assert [score.id async for score in api.scores(ids=["c"])] == ["c"]


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_metrics(server: LangfuseDouble, api: Api, generation: str) -> None:
    """Rows as the server keys them; a query without a time is refused by it."""
    server.read.generation = generation
    server.read.metrics = [{"sum_totalCost": 1.5}]
    query = {"view": "observations", "metrics": [{"measure": "totalCost", "aggregation": "sum"}], "fromTimestamp": "a", "toTimestamp": "b"}
    assert await api.metrics(query) == [{"sum_totalCost": 1.5}]
    with pytest.raises(Refused, match="bad_data"):
        await api.metrics({"view": "observations"})


async def test_models_are_listed_and_created(server: LangfuseDouble, api: Api) -> None:
    """With their tiers, as they were written; a name twice is refused."""
    server.read.models = [managed(f"m{number}", f"^m{number}$") for number in range(120)]
    tiers = [PricingTier("Standard", {"input": 1e-6, "output": 2e-6}), PricingTier("Long", {"input": 2e-6, "output": 4e-6}, 200_000)]
    definition = ModelDefinition(name="mine", pattern="(?i)^mine$", tiers=tiers, start="2026-10-01")
    assert await api.create_model(definition)
    found = {model.name: model async for model in api.models()}
    assert len(found) == 121
    assert (found["m0"].managed, found["mine"].managed) == (True, False)
    assert (list(found["mine"].tiers), found["mine"].start, found["mine"].pattern) == (tiers, "2026-10-01", "(?i)^mine$")
    with pytest.raises(Refused, match="bad_data"):
        await api.create_model(definition)


async def test_a_server_that_is_busy_is_asked_again_when_it_says(server: LangfuseDouble, api: Api, sleeps: Sleeps) -> None:
    """429 with Retry-After: after exactly that time."""
    server.read.fail_next(2, 429, retry_after_s=7)
    assert len(await api.projects()) == 1
    assert sleeps.seconds == [7, 7]


async def test_faults_of_the_server_are_tried_again_a_few_times(server: LangfuseDouble, api: Api, sleeps: Sleeps) -> None:
    """With growing delays; and then it is a RetryableError."""
    server.read.fail_next(4, 503)
    with pytest.raises(RetryableError, match="HTTP 503"):
        await api.projects()
    assert len(sleeps.seconds) == 3
    assert sleeps.seconds == sorted(sleeps.seconds)
    assert len(server.read.asked) == 4


async def test_who_asks_for_too_long_a_delay_does_not_get_it(server: LangfuseDouble, api: Api, sleeps: Sleeps) -> None:
    """The error says for how long."""
    server.read.fail_next(1, 429, retry_after_s=3_600)
    with pytest.raises(RetryableError) as raised:
        await api.projects()
    assert raised.value.retry_after_s == 3_600
    assert sleeps.seconds == []


@pytest.mark.parametrize(("status", "kind"), [(401, Refused), (403, Refused), (400, Refused), (404, NotFound), (302, Refused)])
async def test_refusals_are_not_tried_again(server: LangfuseDouble, api: Api, sleeps: Sleeps, status: int, kind: type[Refused]) -> None:
    """Their type says what they are."""
    server.read.fail_next(1, status)
    with pytest.raises(kind):
        await api.projects()
    assert sleeps.seconds == []


async def test_wrong_keys(server: LangfuseDouble) -> None:
    """Unauthenticated; and neither key is in the error or in a repr."""
    api = Api(server.host, "pk-lf-secret1", "sk-lf-secret2")
    async with api:
        with pytest.raises(Refused) as raised:
            await api.projects()
    assert raised.value.reason == "unauthenticated"
    assert "secret" not in f"{raised.value} {raised.value!r} {api!r}"


async def test_neither_route_is_there(server: LangfuseDouble, api: Api) -> None:
    """Some other server: NotFound, for values and for pages."""
    server.read.generation = "none"
    with pytest.raises(NotFound):
        await api.trace(TRACE_ID)
    with pytest.raises(NotFound):
        [each async for each in api.observations()]


async def serve(handler: Callable[[web.Request], Any]) -> tuple[web.AppRunner, str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


ANSWERS: dict[str, tuple[bytes, type[Exception]]] = {
    "a page of HTML": (b"<html>", Unreadable),
    "a list": (b"[]", Unreadable),
    "data that is no list": (b'{"data": 3}', Unreadable),
    "entries that are no objects": (b'{"data": [3]}', Unreadable),
    "entries without an id": (b'{"data": [{"name": "x"}]}', Unreadable),
    "more than is read": (b'{"data": "' + b"x" * 70_000 + b'"}', TooLarge),
}


@pytest.mark.parametrize("answer", ANSWERS)
async def test_answers_that_cannot_be_read(answer: str) -> None:
    """Some other server, or more bytes than are taken: an error, never a crash; what was answered is not in it."""
    body, kind = ANSWERS[answer]

    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    runner, host = await serve(handler)
    async with Api(host, "pk", "sk", Options(body_bytes_max=65_536)) as api:
        with pytest.raises(kind) as raised:
            await api.projects()
    await runner.cleanup()
    assert isinstance(raised.value, PermanentError)
    assert "html" not in str(raised.value)


async def test_a_cursor_that_leads_nowhere_ends() -> None:
    """A server that repeats itself is not asked for ever."""

    async def handler(_: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "1", "traceId": TRACE_ID}], "meta": {"cursor": "same"}})

    runner, host = await serve(handler)
    async with Api(host, "pk", "sk") as api:
        with pytest.raises(Unreadable, match="cursor"):
            [each async for each in api.observations()]
    await runner.cleanup()


async def test_nothing_listens() -> None:
    """RetryableError that names the kind of fault."""
    async with Api("http://127.0.0.1:9", "pk", "sk", Options(attempts=1)) as api:
        with pytest.raises(RetryableError, match="ClientConnectorError"):
            await api.health()


async def test_a_base_path_is_kept(server: LangfuseDouble) -> None:
    """A server behind a prefix; and whatever part of the OTLP path was pasted."""
    seen: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.json_response({"status": "OK", "version": "4.16.0"})

    runner, host = await serve(handler)
    for given in (f"{host}/langfuse/", f"{host}/langfuse/api/public/otel"):
        async with Api(given, "pk", "sk") as api:
            await api.health()
    await runner.cleanup()
    assert seen == ["/langfuse/api/public/health"] * 2
