"""Standing in for a Langfuse server: what is not spans is passed on to the real one, pages of its UI are redirected to it.

Nothing is looked at, kept or logged: bodies stream through, headers too but for those that belong to one connection, and the caller's own
authorization is what the server sees. Refusals of ours have the server's shape, so that its SDKs can read them.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

API: Final = "/api/public/"
PAGES: Final = ("/project/", "/trace/")
CONNECT_S: Final = 5.0
# Node servers close an idle connection after 5 s: one used at that very moment loses a request.
KEEPALIVE_S: Final = 4.0
PIECE_BYTES: Final = 64 * 1024
# RFC 9110, 7.6.1, and what says how a body is framed here: the other connection has its own framing.
HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "host",
        "expect",
    }
)
_OWN_HEADERS: Final = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
_SLASHES: Final = re.compile("/{2,}")


@dataclass(slots=True)
class StandInStats:
    """Requests passed on, by outcome: the class of the server's status (`2xx`), or why there was none. A small set, chosen here."""

    requests: dict[str, int] = field(default_factory=dict)

    def count(self, outcome: str) -> None:
        """One request more."""
        self.requests[outcome] = self.requests.get(outcome, 0) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StandInOptions:
    """`requests_max` at once, one more gets 503; `body_bytes_max` a request; `timeout_s` from the first byte in to the last byte out.

    `secured` makes the TLS context when it is needed, True means the system's; `proxy` is the URL of one, None for none.
    """

    requests_max: int = 64
    body_bytes_max: int = 64 * 1024 * 1024
    timeout_s: float = 120.0
    secured: Callable[[], ssl.SSLContext | bool] = lambda: True
    proxy: URL | None = None


class StandIn:
    """Passes requests on to the Langfuse server at *host*, and sends browsers to its UI at *ui*. `start` and `stop` inside one loop."""

    def __init__(self, host: str, ui: str, options: StandInOptions | None = None) -> None:
        self.stats = StandInStats()
        self._host = host.rstrip("/")
        self._ui = ui.rstrip("/")
        self._options = options or StandInOptions()
        self._open = 0
        self._session: aiohttp.ClientSession | None = None

    def relink(self, ui: str) -> None:
        """Send browsers to another address from now on."""
        self._ui = ui.rstrip("/")

    async def start(self) -> None:
        """Make the session; nothing is connected yet. Raises what `secured` does."""
        options = self._options
        connector = aiohttp.TCPConnector(limit=options.requests_max, keepalive_timeout=KEEPALIVE_S, ssl=options.secured())
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_OWN_HEADERS,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
        )

    async def stop(self) -> None:
        """Close all connections. Idempotent."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def takes(self, path: str) -> bool:
        """Whether *path* is the Langfuse server's."""
        return path.startswith((API, *PAGES))

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """The server's answer, or a refusal in its shape; a redirect for a page."""
        target = _SLASHES.sub("/", request.raw_path.partition("?")[0]) + _query(request.raw_path)
        if not target.startswith(API):
            return self._redirect(request, target)
        if _climbs(target):
            return self._refuse(404, "not_found", "the path must not hold ..")
        if self._session is None or self._open >= self._options.requests_max:
            return self._refuse(503, "overloaded", "too many requests are being passed on", {"Retry-After": "1"})
        if (request.content_length or 0) > self._options.body_bytes_max:
            return self._refuse(413, "too_large", f"the body is over {self._options.body_bytes_max} bytes")
        self._open += 1
        try:
            return await self._pass_on(self._session, request, target)
        finally:
            self._open -= 1

    def _redirect(self, request: web.BaseRequest, target: str) -> web.Response:
        if request.method not in ("GET", "HEAD"):
            return self._refuse(405, "wrong_method", "pages are read with GET", {"Allow": "GET, HEAD"})
        self.stats.count("redirect")
        return web.Response(status=302, headers={"Location": self._ui + target})

    def _refuse(self, status: int, outcome: str, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
        self.stats.count(outcome)
        return web.json_response({"message": f"otel_ext: {message}", "error": outcome}, status=status, headers=headers)

    async def _pass_on(self, session: aiohttp.ClientSession, request: web.BaseRequest, target: str) -> web.StreamResponse:
        begun: list[web.StreamResponse] = []
        body = _Body(request, self._options.body_bytes_max)
        try:
            async with asyncio.timeout(self._options.timeout_s), self._asked(session, request, target, body) as answer:
                return await self._stream(request, answer, begun)
        except TimeoutError:
            status, outcome, message = 504, "timeout", f"the Langfuse server did not answer within {self._options.timeout_s:g} s"
        except (aiohttp.ClientError, OSError):
            status, outcome, message = 502, "unreachable", "the Langfuse server cannot be reached"
        if body.too_large:
            status, outcome, message = 413, "too_large", f"the body is over {self._options.body_bytes_max} bytes"
        if begun:  # the status has left already: only a cut connection says that the rest is missing
            self.stats.count("cut")
            if request.transport is not None:
                request.transport.close()
            return begun[0]
        response = self._refuse(status, outcome, message)
        response.force_close()  # part of the body may be unread
        return response

    def _asked(
        self, session: aiohttp.ClientSession, request: web.BaseRequest, target: str, body: _Body
    ) -> aiohttp.client._RequestContextManager:
        return session.request(
            request.method,
            URL(self._host + target, encoded=True),
            headers=_forwarded(request.headers),
            data=body.pieces() if request.body_exists else None,
            allow_redirects=False,
            proxy=self._options.proxy,
        )

    async def _stream(
        self, request: web.BaseRequest, answer: aiohttp.ClientResponse, begun: list[web.StreamResponse]
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=_forwarded(answer.headers))
        begun.append(response)
        await response.prepare(request)
        async for piece in answer.content.iter_chunked(PIECE_BYTES):
            await response.write(piece)
        await response.write_eof()
        self.stats.count(f"{answer.status // 100}xx")
        return response


def _query(raw_path: str) -> str:
    _, mark, query = raw_path.partition("?")
    return mark + query


def _climbs(target: str) -> bool:
    """A path with `..` in it, in any spelling, could name what is not under /api/public."""
    path = unquote(unquote(target.partition("?")[0])).replace("\\", "/")
    return ".." in path.split("/")


def _forwarded(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """*headers* without those that belong to one connection, and those that `Connection` names."""
    named = {name.strip().lower() for name in headers.get("Connection", "").split(",")}
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in HOP_BY_HOP | named)


class _Body:
    """A request's body, up to its bound. The client turns any error of ours into its own: `too_large` says which it was."""

    def __init__(self, request: web.BaseRequest, bytes_max: int) -> None:
        self.too_large = False
        self._request = request
        self._bytes_max = bytes_max

    async def pieces(self) -> AsyncIterator[bytes]:
        """The pieces as they come."""
        if self._request.headers.get("Expect", "").lower() == "100-continue":
            await self._request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._request.writer.output_size = 0  # what was written is no part of the response
        size_bytes = 0
        async for piece in self._request.content.iter_chunked(PIECE_BYTES):
            size_bytes += len(piece)
            if size_bytes > self._bytes_max:
                self.too_large = True
                raise OSError
            yield piece
