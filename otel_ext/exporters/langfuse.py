"""Langfuse as a destination: the OTLP endpoint for spans, and what spans and scores share.

Langfuse offers HTTP only, answers JSON whatever it was sent, and 400 for a whole batch because of one span. Its 500 is S3 or Redis that
failed: worth another try, where OTLP would not.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from otel_ext.exporters.base import Runtime, SendResult
from otel_ext.exporters.http import BAD_DATA, REASONS, HttpClient, StatusTable
from otel_ext.settings import ClientTls

TRACES_PATH: Final = "/api/public/otel/v1/traces"
SCORES_PATH: Final = "/api/public/scores"
TABLE: Final = StatusTable(retry=frozenset({429, *range(500, 600)}), reasons=REASONS, bad_data=BAD_DATA)
# What people paste as a host: any part of the OTLP path may be there.
_PATHS: Final = ("/v1/traces", "/otel", "/public", "/api")


class LangfuseSpans:
    """POST /api/public/otel/v1/traces. `host` is the base URL of the server; the secret key must not hold a colon."""

    def __init__(
        self,
        host: str,
        public_key: str,
        secret_key: str,
        runtime: Runtime,
        *,
        name: str = "langfuse",
        gzip: bool = False,
        timeout_s: float = 10.0,
        tls: ClientTls | None = None,
        proxy: bool = False,
    ) -> None:
        headers = {
            "Authorization": basic_auth(public_key, secret_key),
            # `application/protobuf` is refused here.
            "Content-Type": "application/x-protobuf",
            # 4: written at once, not by a job that runs ten minutes later; a server that does not know it ignores it.
            "x-langfuse-ingestion-version": "4",
            # Our own name: `python` would switch the server to rules made for its SDK.
            "x-langfuse-sdk-name": "otel_ext",
            "x-langfuse-sdk-version": sdk_version(),
        }
        self._name = name
        self._client = HttpClient(
            base_url(host) + TRACES_PATH, headers, TABLE, runtime, timeout_s=timeout_s, gzip=gzip, tls=tls, proxy=proxy
        )

    def __repr__(self) -> str:
        return f"LangfuseSpans({self._client!r})"

    @property
    def name(self) -> str:
        """The label."""
        return self._name

    async def start(self) -> None:
        """Make the session."""
        await self._client.start()

    async def send(self, payload: bytes) -> SendResult:
        """One POST; raises by TABLE. The answer is the server's own job record, not OTLP: it is not looked at."""
        return await self.send_parts((payload,))

    async def send_parts(self, parts: Sequence[bytes]) -> SendResult:
        """`send` of *parts* joined, without a copy."""
        await self._client.post(*parts)
        return SendResult()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def base_url(host: str) -> str:
    """The server's base URL, whatever part of the OTLP path *host* came with."""
    base = host.rstrip("/")
    if base.endswith(("/api/public/otel", "/api/public/otel/v1/traces", "/api/public")):
        for path in _PATHS:
            base = base.removesuffix(path)
    return base


def basic_auth(public_key: str, secret_key: str) -> str:
    """The Authorization header of a project's key pair."""
    return "Basic " + base64.b64encode(f"{public_key}:{secret_key}".encode()).decode()


def sdk_version() -> str:
    """Our version, for the server's statistics."""
    try:
        return version("otel-ext")
    except PackageNotFoundError:
        return "0"
