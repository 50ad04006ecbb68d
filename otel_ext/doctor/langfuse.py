"""Langfuse: reachable, of a generation we know, authorised, takes a trace, and gives it back."""

from __future__ import annotations

from otel_ext.doctor.rows import Checks, Finding, Surroundings, Wrong
from otel_ext.langfuse import Api, Options
from otel_ext.model import Caller
from otel_ext.outputs import langfuse_destination
from otel_ext.settings import NS_PER_S, Langfuse, Settings

GENERATIONS = ("3", "4")
FIXES = {
    "unauthenticated": "the keys are not known there: public_key and secret_key must be a pair of one project on exporters.langfuse.host",
    "permission_denied": "the keys may not do that: they must be a project's, not an organisation's; or ingestion is suspended for it",
    "not_found": "exporters.langfuse.host answers, but is no Langfuse: give the base URL, without a path of its API",
    "redirected": "exporters.langfuse.host redirects: give the URL that it redirects to (https instead of http?)",
    "not JSON": "exporters.langfuse.host answers, but is no Langfuse: give the base URL, without a path of its API",
    "Certificate": "its certificate is not trusted here: set exporters.langfuse.tls.ca_file to the authority's certificate",
    "SSL": "it does not speak TLS as expected: is it http instead of https, or is a client certificate missing (exporters.langfuse.tls)?",
    "DNS": "the name of exporters.langfuse.host cannot be resolved from here",
    "timeout": "it does not answer in time: check firewall and proxy, or raise exporters.langfuse.timeout",
    "HTTP 429": "its rate limit is used up: try again later",
    "HTTP 5": "the server has a fault of its own: look at its log (for spans: its S3 and Redis)",
    "": "nothing answers there: is Langfuse running, and is exporters.langfuse.host right from this machine?",
}


async def examine(settings: Settings, langfuse: Langfuse, keys: Caller, name: str, around: Surroundings) -> list[Finding]:
    """The rows of one project."""
    proxy = settings.exporters.proxy_from_environment
    options = Options(timeout_s=langfuse.timeout / NS_PER_S, attempts=3, tls=langfuse.tls, proxy=proxy, runtime=around.runtime)
    checks = Checks(name, FIXES)
    api = Api(langfuse.host, keys.public_key, keys.secret_key, options)
    examination = _Examination(settings, langfuse, keys, api, around)
    try:
        await checks.run("reachable", examination.reachable)
        await checks.run("server generation", examination.generation)
        await checks.run("authorised", examination.authorised)
        await checks.run("takes a trace", examination.takes)
        await checks.run("gives it back", examination.gives_back)
    finally:
        await api.close()
    return checks.found


class _Examination:
    def __init__(self, settings: Settings, langfuse: Langfuse, keys: Caller, api: Api, around: Surroundings) -> None:
        self._settings, self._langfuse, self._keys, self._api, self._around = settings, langfuse, keys, api, around
        self._version = ""

    async def reachable(self) -> str:
        await self._api.start()
        health = await self._api.health()
        self._version = health.version
        if health.status != "OK" or not health.version:
            raise Wrong(f"says {health.status or 'nothing'}", "it is up but not well: look at its log")
        return f"Langfuse {health.version}"

    async def generation(self) -> str:
        major = self._version.split(".")[0]
        if major not in GENERATIONS:
            raise Wrong(f"version {self._version}", "servers of 3.x and 4.x are known: older ones take no OTLP, newer ones were not tried")
        return f"{major}.x"

    async def authorised(self) -> str:
        projects = await self._api.projects()
        if not projects:
            raise Wrong("the keys belong to no project", FIXES["permission_denied"])
        expected = self._settings.links.langfuse_project
        if expected and self._keys.public_key == self._langfuse.public_key and expected not in {project.id for project in projects}:
            raise Wrong(
                f"project {projects[0].name} ({projects[0].id})",
                f"links.langfuse_project is {expected}, so links lead to another project: set it to {projects[0].id}",
            )
        return f"project {projects[0].name} ({projects[0].id})"

    async def takes(self) -> str:
        proxy = self._settings.exporters.proxy_from_environment
        sender = langfuse_destination(self._langfuse, self._keys, "langfuse", self._around.runtime, proxy)
        await sender.start()
        try:
            await sender.send(self._around.payload())
        finally:
            await sender.close()
        return f"trace {self._around.trace_id.hex()}"

    async def gives_back(self) -> str:
        span_id, trace_id = self._around.span_id.hex(), self._around.trace_id.hex()

        async def look() -> bool:
            trace = await self._api.trace(trace_id)
            return trace is not None and any(each.id == span_id for each in trace.observations)

        started_ns = self._around.runtime.now_ns()
        if not await self._around.wait_for(look):
            raise Wrong(
                f"not readable within {self._around.deadline_s:g} s",
                "it took the trace and did not store it: look at Langfuse's worker, its queue and ClickHouse; or wait longer (--deadline)",
            )
        route = "v1 routes" if self._api.older.get("traces") else "v2 routes"
        return f"read after {(self._around.runtime.now_ns() - started_ns) / NS_PER_S:.1f} s, by its {route}"
