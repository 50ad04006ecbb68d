"""Langfuse projects side by side: whose spans go to which one, each with a queue and a lane of scores of its own.

A request that came with keys goes to the project of those keys; else the table of the configuration decides by resource; else the keys of
the configuration are used. A caller becomes a tenant when their first request comes, `max_callers` at once; the one that was idle longest
makes room for the next.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import islice
from typing import Final

from otel_ext.errors import Overloaded
from otel_ext.exporters.base import Undelivered
from otel_ext.exporters.delivery import Delivery
from otel_ext.exporters.scores import LangfuseScores
from otel_ext.model import Caller
from otel_ext.settings import Langfuse, Project
from otel_ext.wire.resources import shares, text_attributes

RESOURCES_KNOWN_MAX: Final = 1_024
RETRY_S: Final = 1.0
DEFAULT_NAME: Final = "langfuse"

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Tenant:
    """One project. `index` is its place in a Record; `users` are requests at work for it."""

    index: int
    delivery: Delivery
    scores: LangfuseScores | None
    users: int = 0
    used: int = 0
    open: bool = True

    @property
    def idle(self) -> bool:
        """Nothing waits and nobody is at work."""
        return not self.users and not self.delivery.queue_size and not (self.scores and self.scores.queue_size)

    async def start(self) -> None:
        """Start spans and scores."""
        await self.delivery.start()
        if self.scores:
            await self.scores.start()

    async def drain(self, timeout_s: float) -> list[Undelivered]:
        """Deliver what waits, then stop."""
        self.open = False
        everything: list[Delivery | LangfuseScores] = [self.delivery, *([self.scores] if self.scores else [])]
        return list(await asyncio.gather(*(each.drain(timeout_s) for each in everything)))


@dataclass(frozen=True, slots=True)
class Part:
    """What one tenant gets of a payload."""

    tenant: Tenant
    payload: bytes
    spans: int


# Of keys, a label and a place in records.
MakeTenant = Callable[[Caller, str, int], Tenant]


@dataclass(slots=True)
class Tenants:
    """All Langfuse projects of one process. *first* is the place of the default one in a Record; the others follow."""

    section: Langfuse
    first: int
    traces_max: int
    make: MakeTenant
    forgotten: int = 0  # traces whose project is not known any more; their scores are given up
    fixed: list[Tenant] = field(default_factory=list)  # the default one, then those of the table
    _keys: list[Caller] = field(default_factory=list)  # of `fixed`
    _callers: dict[Caller, Tenant] = field(default_factory=dict)
    _resources: dict[bytes, Tenant] = field(default_factory=dict)
    _traces: dict[bytes, Tenant] = field(default_factory=dict)  # those that are not in the default project
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    _clock: int = 0

    def __post_init__(self) -> None:
        holders: list[Langfuse | Project] = [self.section, *self.section.projects]
        self._keys += [Caller(holder.public_key, holder.secret_key) for holder in holders]
        names = [DEFAULT_NAME, *(f"{DEFAULT_NAME}/{project.name}" for project in self.section.projects)]
        self.fixed += [self.make(keys, name, self.first + at) for at, (keys, name) in enumerate(zip(self._keys, names, strict=True))]

    @property
    def default(self) -> Tenant:
        """The project of the configured keys."""
        return self.fixed[0]

    @property
    def all(self) -> list[Tenant]:
        """Every open tenant."""
        return [*self.fixed, *self._callers.values()]

    @property
    def by_resource(self) -> bool:
        """Whether the table looks at resources."""
        return any(project.resource for project in self.section.projects)

    # -- whose request it is

    async def of(self, caller: Caller | None) -> Tenant | None:
        """The tenant of a request's keys, None where resources decide; it stays open until `leave`. Raises Overloaded."""
        if caller is None or not self.section.caller_keys:
            return None
        tenant = self._known(caller)
        if tenant is None:
            async with self._opening:
                tenant = self._known(caller) or await self._open(caller)
        self._clock += 1
        tenant.used = self._clock
        tenant.users += 1
        return tenant

    @staticmethod
    def leave(tenant: Tenant | None) -> None:
        """The request is answered."""
        if tenant:
            tenant.users -= 1

    def _known(self, caller: Caller) -> Tenant | None:
        if tenant := self._callers.get(caller):
            return tenant
        if caller in self._keys:
            return self.fixed[self._keys.index(caller)]
        return next((tenant for tenant, project in self._table() if _fits(caller.public_key, project.callers)), None)

    def _table(self) -> Iterator[tuple[Tenant, Project]]:
        return zip(self.fixed[1:], self.section.projects, strict=True)

    async def _open(self, caller: Caller) -> Tenant:
        number = len(self._callers)
        if number < self.section.max_callers:
            index = self.first + len(self.fixed) + number
        else:
            index = await self._make_room()
            number = index - self.first - len(self.fixed)
        tenant = self.make(caller, f"{DEFAULT_NAME}_caller_{number + 1}", index)
        await tenant.start()
        self._callers[caller] = tenant
        log.info("%s: opened for the keys of a caller", tenant.delivery.name)
        return tenant

    async def _make_room(self) -> int:
        """Close the tenant that was idle longest; its place."""
        idle = [(tenant.used, caller) for caller, tenant in self._callers.items() if tenant.idle]
        if not idle:
            raise Overloaded(f"the tenants of {len(self._callers)} callers are all at work (exporters.langfuse.max_callers)", RETRY_S)
        tenant = self._callers.pop(min(idle, key=lambda each: each[0])[1])
        await tenant.drain(0)
        return tenant.index

    # -- whose spans they are

    def share(self, payload: bytes, spans: int, tenant: Tenant | None, trace_ids: Sequence[bytes]) -> list[Part]:
        """*payload*, by tenant; all of it for *tenant* where there is one. *trace_ids* are those in it."""
        if tenant is not None or not self.by_resource:
            tenant = tenant or self.default
            self._remember(trace_ids, tenant)
            return [Part(tenant, payload, spans)] if payload else []
        return self._by_resource(payload)

    def _by_resource(self, payload: bytes) -> list[Part]:
        found: dict[int, tuple[Tenant, list[bytes], int]] = {}
        for each in shares(payload):
            tenant = self._of_resource(each.resource)
            self._remember(each.trace_ids, tenant)
            _, parts, spans = found.get(tenant.index, (tenant, [], 0))
            found[tenant.index] = tenant, [*parts, each.payload], spans + len(each.trace_ids)
        return [Part(tenant, b"".join(parts), spans) for tenant, parts, spans in found.values()]

    def _of_resource(self, resource: bytes) -> Tenant:
        if resource not in self._resources:
            if len(self._resources) >= RESOURCES_KNOWN_MAX:
                self._resources.clear()
            attributes = text_attributes(resource)
            fitting = (tenant for tenant, project in self._table() if project.resource and _all_fit(attributes, project.resource))
            self._resources[resource] = next(fitting, self.default)
        return self._resources[resource]

    # -- whose findings they are

    def _remember(self, trace_ids: Sequence[bytes], tenant: Tenant) -> None:
        if tenant is self.default and not self._traces:
            return
        for trace_id in trace_ids:
            self._traces.pop(trace_id, None)
            if tenant is not self.default:
                self._traces[trace_id] = tenant
        excess = len(self._traces) - self.traces_max
        for trace_id in list(islice(self._traces, max(0, excess))):
            self.forgotten += 1
            del self._traces[trace_id]

    def is_default(self, trace_id: bytes) -> bool:
        """Whether a trace is in the project of the configured keys, as far as is known."""
        return trace_id not in self._traces

    def scores_of(self, trace_id: bytes) -> LangfuseScores | None:
        """Where scores of a trace go; None where its tenant was closed, or takes none."""
        tenant = self._traces.get(trace_id, self.default)
        return tenant.scores if tenant.open else None


def _fits(text: str, globs: Sequence[str]) -> bool:
    return any(fnmatchcase(text, glob) for glob in globs)


def _all_fit(attributes: dict[str, str], globs: dict[str, str]) -> bool:
    return all(fnmatchcase(attributes.get(key, ""), glob) for key, glob in globs.items())
