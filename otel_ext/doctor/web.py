"""One bounded GET, for servers that have no client of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import aiohttp
from yarl import URL

from otel_ext.errors import Unreachable
from otel_ext.exporters.http import client_context, environment_proxy
from otel_ext.settings import ClientTls

BODY_BYTES_MAX: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Page:
    """A status, and the first bytes of its body."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Web:
    """How to ask one server. `headers` may hold secrets: they are in no error."""

    timeout_s: float
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    tls: ClientTls | None = None
    proxy: bool = False

    async def get(self, url: str, accept: str = "*/*") -> Page:
        """GET *url*, redirects are not followed; raises Unreachable, ConfigError for a TLS file that cannot be used."""
        timeout = aiohttp.ClientTimeout(total=self.timeout_s)
        connector = aiohttp.TCPConnector(ssl=client_context(self.tls) if self.tls else True)
        proxy = environment_proxy(URL(url)) if self.proxy else None
        headers = {**self.headers, "Accept": accept}
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
                session.get(url, headers=headers, allow_redirects=False, proxy=proxy) as response,
            ):
                body = bytearray()
                async for piece in response.content.iter_chunked(65_536):
                    body += piece[: BODY_BYTES_MAX - len(body)]
                    if len(body) == BODY_BYTES_MAX:
                        break
                return Page(response.status, bytes(body))
        except TimeoutError:
            raise Unreachable("timeout") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(type(error).__name__) from None
