"""Promises of the admin port, over real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import numpy as np
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from otel_ext.admin import AdminServer, Health, Row
from otel_ext.exporters.prometheus import Metrics
from otel_ext.model import StepKind
from otel_ext.wire.table import SPAN

TRACE_ID = bytes(range(16))


@dataclass
class House:
    """A server, and what it shows."""

    url: str = ""
    time_s: float = 100.0
    rows: list[Row] = field(default_factory=list)
    metrics: Metrics = field(default_factory=lambda: Metrics(10, lambda number: f"name-{number}", version="1", codec="python"))
    server: AdminServer | None = None


@pytest.fixture
async def house() -> AsyncIterator[House]:
    it = House()
    it.server = AdminServer("127.0.0.1:0", it.metrics, lambda: Health(version="1", codec="python"), lambda: it.rows, lambda: it.time_s)
    port = await it.server.start()
    it.url = f"http://127.0.0.1:{port}"
    yield it
    await it.server.stop()
    await it.server.stop()


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_metrics_page_in_both_formats(house: House, client: aiohttp.ClientSession) -> None:
    """Text for anyone, OpenMetrics with exemplars for who asks; a real parser reads both."""
    spans = np.zeros(2, SPAN)
    spans["kind"] = StepKind.TOOL
    spans["start"], spans["end"] = 1, 1_000_001
    house.metrics.observe(spans, [TRACE_ID])
    async with client.get(house.url + "/metrics") as response:
        assert response.headers["Content-Type"].startswith("text/plain")
        text = await response.text()
    assert "trace_id" not in text
    counts = [s.value for f in parse_text(text) for s in f.samples if s.name == "mcp_tool_duration_seconds_count"]
    assert counts == [2]
    accept = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;q=0.2,*/*;q=0.1"
    async with client.get(house.url + "/metrics", headers={"Accept": accept}) as response:
        assert response.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
        exemplars = [s.exemplar.labels for f in parse_openmetrics(await response.text()) for s in f.samples if s.exemplar]  # type: ignore[no-untyped-call]
    assert exemplars == [{"trace_id": TRACE_ID.hex()}]


async def test_health_says_what_runs_and_since_when(house: House, client: aiohttp.ClientSession) -> None:
    """Uptime is by the clock that was handed in."""
    house.time_s += 42.5
    async with client.get(house.url + "/health") as response:
        assert response.status == 200
        assert await response.json() == {"status": "ok", "version": "1", "uptime_s": 42.5, "codec": "python"}


async def test_ready_has_a_row_per_destination(house: House, client: aiohttp.ClientSession) -> None:
    """200 only while every destination is ready; without any we are ready."""
    async with client.get(house.url + "/ready") as response:
        assert (response.status, await response.json()) == (200, {"ready": True, "destinations": []})
    tempo = Row(name="tempo", ready=True, queue_size=1, queue_capacity=9, last_success_age_s=0.5)
    langfuse = Row(name="langfuse", ready=False, queue_size=9, queue_capacity=9, last_error="x" * 1_000)
    house.rows = [tempo]
    async with client.get(house.url + "/ready") as response:
        assert response.status == 200
        (row,) = (await response.json())["destinations"]
        assert row.items() >= {"name": "tempo", "ready": True, "queue_size": 1, "queue_capacity": 9, "last_success_age_s": 0.5}.items()
    house.rows = [tempo, langfuse]
    async with client.get(house.url + "/ready") as response:
        answer = await response.json()
        assert (response.status, answer["ready"]) == (503, False)
        assert answer["destinations"][1]["last_success_age_s"] is None
        assert answer["destinations"][1]["last_error"] == "x" * 256
    house.rows = [tempo, Row(name="scores", ready=False, queue_size=9, queue_capacity=9, essential=False)]
    async with client.get(house.url + "/ready") as response:
        assert (response.status, (await response.json())["ready"]) == (200, True)


@pytest.mark.parametrize("path", ["/metrics", "/health", "/ready"])
async def test_methods(house: House, client: aiohttp.ClientSession, path: str) -> None:
    """HEAD is GET without a body; what would change something is refused."""
    async with client.head(house.url + path) as response:
        assert (response.status, await response.read()) == (200, b"")
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        async with client.request(method, house.url + path) as response:
            assert response.status == 405
            assert response.headers["Allow"] == "GET,HEAD"
            assert await response.json() == {"error": "Method Not Allowed"}


async def test_unknown_paths(house: House, client: aiohttp.ClientSession) -> None:
    """404 as JSON."""
    for path in ("/", "/metrics/", "/healthz"):
        async with client.get(house.url + path) as response:
            assert (response.status, await response.json()) == (404, {"error": "Not Found"})


async def test_an_error_of_ours_shows_no_details(house: House, client: aiohttp.ClientSession) -> None:
    """500 as JSON, and the server lives on."""
    house.rows = None  # type: ignore[assignment]
    async with client.get(house.url + "/ready") as response:
        assert (response.status, await response.json()) == (500, {"error": "Internal Server Error"})
    async with client.get(house.url + "/health") as response:
        assert response.status == 200


async def test_a_taken_port_is_an_error(house: House) -> None:
    """`start` raises, and leaves nothing behind that `stop` would trip over."""
    second = AdminServer(house.url.removeprefix("http://"), house.metrics, lambda: Health(version="", codec=""), list, lambda: 0.0)
    with pytest.raises(OSError, match="in use"):
        await second.start()
    await second.stop()


async def test_nothing_answers_after_stop(house: House, client: aiohttp.ClientSession) -> None:
    """The port is given back."""
    assert house.server is not None
    await house.server.stop()
    with pytest.raises(aiohttp.ClientConnectionError):
        await client.get(house.url + "/health")
