"""GET and POST of JSON with one server: retried where it helps, bounded in bytes, errors with a type each and no secrets."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from yarl import URL

from otel_ext.errors import Refused, RetryableError, TooLarge, Unreachable
from otel_ext.exporters.base import Runtime
from otel_ext.exporters.http import REASONS, client_context, environment_proxy, retry_after_s
from otel_ext.exporters.langfuse import base_url, basic_auth
from otel_ext.langfuse.values import Unreadable
from otel_ext.settings import ClientTls

MIB: Final = 1024 * 1024
BACKOFF_S: Final = 0.5  # before the second attempt; doubled for each later one
# 422: the server's own database took too long.
_RETRY: Final = frozenset({422, 429, *range(500, 600)})
_PIECE_BYTES: Final = 64 * 1024

__all__ = ["Http", "NotFound", "Options", "Unreadable"]


class NotFound(Refused):
    """404: there is no such thing, or no such route on this generation of the server."""


def _runtime() -> Runtime:
    return Runtime(now_ns=time.time_ns, sleep=asyncio.sleep, random=random.random)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Bounds of one client. `wait_max_s` is the longest delay that a server may ask for and get."""

    timeout_s: float = 10.0
    attempts: int = 4
    wait_max_s: float = 30.0
    body_bytes_max: int = 32 * MIB
    tls: ClientTls | None = None
    proxy: bool = False
    runtime: Runtime = field(default_factory=_runtime)


class Http:
    """One key pair on one host. The key is in no repr and no error."""

    def __init__(self, host: str, public_key: str, secret_key: str, options: Options) -> None:
        self._base = URL(base_url(host))
        self._headers = {"Authorization": basic_auth(public_key, secret_key), "Accept": "application/json"}
        self._options = options
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"Http({self._base.origin()})"

    async def start(self) -> None:
        """Make the session; nothing is connected yet."""
        tls = self._options.tls
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=client_context(tls) if tls else True),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=self._options.timeout_s),
        )

    async def close(self) -> None:
        """Close all connections. Idempotent."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The JSON object at *path*; raises Refused (NotFound for 404), RetryableError once attempts are used up, TooLarge, Unreadable."""
        return await self._retried("GET", path, dict(query or {}), None)

    async def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to *body*; raises as `get`."""
        return await self._retried("POST", path, {}, body)

    async def _retried(self, method: str, path: str, query: dict[str, str], body: Mapping[str, Any] | None) -> dict[str, Any]:
        options = self._options
        for attempt in range(1, options.attempts + 1):
            try:
                return await self._once(method, path, query, body)
            except RetryableError as error:
                delay_s = error.retry_after_s
                if delay_s is None:
                    delay_s = BACKOFF_S * 2 ** (attempt - 1) * (0.5 + options.runtime.random() / 2)
                if attempt == options.attempts or delay_s > options.wait_max_s:
                    raise
                await options.runtime.sleep(delay_s)
        raise AssertionError("attempts is at least 1")

    async def _once(self, method: str, path: str, query: dict[str, str], body: Mapping[str, Any] | None) -> dict[str, Any]:
        if self._session is None:
            raise Unreachable("not started")
        url = self._base.joinpath(*path.strip("/").split("/")) if path else self._base
        proxy = environment_proxy(url) if self._options.proxy else None
        try:
            # Redirects are not followed: they would carry the key along.
            async with self._session.request(method, url, params=query, json=body, allow_redirects=False, proxy=proxy) as response:
                if not 200 <= response.status < 300:
                    raise self._error(response)
                return _object(await self._read(response), path)
        except TimeoutError:
            raise Unreachable("timeout") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(type(error).__name__) from None

    def _error(self, response: aiohttp.ClientResponse) -> Refused | RetryableError:
        status = response.status
        if status in _RETRY:
            return Unreachable(f"HTTP {status}", retry_after_s(response.headers.get("Retry-After", ""), self._options.runtime.now_ns()))
        kind = NotFound if status == 404 else Refused
        return kind(REASONS.get(status, "redirected" if 300 <= status < 400 else f"http_{status}"), f"HTTP {status}")

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        limit, body = self._options.body_bytes_max, bytearray()
        async for piece in response.content.iter_chunked(_PIECE_BYTES):
            body += piece
            if len(body) > limit:
                raise TooLarge(limit, len(body))
        return bytes(body)


def _object(body: bytes, path: str) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        raise Unreadable(f"{path}: the answer is not JSON; is this the address of a Langfuse server?") from None
    if not isinstance(value, dict):
        raise Unreadable(f"{path}: the answer is not a JSON object")
    return value
