"""What the Langfuse double gives back: traces, observations, scores, metrics, model definitions; by the routes of either generation.

    langfuse.read.generation = "v3"      # or "v4" (events_only, the default of a new server)
    langfuse.read.blind = 2              # so many reads of traces see nothing yet: what is stored is not readable at once
    langfuse.read.fail_next(2, 429, retry_after_s=1)
    langfuse.read.models, langfuse.read.asked

Section numbers in comments are those of the research notes on Langfuse.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

PUBLIC = "/api/public"
PROJECT = {"id": "project-1", "name": "shop", "organization": {"id": "org-1", "name": "acme"}, "metadata": {}}
# Section 6: the groups of `fields`; core is always there.
GROUPS: dict[str, tuple[str, ...]] = {
    "core": ("id", "traceId", "startTime", "endTime", "projectId", "parentObservationId", "type"),
    "basic": ("name", "level", "statusMessage", "version", "environment", "public", "userId", "sessionId", "isRootObservation"),
    "time": ("completionStartTime", "createdAt", "updatedAt"),
    "io": ("input", "output"),
    "metadata": ("metadata",),
    "model": ("providedModelName", "model", "internalModelId", "modelParameters"),
    "usage": ("usageDetails", "costDetails", "totalCost"),
    "prompt": (), "metrics": (), "trace_context": (),
}  # fmt: skip
UNITS = {"TOKENS", "CHARACTERS", "MILLISECONDS", "SECONDS", "REQUESTS", "IMAGES"}
OPERATORS = {"gt", "gte", "lt", "lte", "eq", "neq"}
MODEL_KEYS = {"modelName", "matchPattern", "unit", "startDate", "tokenizerId", "tokenizerConfig", "pricingTiers"}
MODEL_KEYS |= {"inputPrice", "outputPrice", "totalPrice"}
# Section 2.1, the rows that spans of our tests meet.
OPERATIONS = {
    "chat": "GENERATION",
    "text_completion": "GENERATION",
    "embeddings": "EMBEDDING",
    "invoke_agent": "AGENT",
    "execute_tool": "TOOL",
}

Handler = Callable[[web.Request], Awaitable[dict[str, Any]]]


class Refusal(Exception):
    """A status other than 200."""

    def __init__(self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status)
        self.status, self.body, self.headers = status, body, headers or {}


@dataclass(slots=True)
class ReadApi:
    """Reads *spans* and *scores* of the double; *authorize* raises Refusal for keys it does not know."""

    spans: Mapping[tuple[str, str], Any]
    scores: Mapping[str, dict[str, Any]]
    authorize: Callable[[web.Request], object]
    generation: str = "v4"
    version: str = ""
    model_key: str = "providedModelName"  # of 4.16's v2 route; "model" of later ones
    blind: int = 0
    models: list[dict[str, Any]] = field(default_factory=list)
    refuse: set[str] = field(default_factory=set)  # names of models that are not taken
    metrics: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)  # paths with queries, in order
    _failures: list[Refusal] = field(default_factory=list)

    def fail_next(
        self, count: int = 1, status: int = 500, *, retry_after_s: int | None = None, body: Mapping[str, Any] | None = None
    ) -> None:
        """Refuse the next *count* reads."""
        headers = {"Retry-After": str(retry_after_s)} if retry_after_s is not None else {}
        self._failures += [Refusal(status, body or {"message": "told to fail"}, headers)] * count

    def routes(self) -> list[web.RouteDef]:
        """To be added to an application."""
        return [
            web.get(f"{PUBLIC}/health", self._health),
            web.get(f"{PUBLIC}/projects", self._answering(self._projects)),
            web.get(f"{PUBLIC}/v2/observations", self._answering(self._observations_v2, only="v4")),
            web.get(f"{PUBLIC}/observations", self._answering(self._observations_v1, only="v3")),
            web.get(f"{PUBLIC}/traces", self._answering(self._traces, only="v3")),
            web.get(f"{PUBLIC}/traces/{{id}}", self._answering(self._trace, only="v3")),
            # Section 4.1: v3/scores is there in 3.225 and 4.x; the older lists are gone on events_only.
            web.get(f"{PUBLIC}/v3/scores", self._answering(self._scores_v3, only="v4")),
            web.get(f"{PUBLIC}/v2/scores", self._answering(self._scores_v2, only="v3")),
            web.get(f"{PUBLIC}/v2/metrics", self._answering(self._metrics, only="v4")),
            web.get(f"{PUBLIC}/metrics", self._answering(self._metrics, only="v3")),
            web.get(f"{PUBLIC}/models", self._answering(self._models)),
            web.post(f"{PUBLIC}/models", self._answering(self._create_model)),
        ]

    def _answering(self, handler: Handler, only: str = "") -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            self.asked.append(request.path_qs)
            try:
                if self._failures:
                    raise self._failures.pop(0)
                self.authorize(request)
                if only and only != self.generation:
                    # Section 6: what the other generation has is 404 here, with a sentence of its own on v4.
                    said = (
                        "This endpoint is not available on deployments running in Langfuse v4 events_only mode"
                        if only == "v3"
                        else "Not found"
                    )
                    raise Refusal(404, {"message": said, "error": "LangfuseNotFoundError"})
                return web.json_response(await handler(request))
            except Refusal as refusal:
                return web.json_response(refusal.body, status=refusal.status, headers=refusal.headers)

        return answer

    async def _health(self, _: web.Request) -> web.Response:
        self.asked.append(f"{PUBLIC}/health")
        if self._failures:
            refusal = self._failures.pop(0)
            return web.json_response(refusal.body, status=refusal.status)
        return web.json_response({"status": "OK", "version": self.version or ("4.16.0" if self.generation == "v4" else "3.225.4")})

    async def _projects(self, _: web.Request) -> dict[str, Any]:
        return {"data": [PROJECT]}

    # -- observations and traces

    def _stored(self, trace_id: str | None) -> list[dict[str, Any]]:
        if self.blind:
            self.blind -= 1
            return []
        return [_observation(span) for (trace, _), span in self.spans.items() if trace_id in (None, trace)]

    async def _observations_v2(self, request: web.Request) -> dict[str, Any]:
        limit = _number(request, "limit", 50, 0, 1_000)
        groups = request.query.get("fields", "core,basic").split(",")
        # PAT/observations: groups that are not known are left out.
        keys = {key for group in ("core", *groups) for key in GROUPS.get(group, ())}
        found = sorted(self._filtered(request), key=lambda each: str(each["startTime"]), reverse=True)
        page, cursor = _after_cursor(found, request.query.get("cursor"), limit)
        # Input and output are raw strings here, whatever they were.
        rows = [{self._renamed(key): _as_text(key, value) for key, value in each.items() if key in keys} for each in page]
        return {"data": rows, "meta": {"cursor": cursor} if cursor else {}}

    def _renamed(self, key: str) -> str:
        return self.model_key if key == "model" else key

    async def _observations_v1(self, request: web.Request) -> dict[str, Any]:
        return _page(request, [_older(each) for each in self._filtered(request)])

    def _filtered(self, request: web.Request) -> Iterable[dict[str, Any]]:
        for each in self._stored(request.query.get("traceId")):
            if all(each.get(key) == request.query[key] for key in ("name", "type", "level", "environment") if key in request.query):
                yield each

    async def _traces(self, request: web.Request) -> dict[str, Any]:
        return _page(request, [{"id": trace} for trace in {trace for trace, _ in self.spans}])

    async def _trace(self, request: web.Request) -> dict[str, Any]:
        trace_id = request.match_info["id"]
        found = [_older(each) for each in self._stored(trace_id)]
        if not found:
            raise Refusal(404, {"message": f"Trace {trace_id} not found within authorized project", "error": "LangfuseNotFoundError"})
        roots = [each for each in found if not each["parentObservationId"]]
        scores = [score for score in self.scores.values() if score.get("traceId") == trace_id]
        return {
            "id": trace_id,
            "name": (roots or found)[0]["name"],
            "observations": found,
            "scores": scores,
            "htmlPath": f"/project/p/traces/{trace_id}",
        }

    # -- scores

    def _scores_by(self, request: web.Request, ids_key: str) -> list[dict[str, Any]]:
        ids = [each for each in request.query.get(ids_key, "").split(",") if each]
        trace, name = request.query.get("traceId"), request.query.get("name")
        return [
            {**score, "id": key}
            for key, score in self.scores.items()
            if (not ids or key in ids) and trace in (None, score.get("traceId")) and name in (None, score.get("name"))
        ]

    async def _scores_v3(self, request: web.Request) -> dict[str, Any]:
        limit = _number(request, "limit", 50, 1, 100)
        page, cursor = _after_cursor(self._scores_by(request, "id"), request.query.get("cursor"), limit)
        return {"data": [_score_v3(each) for each in page], "meta": {"limit": limit, **({"cursor": cursor} if cursor else {})}}

    async def _scores_v2(self, request: web.Request) -> dict[str, Any]:
        return _page(request, self._scores_by(request, "scoreIds"))

    # -- metrics

    async def _metrics(self, request: web.Request) -> dict[str, Any]:
        query = json.loads(request.query["query"])
        # Section 6: both ends of the time are required.
        if not {"view", "metrics", "fromTimestamp", "toTimestamp"} <= query.keys():
            raise Refusal(400, {"message": "Invalid request data", "error": "query"})
        return {"data": self.metrics}

    # -- models

    async def _models(self, request: web.Request) -> dict[str, Any]:
        return _page(request, self.models)

    async def _create_model(self, request: web.Request) -> dict[str, Any]:
        body = await request.json()
        if body.get("modelName") in self.refuse:
            raise Refusal(400, {"message": "Invalid request data", "error": ["told to refuse"]})
        if faults := _model_faults(body, {model["modelName"] for model in self.models if not model["isLangfuseManaged"]}):
            raise Refusal(400, {"message": "Invalid request data", "error": faults})
        model = {**body, "id": f"model-{len(self.models)}", "isLangfuseManaged": False}
        self.models.append(model)
        return model


def managed(name: str, pattern: str) -> dict[str, Any]:
    """A definition that comes with the server."""
    return {
        "id": f"managed-{name}",
        "modelName": name,
        "matchPattern": pattern,
        "isLangfuseManaged": True,
        "pricingTiers": [],
        "unit": "TOKENS",
    }


def _model_faults(body: dict[str, Any], known: set[str]) -> list[str]:
    # Section 6, POST /models; pricing tiers by model-pricing/validation.
    faults = [f"{key} is unknown" for key in body.keys() - MODEL_KEYS]
    faults += [f"{key} is required" for key in ("modelName", "matchPattern") if not isinstance(body.get(key), str)]
    if body.get("unit") not in UNITS:
        faults.append("unit")
    if body.get("modelName") in known:
        faults.append("modelName exists")
    if ("pricingTiers" in body) == any(f"{kind}Price" in body for kind in ("input", "output", "total")):
        faults.append("either tiers or flat prices")
    try:
        re.compile(body.get("matchPattern", ""))
    except re.error:
        faults.append("matchPattern")
    return faults + _tier_faults(body.get("pricingTiers", []))


def _tier_faults(tiers: list[dict[str, Any]]) -> list[str]:
    faults = []
    defaults = [tier for tier in tiers if tier.get("isDefault")]
    if tiers and (len(defaults) != 1 or defaults[0]["priority"] != 0 or defaults[0]["conditions"]):
        faults.append("exactly one default tier, priority 0, no conditions")
    if len({tier["name"] for tier in tiers}) < len(tiers) or len({tier["priority"] for tier in tiers}) < len(tiers):
        faults.append("tier names and priorities are unique")
    for tier in tiers:
        if not tier["isDefault"] and not all(_condition_fits(condition) for condition in tier["conditions"] or [{}]):
            faults.append("conditions")
        if not tier["prices"] or not all(isinstance(price, int | float) and price >= 0 for price in tier["prices"].values()):
            faults.append("prices")
        if tier["prices"].keys() != tiers[0]["prices"].keys():
            faults.append("all tiers price the same usage types")
    return faults


def _condition_fits(condition: dict[str, Any]) -> bool:
    return condition.get("operator") in OPERATORS and isinstance(condition.get("value"), int | float) and "usageDetailPattern" in condition


def _observation(span: Any) -> dict[str, Any]:
    attributes = span.attributes
    kind = attributes.get("langfuse.observation.type", "").upper() or OPERATIONS.get(attributes.get("gen_ai.operation.name", ""), "SPAN")
    # Section 2.4: input includes what was cached, which is subtracted; a roll-up on an agent is ignored.
    usage = {} if kind == "AGENT" else _usage(attributes)
    return {
        "id": span.span_id,
        "traceId": span.trace_id,
        "projectId": PROJECT["id"],
        "parentObservationId": span.parent_span_id or None,
        "isRootObservation": not span.parent_span_id or attributes.get("langfuse.internal.is_app_root") in (True, "true"),
        "type": kind,
        "name": attributes.get("gen_ai.tool.name") or span.name,
        "startTime": _iso(span.start_ms),
        "endTime": _iso(span.end_ms),
        "level": attributes.get("langfuse.observation.level") or ("ERROR" if span.status_code == 2 else "DEFAULT"),
        "statusMessage": attributes.get("langfuse.observation.status_message") or span.status_message or None,
        "environment": attributes.get("langfuse.environment", "default"),
        "model": attributes.get("gen_ai.response.model") or attributes.get("gen_ai.request.model"),
        "usageDetails": usage,
        "costDetails": {},
        "totalCost": attributes.get("gen_ai.usage.cost"),
        "metadata": {"attributes": attributes, "resourceAttributes": span.resource, "scope": {"name": span.scope}},
        "input": attributes.get("langfuse.observation.input"),
        "output": attributes.get("langfuse.observation.output"),
    }


def _usage(attributes: Mapping[str, Any]) -> dict[str, int]:
    cached = int(attributes.get("gen_ai.usage.cache_read.input_tokens", 0))
    usage = {
        "input": int(attributes.get("gen_ai.usage.input_tokens", 0)) - cached,
        "output": int(attributes.get("gen_ai.usage.output_tokens", 0)),
    }
    return {key: count for key, count in {**usage, "input_cached_tokens": cached}.items() if count}


def _older(observation: dict[str, Any]) -> dict[str, Any]:
    """As v1 routes name it."""
    older = {key: value for key, value in observation.items() if key not in ("totalCost", "isRootObservation", "projectId")}
    return {**older, "calculatedTotalCost": observation["totalCost"], "usage": {"unit": "TOKENS"}}


def _score_v3(score: dict[str, Any]) -> dict[str, Any]:
    observation = score.get("observationId")
    subject = (
        {"kind": "observation", "id": observation, "traceId": score.get("traceId")}
        if observation
        else {"kind": "trace", "id": score.get("traceId")}
    )
    plain = {key: value for key, value in score.items() if key not in ("traceId", "observationId")}
    return {"environment": "default", "source": "API", **plain, "subject": subject}


def _page(request: web.Request, found: list[dict[str, Any]]) -> dict[str, Any]:
    # Section 6: page from 1, limit 1 to 100, default 50; more is 400.
    limit, page = _number(request, "limit", 50, 1, 100), _number(request, "page", 1, 1, 10**9)
    total = -(-len(found) // limit)
    rows = found[(page - 1) * limit : page * limit]
    return {"data": rows, "meta": {"page": page, "limit": limit, "totalItems": len(found), "totalPages": total}}


def _number(request: web.Request, key: str, default: int, low: int, high: int) -> int:
    text = request.query.get(key, str(default))
    if not text.isdigit() or not low <= int(text) <= high:
        raise Refusal(400, {"message": "Invalid request data", "error": [{"path": [key]}]})
    return int(text)


def _after_cursor(found: list[dict[str, Any]], cursor: str | None, limit: int) -> tuple[list[dict[str, Any]], str]:
    first = int(base64.b64decode(cursor)) if cursor else 0
    following = base64.b64encode(str(first + limit).encode()).decode() if first + limit < len(found) else ""
    return found[first : first + limit], following


def _as_text(key: str, value: Any) -> Any:
    return value if key not in ("input", "output") or value is None or isinstance(value, str) else json.dumps(value)


def _iso(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
