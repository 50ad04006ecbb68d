"""Standing in for a Langfuse server: what is not spans passes through, byte for byte, within bounds."""

from __future__ import annotations

import asyncio
import gzip
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from otel_ext.receivers.http import HttpReceiver
from otel_ext.receivers.standin import StandIn, StandInOptions
from otel_ext.receivers.stats import ReceiverStats
from tests.receivers.conftest import Recorder, protobuf_body, request_of

LIMIT_BYTES = 1 << 20
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass
class Upstream:
    """A server that notes what it sees, and answers as told."""

    handler: Handler | None = None
    seen: list[tuple[str, str, list[tuple[str, str]], bytes]] = field(default_factory=list)
    port: int = 0

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if self.handler:
            return await self.handler(request)
        body = await request.read()
        self.seen.append((request.method, request.raw_path, list(request.headers.items()), body))
        return web.Response(status=201, reason="Made", body=b"answer", headers=[("X-A", "1"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])

    async def start(self) -> web.ServerRunner:
        runner = web.ServerRunner(web.Server(self.answer, auto_decompress=False), shutdown_timeout=0.01)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        return runner


@dataclass
class Stand:
    """A receiver that stands in for an upstream, and a client."""

    upstream: Upstream
    stand_in: StandIn
    receiver: HttpReceiver
    consumer: Recorder
    session: aiohttp.ClientSession

    def url(self, path: str) -> URL:
        return URL(f"http://127.0.0.1:{self.receiver.port}{path}", encoded=True)

    def ask(self, method: str, path: str, **options: Any) -> Any:
        return self.session.request(method, self.url(path), allow_redirects=False, **options)


MakeStand = Callable[..., Awaitable[Stand]]


@pytest.fixture
async def make_stand() -> AsyncIterator[MakeStand]:
    open_now: list[Any] = []

    async def make(handler: Handler | None = None, host: str = "", **options: Any) -> Stand:
        upstream, consumer = Upstream(handler), Recorder()
        runner = await upstream.start()
        stand_in = StandIn(host or f"http://127.0.0.1:{upstream.port}", "https://lf.example/base", StandInOptions(**options))
        receiver = HttpReceiver("127.0.0.1:0", LIMIT_BYTES, consumer, ReceiverStats(), stand_in=stand_in)
        await receiver.start()
        session = aiohttp.ClientSession(auto_decompress=False)
        open_now.extend([(session.close, ()), (receiver.stop, (0.1,)), (runner.cleanup, ())])
        return Stand(upstream, stand_in, receiver, consumer, session)

    yield make
    for close, arguments in open_now:
        await close(*arguments)


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "PUT", "DELETE"])
async def test_a_request_passes_untouched(make_stand: MakeStand, method: str) -> None:
    """Method, raw path, query, the caller's authorization, its headers, its body: the server sees what was sent."""
    stand = await make_stand()
    path = "/api/public/v2/prompts/a%2Fb%20c?label=x%26y&label=z"
    body = gzip.compress(b"payload") if method != "GET" else None
    headers = {"Authorization": "Basic cGs6c2s=", "X-Own": "kept", "Content-Encoding": "gzip", "User-Agent": "sdk/5"}
    async with stand.ask(method, path, data=body, headers=headers) as answer:
        assert (answer.status, answer.reason, await answer.read()) == (201, "Made", b"answer")
        assert answer.headers.getall("Set-Cookie") == ["a=1", "b=2"]
    ((got_method, got_path, got_headers, got_body),) = stand.upstream.seen
    assert (got_method, got_path, got_body) == (method, path, body or b"")
    assert {name: value for name, value in got_headers if name in headers} == headers
    assert stand.stand_in.stats.requests == {"2xx": 1}
    assert stand.consumer.requests == []


@pytest.mark.parametrize("path", ["//api/public/projects", "/api//public/projects"])
async def test_a_base_url_with_a_slash_at_its_end(make_stand: MakeStand, path: str) -> None:
    """`//api/...` is the same path."""
    stand = await make_stand()
    async with stand.ask("GET", path) as answer:
        assert answer.status == 201
    assert stand.upstream.seen[0][1] == "/api/public/projects"


async def test_a_server_below_a_path(make_stand: MakeStand) -> None:
    """A base path of the server goes in front."""
    stand = await make_stand()
    stand.stand_in._host += "/lf"
    async with stand.ask("GET", "/api/public/health?x=1") as answer:
        assert answer.status == 201
    assert stand.upstream.seen[0][1] == "/lf/api/public/health?x=1"


async def test_headers_of_one_connection_stay_on_it(make_stand: MakeStand) -> None:
    """RFC 9110, 7.6.1: hop-by-hop headers, and those that Connection names, go no further; the server is asked by its own name."""
    stand = await make_stand()
    headers = {"Connection": "keep-alive, X-Mine", "X-Mine": "1", "TE": "trailers", "Keep-Alive": "5", "X-Else": "2"}
    async with stand.ask("GET", "/api/public/x", headers=headers) as answer:
        assert answer.status == 201
    names = {name.lower(): value for name, value in stand.upstream.seen[0][2]}
    assert names.keys() & {"x-mine", "te", "keep-alive"} == set()
    assert (names["x-else"], names["host"]) == ("2", f"127.0.0.1:{stand.upstream.port}")


async def test_errors_of_the_server_are_its_own(make_stand: MakeStand) -> None:
    """401, 404, 429 with Retry-After: what the server says is what the caller reads."""

    async def limited(_: web.BaseRequest) -> web.StreamResponse:
        return web.json_response({"message": "Rate limit exceeded"}, status=429, headers={"Retry-After": "7"})

    stand = await make_stand(limited)
    async with stand.ask("GET", "/api/public/scores") as answer:
        assert (answer.status, answer.headers["Retry-After"], (await answer.json())["message"]) == (429, "7", "Rate limit exceeded")
    assert stand.stand_in.stats.requests == {"4xx": 1}


async def test_answers_stream(make_stand: MakeStand) -> None:
    """The first piece arrives while the server still works on the second."""
    more = asyncio.Event()

    async def slow(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        await more.wait()
        await response.write(b"second")
        return response

    stand = await make_stand(slow)
    async with asyncio.timeout(10), stand.ask("GET", "/api/public/stream") as answer:
        assert await answer.content.readany() == b"first"
        more.set()
        assert await answer.content.read() == b"second"


async def test_bodies_stream(make_stand: MakeStand) -> None:
    """The server reads the first piece while the caller still writes the second."""
    begun = asyncio.Event()

    async def reading(request: web.BaseRequest) -> web.StreamResponse:
        first = await request.content.readany()
        begun.set()
        return web.Response(body=first + await request.content.read())

    async def pieces() -> AsyncIterator[bytes]:
        yield b"first"
        await begun.wait()
        yield b"second"

    stand = await make_stand(reading)
    async with asyncio.timeout(10), stand.ask("POST", "/api/public/ingestion", data=pieces()) as answer:
        assert await answer.read() == b"firstsecond"


async def test_a_compressed_answer_stays_compressed(make_stand: MakeStand) -> None:
    """Bytes and Content-Encoding are the server's."""
    packed = gzip.compress(b"text" * 100)

    async def compressed(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=packed, headers={"Content-Encoding": "gzip"})

    stand = await make_stand(compressed)
    async with stand.ask("GET", "/api/public/x", headers={"Accept-Encoding": "gzip"}) as answer:
        assert (answer.headers["Content-Encoding"], await answer.read()) == ("gzip", packed)


async def test_too_many_at_once_are_refused(make_stand: MakeStand) -> None:
    """One more than the bound gets 503 with a delay, in the server's shape; those at work are not disturbed."""
    gate, begun = asyncio.Event(), asyncio.Event()

    async def waiting(_: web.BaseRequest) -> web.StreamResponse:
        begun.set()
        await gate.wait()
        return web.Response(body=b"done")

    stand = await make_stand(waiting, requests_max=1)
    first = asyncio.create_task(stand.ask("GET", "/api/public/a").__aenter__())
    await begun.wait()
    async with stand.ask("GET", "/api/public/b") as answer:
        assert (answer.status, answer.headers["Retry-After"], (await answer.json())["error"]) == (503, "1", "overloaded")
    gate.set()
    assert await (await first).read() == b"done"
    assert stand.stand_in.stats.requests == {"overloaded": 1, "2xx": 1}


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_bound_is_refused(make_stand: MakeStand, chunked: bool) -> None:
    """413, whether the size was announced or not."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b"x" * 500

    stand = await make_stand(body_bytes_max=1_000)
    async with stand.ask("POST", "/api/public/ingestion", data=pieces() if chunked else b"x" * 2_000) as answer:
        assert (answer.status, (await answer.json())["error"]) == (413, "too_large")
    assert stand.stand_in.stats.requests == {"too_large": 1}


async def test_a_server_that_does_not_answer_is_a_504(make_stand: MakeStand) -> None:
    """Within the time that the settings give."""

    async def never(_: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.Response()

    stand = await make_stand(never, timeout_s=0.1)
    async with stand.ask("GET", "/api/public/x") as answer:
        assert (answer.status, (await answer.json())["error"]) == (504, "timeout")


async def test_a_server_that_is_not_there_is_a_502(make_stand: MakeStand) -> None:
    """The answer does not say where the server should be."""
    stand = await make_stand(host="http://127.0.0.1:1")
    async with stand.ask("GET", "/api/public/x") as answer:
        assert answer.status == 502
        assert "127.0.0.1" not in await answer.text()
    assert stand.stand_in.stats.requests == {"unreachable": 1}


async def test_an_answer_cut_short_is_cut_short_here_too(make_stand: MakeStand) -> None:
    """The caller must not take half an answer for a whole one."""

    async def dying(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = 100
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport
        request.transport.close()
        return response

    stand = await make_stand(dying)
    with pytest.raises(aiohttp.ClientPayloadError):
        async with stand.ask("GET", "/api/public/x") as answer:
            await answer.read()
    assert stand.stand_in.stats.requests == {"cut": 1}


@pytest.mark.parametrize(
    "path", ["/api/public/../admin", "/api/public/%2e%2e/admin", "/api/public/x/..%2f..%2fadmin", "/api/public/%252e%252e/a"]
)
async def test_no_path_leads_out_of_the_public_api(make_stand: MakeStand, path: str) -> None:
    """`..` in any spelling stops here."""
    stand = await make_stand()
    async with stand.ask("GET", path) as answer:
        assert answer.status == 404
    assert stand.upstream.seen == []


@pytest.mark.parametrize("path", ["/project/p/traces/abc?observation=1", "/trace/abc", "//project/p"])
async def test_pages_are_redirected_to_the_ui(make_stand: MakeStand, path: str) -> None:
    """The SDK prints pages of its base URL, which is ours."""
    stand = await make_stand()
    async with stand.ask("GET", path) as answer:
        assert (answer.status, answer.headers["Location"]) == (302, "https://lf.example/base" + path.replace("//", "/"))
    async with stand.ask("POST", path) as answer:
        assert answer.status == 405
    assert stand.upstream.seen == []


async def test_spans_are_not_passed_on(make_stand: MakeStand) -> None:
    """They are taken here, with the keys that they came with."""
    stand = await make_stand()
    headers = {"Content-Type": "application/x-protobuf", "Authorization": "Basic cGs6c2s6eA=="}  # pk:sk:x
    path = "//api/public/otel/v1/traces"
    async with stand.ask("POST", path, data=protobuf_body(request_of(2)), headers=headers) as answer:
        assert answer.status == 200
    (caller,) = stand.consumer.callers
    assert (caller.public_key, caller.secret_key) == ("pk", "sk:x")  # type: ignore[union-attr]
    assert "sk" not in repr(caller)
    assert stand.upstream.seen == []


@pytest.mark.parametrize("path", ["/api/public/otel/v1/traces/", "/api/public/otel/v1/%74races", "/api/public/otel//v1/traces//"])
async def test_no_spelling_of_the_spans_path_goes_past_us(make_stand: MakeStand, path: str) -> None:
    """They are taken here, or refused here: what the server got directly would not have been masked."""
    stand = await make_stand()
    headers = {"Content-Type": "application/x-protobuf"}
    async with stand.ask("POST", path, data=protobuf_body(request_of(1)), headers=headers) as answer:
        assert answer.status in (200, 404)
    assert stand.upstream.seen == []


@pytest.mark.parametrize("header", ["", "Basic", "Basic !!", "Basic cGs=", "Basic Og==", "Bearer pk", "Basic /w=="])
async def test_an_authorization_that_is_no_key_pair_is_none(make_stand: MakeStand, header: str) -> None:
    """The spans are taken, and go where spans without keys go."""
    stand = await make_stand()
    headers = {"Content-Type": "application/x-protobuf", "Authorization": header}
    async with stand.ask("POST", "/api/public/otel/v1/traces", data=protobuf_body(request_of(1)), headers=headers) as answer:
        assert answer.status == 200
    assert stand.consumer.callers == [None]


async def test_keys_on_the_plain_path_are_nobodys_business(make_stand: MakeStand) -> None:
    """A Collector may send a Basic authorization of its own to /v1/traces."""
    stand = await make_stand()
    headers = {"Content-Type": "application/x-protobuf", "Authorization": "Basic dXNlcjpwdw=="}
    async with stand.ask("POST", "/v1/traces", data=protobuf_body(request_of(1)), headers=headers) as answer:
        assert answer.status == 200
    assert stand.consumer.callers == [None]


async def test_nothing_that_passes_is_logged(make_stand: MakeStand, caplog: pytest.LogCaptureFixture) -> None:
    """Neither bodies nor keys, also where something fails."""
    caplog.set_level(logging.DEBUG)
    stand = await make_stand(host="http://127.0.0.1:1")
    async with stand.ask("POST", "/api/public/x?q=hidden", data=b"hidden", headers={"Authorization": "Basic hidden"}) as answer:
        assert "hidden" not in await answer.text()
    assert "hidden" not in caplog.text
