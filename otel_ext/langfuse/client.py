"""The routes, of both generations of the server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from otel_ext.langfuse import values
from otel_ext.langfuse.http import Http, NotFound, Options
from otel_ext.langfuse.values import Health, ModelDefinition, Observation, Project, Raw, Score, Trace, Unreadable

T = TypeVar("T")

PUBLIC: Final = "api/public"
PAGE: Final = 100  # the most that v1 routes give at once
PAGES_MAX: Final = 10_000
FIELDS: Final = "core,basic,time,io,metadata,model,usage"
SCORE_FIELDS: Final = "details,subject"

Get = Callable[[], Awaitable[dict[str, Any]]]


class Api:
    """A Langfuse server as one project's keys see it. `async with`, or `start` and `close`.

    Every call raises Refused (`reason` is unauthenticated, permission_denied, ...), NotFound, RetryableError once attempts are used up,
    TooLarge or Unreadable.
    """

    def __init__(self, host: str, public_key: str, secret_key: str, options: Options | None = None) -> None:
        self._http = Http(host, public_key, secret_key, options or Options())
        self._older: dict[str, bool] = {}  # by what is read: the older route answered last

    def __repr__(self) -> str:
        return f"Api({self._http!r})"

    async def __aenter__(self) -> Api:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Make the session; nothing is connected yet."""
        await self._http.start()

    async def close(self) -> None:
        """Close all connections."""
        await self._http.close()

    @property
    def older(self) -> Mapping[str, bool]:
        """Which routes were found to be the older ones, by what is read: what was not read is not in it."""
        return self._older

    # -- the server and its project

    async def health(self) -> Health:
        """Status and version; needs no key."""
        return values.health(await self._http.get(f"{PUBLIC}/health"))

    async def projects(self) -> list[Project]:
        """The project of the key pair; Refused where the keys are wrong, or are those of an organisation."""
        return values.listed(await self._http.get(f"{PUBLIC}/projects"), "projects", values.project)

    # -- traces

    async def trace(self, trace_id: str) -> Trace | None:
        """The trace as stored so far; None where nothing of it is (yet)."""

        async def newer() -> Trace | None:
            found = [each async for each in self._by_cursor("v2/observations", {"traceId": trace_id, "fields": FIELDS}, values.observation)]
            return values.trace_of(trace_id, found) if found else None

        async def older() -> Trace | None:
            try:
                return values.trace(await self._http.get(f"{PUBLIC}/traces/{trace_id}"))
            except NotFound:
                # Not stored, or no such route here: a server of the older generation says the same to both.
                await self._http.get(f"{PUBLIC}/traces", {"limit": "1"})
                return None

        return await self._either("traces", newer, older)

    async def observations(self, **filters: str) -> AsyncIterator[Observation]:
        """Spans by `trace_id`, `name`, `type`, `level`, `user_id`, `environment`, `from_start_time`, `to_start_time` (ISO 8601).

        Page by page, the newest first. A time window spares the server a search of everything.
        """
        query = {_camel(key): value for key, value in filters.items()}
        newer = self._by_cursor("v2/observations", {**query, "fields": FIELDS}, values.observation)
        async for each in self._pages("observations", newer, self._by_page("observations", query, values.observation)):
            yield each

    async def scores(self, *, trace_id: str = "", ids: Sequence[str] = (), name: str = "") -> AsyncIterator[Score]:
        """Scores of a trace, by id, or by name; page by page."""
        newer = _given({"traceId": trace_id, "id": ",".join(ids), "name": name})
        older = _given({"traceId": trace_id, "scoreIds": ",".join(ids), "name": name})
        by_cursor = self._by_cursor("v3/scores", {**newer, "fields": SCORE_FIELDS}, values.score)
        async for each in self._pages("scores", by_cursor, self._by_page("v2/scores", older, values.score)):
            yield each

    async def metrics(self, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Rows of a metrics query (view, dimensions, metrics, filters, fromTimestamp, toTimestamp, ...), keyed as the server keys them."""
        given = {"query": json.dumps(query)}

        async def newer() -> Raw:
            return await self._http.get(f"{PUBLIC}/v2/metrics", given)

        async def older() -> Raw:
            return await self._http.get(f"{PUBLIC}/metrics", given)

        return values.items(await self._either("metrics", newer, older), "data", "metrics")

    # -- model definitions

    def models(self) -> AsyncIterator[ModelDefinition]:
        """Every definition that holds in the project, those that came with the server too."""
        return self._by_page("models", {}, values.model_definition)

    async def create_model(self, definition: ModelDefinition) -> str:
        """Add a definition to the project; its id. A name that the project has is refused."""
        answer = await self._http.post(f"{PUBLIC}/models", values.model_request(definition))
        return str(answer.get("id", ""))

    # -- generations and pages

    async def _either(self, what: str, newer: Callable[[], Awaitable[T]], older: Callable[[], Awaitable[T]]) -> T:
        """The answer of the route that answered last, else of the other one."""
        first_older = self._older.get(what, False)
        try:
            answer = await (older if first_older else newer)()
        except NotFound:
            answer = await (newer if first_older else older)()
            first_older = not first_older
        self._older[what] = first_older
        return answer

    async def _pages(self, what: str, newer: AsyncIterator[T], older: AsyncIterator[T]) -> AsyncIterator[T]:
        """The same for routes that page: what decides is their first page."""
        first_older = self._older.get(what, False)
        pages = older if first_older else newer
        try:
            first = await anext(pages, None)
        except NotFound:
            pages = newer if first_older else older
            first = await anext(pages, None)
            first_older = not first_older
        self._older[what] = first_older
        if first is not None:
            yield first
            async for each in pages:
                yield each

    async def _by_cursor(self, path: str, query: Mapping[str, str], read: Callable[[Raw], T]) -> AsyncIterator[T]:
        cursor = ""
        for _ in range(PAGES_MAX):
            page = await self._http.get(f"{PUBLIC}/{path}", _given({**query, "limit": str(PAGE), "cursor": cursor}))
            for each in values.listed(page, path, read):
                yield each
            meta = page.get("meta")
            following = meta.get("cursor") if isinstance(meta, dict) else None
            if not isinstance(following, str) or not following:
                return
            if following == cursor:
                raise Unreadable(f"{path}: the cursor leads nowhere")
            cursor = following

    async def _by_page(self, path: str, query: Mapping[str, str], read: Callable[[Raw], T]) -> AsyncIterator[T]:
        for number in range(1, PAGES_MAX + 1):
            page = await self._http.get(f"{PUBLIC}/{path}", {**query, "limit": str(PAGE), "page": str(number)})
            found = values.listed(page, path, read)
            for each in found:
                yield each
            meta = page.get("meta")
            total = meta.get("totalPages") if isinstance(meta, dict) else None
            if not found or not isinstance(total, int) or number >= total:
                return


def _given(query: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in query.items() if value}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
