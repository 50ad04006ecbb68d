"""A Langfuse server of the 4.16 kind, as strict as the real one, on a real socket.

    langfuse = LangfuseDouble()
    await langfuse.start()                                # a free port; after stop() it comes back on the same one
    langfuse.fail_next(3, 429, retry_after_s=2)           # or lane="scores"
    langfuse.host, langfuse.public_key, langfuse.secret_key
    langfuse.spans, langfuse.scores, langfuse.requests

The names in comments (RTE, OUT, CAR, ...) are files of the server, listed in the research notes on Langfuse.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.doubles.langfuse_api import ApiRefusalError, LangfuseApi
from tests.doubles.langfuse_read import ReadApi, Refusal

SPANS = "/api/public/otel/v1/traces"
SCORES = "/api/public/scores"
# Next.js default body limit of the scores route; the OTLP route has none.
SCORE_BYTES_MAX = 1024 * 1024
INGESTION_VERSION_MAX = 4
SCORE_ID_CHARS_MAX = 800


@dataclass(frozen=True, slots=True)
class Request:
    """One request that arrived, refused or not. Header names are lower-case, Authorization is left out."""

    lane: str
    size_bytes: int
    headers: dict[str, str]
    status: int


@dataclass(frozen=True, slots=True)
class StoredSpan:
    """A span as Langfuse stores it: ids as lower-case hex, times cut to milliseconds, attributes decoded."""

    trace_id: str
    span_id: str
    parent_span_id: str
    name: str
    start_ms: int
    end_ms: int
    status_code: int
    status_message: str
    attributes: dict[str, Any]
    resource: dict[str, Any]
    scope: str


class _RefusalError(Exception):
    def __init__(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        super().__init__(status)
        self.status, self.body, self.headers = status, body, headers or {}


@dataclass(slots=True)
class LangfuseDouble:
    """`score_form` is "object" (4.16) or "array" (servers that SDK 5 talks to); `delay_s` slows every answer."""

    public_key: str = "pk-lf-test"
    secret_key: str = "sk-lf-test"
    score_form: str = "object"
    delay_s: float = 0.0
    port: int = 0
    api: LangfuseApi = field(init=False)
    spans: dict[tuple[str, str], StoredSpan] = field(default_factory=dict)
    arrivals: Counter[tuple[str, str]] = field(default_factory=Counter)  # how often each span was accepted
    scores: dict[str, dict[str, Any]] = field(default_factory=dict)
    score_posts: list[dict[str, Any]] = field(default_factory=list)  # every accepted one, updates too
    requests: list[Request] = field(default_factory=list)
    read: ReadApi = field(init=False)
    projects: dict[str, tuple[str, str]] = field(default_factory=dict)  # more projects: secret key -> name and public key
    project_of: dict[tuple[str, str], str] = field(default_factory=dict)  # name of the project that a span was stored in
    score_projects: dict[str, str] = field(default_factory=dict)  # the same of a score, by id
    _failures: dict[str, list[_RefusalError]] = field(default_factory=lambda: {"spans": [], "scores": []})
    _runner: web.AppRunner | None = None
    _project: str = ""  # of the request at work

    def __post_init__(self) -> None:
        self.api = LangfuseApi(self._project_of_request, self._take_batched_score, lambda: self.host)
        self.read = ReadApi(self.spans, self.scores, self._authorize_read)

    @property
    def host(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen; what was received before a stop is kept."""
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", SPANS, self._spans_route)
        app.router.add_route("*", SCORES, self._scores_route)
        app.add_routes(self.read.routes())
        app.add_routes(self.api.routes())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Die at once. Idempotent."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def fail_next(self, count: int = 1, status: int = 500, *, retry_after_s: int | None = None, lane: str = "spans") -> None:
        """Refuse the next *count* requests of *lane* with *status*; nothing of them is kept."""
        self._failures[lane].extend(_failure(status, retry_after_s) for _ in range(count))

    async def _spans_route(self, request: web.Request) -> web.Response:
        return await self._answer("spans", request)

    async def _scores_route(self, request: web.Request) -> web.Response:
        return await self._answer("scores", request)

    async def _answer(self, lane: str, request: web.Request) -> web.Response:
        body = await request.read()
        status = 200
        try:
            if self._failures[lane]:
                raise self._failures[lane].pop(0)
            # MID: other methods -> 405.
            if request.method != "POST":
                raise _RefusalError(405, {"message": "Method not allowed", "error": "MethodNotAllowedError"})
            self._project = self._authenticate(request.headers.get("Authorization"))
            status, answer = self._take_spans(request, body) if lane == "spans" else self._take_scores(request, body)
        except _RefusalError as refusal:
            status = refusal.status
            return web.json_response(refusal.body, status=status, headers=refusal.headers)
        finally:
            headers = {key.lower(): value for key, value in request.headers.items() if key.lower() != "authorization"}
            self.requests.append(Request(lane, len(body), headers, status))
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        return web.json_response(answer, status=status)

    def _authorize_read(self, request: web.Request) -> None:
        try:
            self._authenticate(request.headers.get("Authorization"))
        except _RefusalError as refusal:
            raise Refusal(refusal.status, refusal.body) from None

    def _authenticate(self, header: str | None) -> str:
        """The name of the project whose secret key it is; "" for the first."""
        # CAR, AUT: 401 without a header or with an unknown key; the secret's hash decides, a public key that differs is only logged.
        if not header:
            raise _RefusalError(401, {"message": "No authorization header"})
        kind, _, rest = header.partition(" ")
        if kind == "Bearer":
            # AUT: Bearer(publicKey) is good for scores only.
            raise _RefusalError(403, {"message": "Access denied"})
        try:
            secret = base64.b64decode(rest, validate=True).decode().split(":")[1]
        except (ValueError, IndexError):
            secret = ""
        if kind != "Basic" or secret not in (self.secret_key, *self.projects):
            raise _RefusalError(401, {"message": "Invalid credentials. Confirm that you've configured the correct host."})
        return self.projects[secret][0] if secret in self.projects else ""

    def _project_of_request(self, request: web.Request) -> tuple[str, str]:
        try:
            name = self._authenticate(request.headers.get("Authorization"))
        except _RefusalError as refusal:
            raise ApiRefusalError(refusal.status, refusal.body) from None
        return name, next((key for project, key in self.projects.values() if project == name), self.public_key)

    def _take_batched_score(self, score: dict[str, Any], project: str) -> list[Any]:
        self._project = project
        faults: list[Any] = _score_faults(score)
        if not faults:
            self._store(score)
        return faults

    def _take_spans(self, request: web.Request, body: bytes) -> tuple[int, dict[str, Any]]:
        version = request.headers.get("x-langfuse-ingestion-version")
        # RTE: an integer up to 4; absent is fine.
        if version is not None and not (version.isdigit() and int(version) <= INGESTION_VERSION_MAX):
            raise _RefusalError(400, {"error": f"Unsupported x-langfuse-ingestion-version {version}"})
        # RTE: substring match; application/protobuf is refused.
        content_type = request.headers.get("Content-Type", "").lower()
        if "application/x-protobuf" not in content_type and "application/json" not in content_type:
            raise _RefusalError(400, {"error": "Invalid content type"})
        # aiohttp has inflated gzip for us; nothing else is decoded by the real server.
        if request.headers.get("Content-Encoding", "gzip") != "gzip":
            raise _RefusalError(400, {"error": "Failed to parse OTel Protobuf Trace"})
        resource_spans = _json(body) if "json" in content_type else _protobuf(body)
        stored = _stored(resource_spans)
        for span in stored:
            key = (span.trace_id, span.span_id)
            self.spans[key] = span
            self.project_of[key] = self._project
            self.arrivals[key] += 1
        # RTE: 200 with the JSON of the queued job, also for protobuf; {} where there was nothing.
        return 200, {"id": "1", "name": "otel-ingestion-job", "data": {"publicKey": self.public_key}} if stored else {}

    def _take_scores(self, request: web.Request, body: bytes) -> tuple[int, dict[str, Any]]:
        if len(body) > SCORE_BYTES_MAX:
            raise _RefusalError(413, {"message": "Body exceeded 1mb limit"})
        try:
            given = json.loads(body) if "json" in request.headers.get("Content-Type", "") else None
        except ValueError:
            raise _RefusalError(400, {"message": "Invalid JSON"}) from None
        if isinstance(given, list) != (self.score_form == "array"):
            raise _RefusalError(400, {"message": "Invalid request data", "error": [{"code": "invalid_type"}]})
        if self.score_form == "object":
            if faults := _score_faults(given):
                raise _RefusalError(400, {"message": "Invalid request data", "error": faults})
            return 200, {"id": self._store(given)}
        bad = [score for score in given if _score_faults(score)]
        for score in given:
            if score not in bad:
                self._store(score)
        # SDK 5: 202 when all were taken, 207 with counts otherwise.
        return (207 if bad else 202), {"accepted": len(given) - len(bad), "rejected": len(bad), "errors": [{"status": 400} for _ in bad]}

    def _store(self, score: dict[str, Any]) -> str:
        key = score.get("id") or f"generated-{len(self.scores)}"
        # ING: same id -> merge; trace_id and environment do not change.
        fixed = {name: self.scores[key][name] for name in ("traceId", "environment") if key in self.scores and name in self.scores[key]}
        self.scores[key] = {**self.scores.get(key, {}), **score, **fixed}
        self.score_posts.append(score)
        self.score_projects[str(key)] = self._project
        return str(key)


def _failure(status: int, retry_after_s: int | None) -> _RefusalError:
    headers = {"Retry-After": str(retry_after_s)} if retry_after_s is not None else {}
    if status == 429:
        # RLS
        details = {"retryAfterSeconds": retry_after_s or 1, "limit": 1, "remaining": 0}
        return _RefusalError(429, {"message": "Rate limit exceeded", "code": "rate_limited", "details": details}, headers)
    # MID: what S3 or Redis failures look like.
    return _RefusalError(status, {"message": "Internal Server Error", "error": "told to fail"}, headers)


def _protobuf(body: bytes) -> Any:
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError:
        raise _RefusalError(400, {"error": "Failed to parse OTel Protobuf Trace"}) from None
    tree = [MessageToDict(item, use_integers_for_enums=True) for item in request.resource_spans]
    # protobuf-JSON has base64 ids where OTLP/JSON has hex; the server reads the bytes of protobuf as hex.
    for resource in tree:
        for scope in resource.get("scopeSpans", []):
            for span in scope.get("spans", []):
                for name in {"traceId", "spanId", "parentSpanId"} & span.keys():
                    span[name] = base64.b64decode(span[name]).hex()
    return tree


def _json(body: bytes) -> Any:
    try:
        # RTE: only camelCase; a snake_case body has no spans and is a silent success.
        return json.loads(body).get("resourceSpans", [])
    except (ValueError, AttributeError):
        raise _RefusalError(400, {"error": "Failed to parse OTel JSON Trace"}) from None


def _list(holder: dict[str, Any], name: str) -> list[dict[str, Any]]:
    # OUT, since v4.5: lists must be lists.
    value = holder.get(name, [])
    if not isinstance(value, list):
        raise _RefusalError(400, {"error": f"Invalid OTLP trace export: {name} is not an array"})
    return value


def _stored(resource_spans: list[dict[str, Any]]) -> list[StoredSpan]:
    stored = []
    for resource_span in resource_spans:
        resource = _attributes(resource_span.get("resource", {}))
        for scope_span in _list(resource_span, "scopeSpans"):
            scope = scope_span.get("scope", {}).get("name", "")
            stored.extend(_span(span, resource, scope) for span in _list(scope_span, "spans"))
    return stored


def _span(span: dict[str, Any], resource: dict[str, Any], scope: str) -> StoredSpan:
    # RTE, OUT, since v4.4: ONE span without ids, or with ids of another type, refuses the whole batch.
    for name in ("traceId", "spanId"):
        if not isinstance(span.get(name), str):
            raise _RefusalError(400, {"error": f"Invalid OTLP trace export: span without a valid {name}"})
    _list(span, "events")
    start_ns, end_ns = int(span.get("startTimeUnixNano", 0)), int(span.get("endTimeUnixNano", 0))
    status = span.get("status", {})
    return StoredSpan(
        trace_id=span["traceId"],
        span_id=span["spanId"],
        parent_span_id=span.get("parentSpanId", ""),
        name=span.get("name", ""),
        # OIP: times are cut to milliseconds; a missing one is copied from the other.
        start_ms=(start_ns or end_ns) // 1_000_000,
        end_ms=(end_ns or start_ns) // 1_000_000,
        status_code=status.get("code", 0),
        status_message=status.get("message", ""),
        attributes=_attributes(span),
        resource=resource,
        scope=scope,
    )


def _attributes(holder: dict[str, Any]) -> dict[str, Any]:
    return {pair["key"]: _value(pair.get("value", {})) for pair in _list(holder, "attributes")}


def _value(value: dict[str, Any]) -> Any:
    # OIP convertValueToPlainJavascript: scalars and arrays are decoded, anything else is the raw JSON of the wrapper.
    for name in ("stringValue", "boolValue", "doubleValue"):
        if name in value:
            return value[name]
    if "intValue" in value:
        return int(value["intValue"])
    if value.get("arrayValue", {}).get("values"):
        return [_value(item) for item in value["arrayValue"]["values"]]
    return json.dumps(value)


def _score_faults(score: Any) -> list[dict[str, str]]:
    """Faults by the request schema (API/scores)."""
    if not isinstance(score, dict):
        return [{"path": "", "message": "expected object"}]
    faults = [name for name in ("name",) if not isinstance(score.get(name), str) or not score[name]]
    if len(str(score.get("id", ""))) > SCORE_ID_CHARS_MAX:
        faults.append("id")
    # scores.ts: exactly one subject; an observation needs its trace.
    if sum(name in score for name in ("traceId", "sessionId", "datasetRunId")) != 1 or (
        "observationId" in score and "traceId" not in score
    ):
        faults.append("traceId")
    if any(not isinstance(score.get(name, ""), str) for name in ("traceId", "observationId", "comment", "environment")):
        faults.append("type")
    if not _value_fits(score.get("dataType"), score.get("value")):
        faults.append("value")
    return [{"path": name, "message": "invalid"} for name in faults]


def _value_fits(data_type: Any, value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if data_type == "BOOLEAN":
        return number and value in (0, 1)
    if data_type == "NUMERIC":
        return number
    if data_type == "TEXT":
        return isinstance(value, str) and 1 <= len(value) <= 500
    if data_type in ("CATEGORICAL", "CORRECTION"):
        return isinstance(value, str)
    return data_type is None and (number or isinstance(value, str))
