"""One HTTP client per destination, and what a status code means for the bytes that were sent.

The only room of the exporters that knows aiohttp. Errors carry status codes and the kind of fault, never a URL, a header or a body: those
may hold secrets or what an agent said.
"""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from otel_ext.errors import ConfigError, Refused, RetryableError, Unreachable
from otel_ext.exporters.base import Runtime
from otel_ext.exporters.retry import NS_PER_S
from otel_ext.settings import ClientTls

# Node servers (Langfuse) close an idle connection after 5 s: reusing one at that very moment loses a request.
KEEPALIVE_S = 4.0
CONNECTIONS_MAX = 8
# OTLP 1.11: a response has a limit too; ours are a few bytes.
ANSWER_BYTES_MAX = 4 * 1024 * 1024
GZIP_LEVEL = 1
COPIED_BYTES_MAX = 64 * 1024  # up to this a copy costs less than a write of its own
_GZIP_WBITS = 31
_SKIPPED_HEADERS = ("User-Agent", "Accept", "Accept-Encoding")


@dataclass(frozen=True, slots=True)
class Answer:
    """A response whose status is 2xx."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class StatusTable:
    """What a status means: retry it, or refuse with a reason. `bad_data` are those where other bytes may be accepted."""

    retry: Collection[int]
    reasons: Mapping[int, str]
    bad_data: Collection[int]

    def error(self, status: int, retry_after_s: float | None) -> Refused | RetryableError:
        """The error for a *status* that is not 2xx."""
        if status in self.retry:
            return Unreachable(f"HTTP {status}", retry_after_s)
        reason = self.reasons.get(status, "redirected" if 300 <= status < 400 else f"http_{status}")
        return Refused(reason, f"HTTP {status}", bad_data=status in self.bad_data)


REASONS: Final[Mapping[int, str]] = {
    400: "bad_data",
    401: "unauthenticated",
    403: "permission_denied",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
}
BAD_DATA: Final = frozenset({400, 413})


class HttpClient:
    """Posts to one URL over kept connections. `headers` may hold secrets: they are in no repr and no error.

    *proxy* lets HTTP_PROXY, HTTPS_PROXY and NO_PROXY of the environment say the way.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        table: StatusTable,
        runtime: Runtime,
        *,
        timeout_s: float,
        gzip: bool = False,
        tls: ClientTls | None = None,
        proxy: bool = False,
    ) -> None:
        self._url = URL(url)
        self._headers = {**headers, **({"Content-Encoding": "gzip"} if gzip else {})}
        self._table = table
        self._runtime = runtime
        self._timeout_s = timeout_s
        self._gzip = gzip
        self._tls = tls
        self._proxy = environment_proxy(self._url) if proxy else None
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"HttpClient({self._url.scheme}://{self._url.host}:{self._url.port})"

    async def start(self) -> None:
        """Make the session; nothing is connected yet. Raises ConfigError for a TLS file that cannot be used."""
        secured = client_context(self._tls) if self._tls else True
        connector = aiohttp.TCPConnector(limit=CONNECTIONS_MAX, keepalive_timeout=KEEPALIVE_S, ssl=secured)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            skip_auto_headers=_SKIPPED_HEADERS,
            timeout=aiohttp.ClientTimeout(total=self._timeout_s),
        )

    async def close(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def post(self, *body: bytes) -> Answer:
        """One POST of the parts of *body*, joined; returns on 2xx, raises Refused or RetryableError by the table.

        Redirects are not followed: they would carry the key along.
        """
        if self._session is None:
            raise Unreachable("not started")
        if self._gzip:
            body = (await asyncio.to_thread(zlib.compress, b"".join(body), GZIP_LEVEL, _GZIP_WBITS),)
        elif sum(map(len, body)) < COPIED_BYTES_MAX * len(body):
            body = (b"".join(body),)
        try:
            async with self._session.post(self._url, data=_Body(body), allow_redirects=False, proxy=self._proxy) as response:
                if 200 <= response.status < 300:
                    return Answer(response.status, await _read(response))
                delay_s = retry_after_s(response.headers.get("Retry-After", ""), self._runtime.now_ns())
                raise self._table.error(response.status, delay_s)
        except TimeoutError:
            raise Unreachable("timeout") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(type(error).__name__) from None


def environment_proxy(url: URL) -> URL | None:
    """The proxy that HTTP_PROXY or HTTPS_PROXY names for *url*, unless NO_PROXY excepts it.

    Not aiohttp's `trust_env`: that would also let a ~/.netrc replace our Authorization.
    """
    if proxy_bypass(f"{url.host}:{url.port}"):
        return None
    proxy = getproxies().get(url.scheme, "")
    return URL(proxy if "://" in proxy else f"http://{proxy}") if proxy else None


def client_context(tls: ClientTls) -> ssl.SSLContext:
    """What *tls* says, with every file read; raises ConfigError for one that cannot be used."""
    try:
        context = ssl.create_default_context(cafile=_readable(tls.ca_file))
    except ssl.SSLError:
        raise ConfigError([f"{tls.ca_file}: holds no certificate in PEM"]) from None
    if tls.cert_file or tls.key_file:
        try:
            # Without a password an encrypted key would ask for one on the terminal.
            context.load_cert_chain(_readable(tls.cert_file) or "", _readable(tls.key_file), password=lambda: b"")
        except (ssl.SSLError, OSError):
            raise ConfigError([f"{tls.cert_file}, {tls.key_file}: are not a certificate and its unencrypted key in PEM"]) from None
    return context


def _readable(path: str) -> str | None:
    """*path*, None for ""; raises ConfigError, because OpenSSL does not say which file it could not read."""
    if not path:
        return None
    try:
        with open(path, "rb"):
            return path
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read ({error.strerror})"]) from None


class _Body(aiohttp.payload.Payload):
    """Bytes as they are, one after the other: joining megabytes costs as much as sending them. The size is known, nothing is chunked."""

    _value: Sequence[bytes]

    def __init__(self, value: Sequence[bytes]) -> None:
        super().__init__(value)
        self._size = sum(map(len, value))

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return b"".join(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        # Else aiohttp copies headers and first part into one. Before 3.12 it had sent the headers by now.
        if len(self._value[0]) > COPIED_BYTES_MAX and (send_headers := getattr(writer, "send_headers", None)):
            send_headers()
        for part in self._value:
            await writer.write(part)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    try:
        body = await response.content.read(ANSWER_BYTES_MAX)
        while body and len(body) < ANSWER_BYTES_MAX and (more := await response.content.read(ANSWER_BYTES_MAX - len(body))):
            body += more
    except (aiohttp.ClientError, OSError):
        # The status said success: an answer cut short is no reason to send again (otelcol #15386).
        return b""
    return body


def retry_after_s(value: str, now_ns: int) -> float | None:
    """Seconds asked for by a Retry-After header (delta-seconds or HTTP-date, RFC 9110 10.2.3); None where it cannot be read."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:12])
    try:
        date: Any = parsedate_to_datetime(value)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, float(date.timestamp()) - now_ns / NS_PER_S)
