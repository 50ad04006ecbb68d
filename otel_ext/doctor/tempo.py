"""Tempo: takes a trace, and gives it back where its query address is known."""

from __future__ import annotations

import base64
import json
from typing import Final
from urllib.parse import urlsplit

from otel_ext.doctor.rows import Checks, Finding, Skip, Surroundings, Wrong
from otel_ext.doctor.web import Web
from otel_ext.errors import OtelExtError
from otel_ext.outputs import tempo_destination
from otel_ext.settings import NS_PER_S, Settings, Tempo

QUERY_PORT: Final = 3200  # Tempo's own default of server.http_listen_port
FIXES: Final = {
    "unauthenticated": "it wants credentials: set exporters.tempo.headers (Authorization, X-Scope-OrgID)",
    "permission_denied": "the credentials in exporters.tempo.headers may not write",
    "not_found": "it has no OTLP there: for protocol http give the base URL (port 4318), for grpc port 4317",
    "unimplemented": "it has no OTLP there: for protocol http give the base URL (port 4318), for grpc port 4317",
    "redirected": "exporters.tempo.endpoint redirects: give the URL that it redirects to",
    "Certificate": "its certificate is not trusted here: set exporters.tempo.tls.ca_file to the authority's certificate",
    "SSL": "it does not speak TLS as expected: is it http instead of https, or is a client certificate missing (exporters.tempo.tls)?",
    "DNS": "the name in exporters.tempo.endpoint cannot be resolved from here",
    "rate_limited": "its rate limit is used up: raise ingestion.rate_limit_bytes in Tempo's overrides",
    "timeout": "it does not answer in time: check firewall and proxy, or raise exporters.tempo.timeout",
    "": "nothing answers there as expected: is Tempo running, is exporters.tempo.endpoint right from this machine, and its protocol"
    " (grpc: 4317, http: 4318)?",
}


async def examine(settings: Settings, tempo: Tempo, around: Surroundings) -> list[Finding]:
    """The rows of Tempo."""
    checks = Checks("tempo", FIXES)
    examination = _Examination(settings, tempo, around)
    await checks.run("takes a trace", examination.takes)
    await checks.run("can be queried", examination.queried)
    await checks.run("gives it back", examination.gives_back)
    return checks.found


class _Examination:
    def __init__(self, settings: Settings, tempo: Tempo, around: Surroundings) -> None:
        self._tempo, self._around = tempo, around
        self._proxy = settings.exporters.proxy_from_environment
        self._web = Web(tempo.timeout / NS_PER_S, tempo.headers, tempo.tls, self._proxy)
        self._query_url = tempo.query_url

    async def takes(self) -> str:
        sender = tempo_destination(self._tempo, self._around.runtime, self._proxy)
        await sender.start()
        try:
            result = await sender.send(self._around.payload())
        finally:
            await sender.close()
        if result.rejected_spans:
            raise Wrong("it rejected the span", "look at Tempo's log for why")
        return f"trace {self._around.trace_id.hex()}"

    async def queried(self) -> str:
        if not self._query_url and not await self._guess():
            raise Skip("set exporters.tempo.query_url (Tempo's own HTTP port, 3200) to have the trace read back")
        page = await self._web.get(f"{self._query_url}/api/echo")
        if page.status in (401, 403):
            raise Wrong(f"HTTP {page.status}", "the credentials in exporters.tempo.headers may not read from exporters.tempo.query_url")
        if page.status != 200:
            raise Wrong(
                f"HTTP {page.status}", f"{self._query_url} answers, but is not Tempo's query API: is exporters.tempo.query_url right?"
            )
        return f"{self._query_url}, {await self._version()}"

    async def _guess(self) -> bool:
        """Whether Tempo answers on its own default port beside the endpoint; only without TLS, where no name tells who answers."""
        parts = urlsplit(self._tempo.endpoint)
        if parts.scheme != "http":
            return False
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        url = f"http://{host}:{QUERY_PORT}"
        try:
            page = await Web(2.0, proxy=self._proxy).get(f"{url}/api/echo")
        except OtelExtError:
            return False
        found = page.status == 200 and page.body.strip() == b"echo"
        self._query_url = url if found else ""
        return found

    async def _version(self) -> str:
        page = await self._web.get(f"{self._query_url}/api/status/buildinfo")
        try:
            return f"Tempo {json.loads(page.body)['version']}"
        except (ValueError, KeyError, TypeError):
            return "version unknown"

    async def gives_back(self) -> str:
        if not self._query_url:
            raise Skip("its query address is not known")

        span_id = self._around.span_id
        # As protobuf, or as JSON of either kind, whatever was asked for.
        forms = (span_id, base64.b64encode(span_id), span_id.hex().encode())

        async def look() -> bool:
            page = await self._web.get(f"{self._query_url}/api/traces/{self._around.trace_id.hex()}", "application/protobuf")
            if page.status not in (200, 404):
                raise Wrong(f"HTTP {page.status}", "Tempo's query API has a fault of its own: look at its log")
            return page.status == 200 and any(form in page.body for form in forms)

        started_ns = self._around.runtime.now_ns()
        if not await self._around.wait_for(look):
            raise Wrong(
                f"not readable within {self._around.deadline_s:g} s",
                "it took the trace and does not find it: is query_url the same Tempo and tenant (X-Scope-OrgID)? Or wait (--deadline)",
            )
        return f"read after {(self._around.runtime.now_ns() - started_ns) / NS_PER_S:.1f} s"
