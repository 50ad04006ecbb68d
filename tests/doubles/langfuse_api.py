"""What else the Langfuse double serves, as its SDKs ask for it: prompts, datasets, score batches, media.

The names in comments (CAR, PEB, ...) are files of the server, listed in the research notes on Langfuse.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

# TYP: what a batch event may be; on v4 `events_only` (PEB) the last two alone are taken.
EVENT_TYPES = {"trace-create", "span-create", "generation-create", "event-create", "span-update", "generation-update"}
EVENTS_ONLY_TYPES = {"score-create", "sdk-log"}
BATCH_BYTES_MAX = 4_500_000
NOW = "2026-11-21T00:00:00.000Z"

PROMPT = {
    "id": "prompt-1", "name": "greeting", "version": 3, "type": "text", "prompt": "Say hello to {{name}}.",
    "labels": ["production"], "tags": [], "config": {}, "createdAt": NOW, "updatedAt": NOW,
}  # fmt: skip
DATASET = {
    "id": "dataset-1", "name": "questions", "description": None, "metadata": None, "projectId": "p",
    "inputSchema": None, "expectedOutputSchema": None, "createdAt": NOW, "updatedAt": NOW,
}  # fmt: skip
ITEM = {
    "id": "item-1", "status": "ACTIVE", "input": "1+1", "expectedOutput": "2", "metadata": None, "sourceTraceId": None,
    "sourceObservationId": None, "datasetId": "dataset-1", "datasetName": "questions", "mediaReferences": [],
    "createdAt": NOW, "updatedAt": NOW,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to the API: method, path with query, and the public key it came with ("" for none)."""

    method: str
    path: str
    public_key: str
    status: int


class ApiRefusalError(Exception):
    """A status and a body of the server's kind."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(status)
        self.status, self.body = status, body


class LangfuseApi:
    """The routes. *project* gives name and public key of a request's keys, or raises; *take_score* keeps a score."""

    def __init__(
        self,
        project: Callable[[web.Request], tuple[str, str]],
        take_score: Callable[[dict[str, Any], str], list[Any]],
        base: Callable[[], str],
    ) -> None:
        self.asked: list[Asked] = []
        self.annotations: list[tuple[str, str]] = []  # queue and object
        self.uploads: dict[str, bytes] = {}
        self.media: dict[str, dict[str, Any]] = {}
        self._project = project
        self._take_score = take_score
        self._base = base

    def routes(self) -> list[web.RouteDef]:
        """To be added to an application."""
        return [
            web.get("/api/public/v2/prompts/{name}", self._authed(self._prompt)),
            web.get("/api/public/v2/datasets/{name}", self._authed(self._dataset)),
            web.get("/api/public/dataset-items", self._authed(self._items)),
            web.post("/api/public/otel/v1/metrics", self._authed(self._metrics)),
            web.post("/api/public/ingestion", self._authed(self._ingestion)),
            web.post("/api/public/media", self._authed(self._media)),
            web.patch("/api/public/media/{id}", self._authed(self._media_done)),
            web.post("/api/public/annotation-queues/{queue}/items", self._authed(self._annotate)),
            web.put("/storage/{id}", self._storage),
        ]

    def _authed(self, handler: Callable[[web.Request, str], Awaitable[web.Response]]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            public_key = ""
            try:
                name, public_key = self._project(request)
                response = await handler(request, name)
            except ApiRefusalError as refusal:
                response = web.json_response(refusal.body, status=refusal.status)
            self.asked.append(Asked(request.method, request.path_qs, public_key, response.status))
            return response

        return answer

    async def _prompt(self, request: web.Request, _: str) -> web.Response:
        if request.match_info["name"] != PROMPT["name"] or request.query.keys() - {"version", "label", "resolve"}:
            raise ApiRefusalError(404, {"message": "Prompt not found", "error": "LangfuseNotFoundError"})
        return web.json_response(PROMPT)

    async def _dataset(self, request: web.Request, _: str) -> web.Response:
        if request.match_info["name"] != DATASET["name"]:
            raise ApiRefusalError(404, {"message": "Dataset not found", "error": "LangfuseNotFoundError"})
        return web.json_response(DATASET)

    async def _items(self, request: web.Request, _: str) -> web.Response:
        # v1 pagination: page from 1, limit up to 100.
        page, limit = int(request.query.get("page", 1)), int(request.query.get("limit", 50))
        if page < 1 or not 1 <= limit <= 100:
            raise ApiRefusalError(400, {"message": "Invalid request data", "error": [{"path": ["limit"]}]})
        items = [ITEM] if request.query.get("datasetName") == DATASET["name"] and page == 1 else []
        return web.json_response({"data": items, "meta": {"page": page, "limit": limit, "totalItems": 1, "totalPages": 1}})

    async def _metrics(self, _: web.Request, __: str) -> web.Response:
        # API/otel/v1/metrics: everything is taken, and thrown away.
        return web.json_response({"message": "OK"})

    async def _ingestion(self, request: web.Request, project: str) -> web.Response:
        body = await request.read()
        if len(body) > BATCH_BYTES_MAX:
            raise ApiRefusalError(413, {"message": "Body exceeded 4.5mb limit"})
        batch = json.loads(body).get("batch")
        # PEB: 400 only where the batch is no array; else always 207.
        if not isinstance(batch, list):
            raise ApiRefusalError(400, {"message": "Invalid request data", "errors": ["batch"]})
        successes, errors = [], []
        for event in batch:
            if event.get("type") not in EVENTS_ONLY_TYPES or (event["type"] == "score-create" and self._take_score(event["body"], project)):
                errors.append({"id": event.get("id"), "status": 400, "message": "Invalid request data", "error": ""})
            else:
                successes.append({"id": event["id"], "status": 201})
        return web.json_response({"successes": successes, "errors": errors}, status=207)

    async def _media(self, request: web.Request, _: str) -> web.Response:
        # SDK section: the fields, and a sha256 in base64 of 44 characters.
        asked = await request.json()
        if not {"traceId", "field", "contentType", "contentLength", "sha256Hash"} <= asked.keys() or len(asked["sha256Hash"]) != 44:
            raise ApiRefusalError(400, {"message": "Invalid request data", "error": []})
        # SDK media.py: the id is the hash in URL-safe base64, its first 22 characters; an SDK refuses to upload under another one.
        key = asked["sha256Hash"].replace("+", "-").replace("/", "_")[:22]
        self.media[key] = asked
        return web.json_response({"mediaId": key, "uploadUrl": f"{self._base()}/storage/{key}?signature=s"}, status=201)

    async def _media_done(self, request: web.Request, _: str) -> web.Response:
        self.media[request.match_info["id"]]["done"] = await request.json()
        return web.json_response({})

    async def _annotate(self, request: web.Request, _: str) -> web.Response:
        # 4.3: strict, unknown keys are refused; the object need not exist, and the same one is taken as often as it comes.
        item = await request.json()
        known = item.keys() <= {"objectId", "objectType", "status"} and item.get("objectType") in ("TRACE", "OBSERVATION", "SESSION")
        if not known or not isinstance(item.get("objectId"), str):
            raise ApiRefusalError(400, {"message": "Invalid request data", "error": []})
        self.annotations.append((request.match_info["queue"], item["objectId"]))
        return web.json_response({"id": f"item-{len(self.annotations)}", **item})

    async def _storage(self, request: web.Request) -> web.Response:
        # Presigned: whoever has the URL may write, and an Authorization beside the signature is refused, as S3 does.
        status = 400 if "Authorization" in request.headers else 200
        self.uploads[request.match_info["id"]] = await request.read()
        return web.Response(status=status)
