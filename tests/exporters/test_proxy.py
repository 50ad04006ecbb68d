"""The proxy variables of the environment lead HTTP destinations, unless told otherwise. What NO_PROXY names is reached directly."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from otel_ext.exporters.base import Destination, Runtime
from otel_ext.exporters.langfuse import LangfuseSpans
from otel_ext.exporters.otlp import OtlpGrpc, OtlpHttp
from otel_ext.settings import ClientTls
from tests.doubles.langfuse import LangfuseDouble
from tests.doubles.proxy import ProxyDouble
from tests.doubles.tempo import TempoDouble
from tests.doubles.tls import Authority
from tests.exporters.kit import payload

RUNTIME = Runtime(now_ns=time.time_ns, sleep=asyncio.sleep, random=lambda: 0.5)


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy", "grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
async def tempo() -> AsyncIterator[TempoDouble]:
    double = TempoDouble()
    await double.start()
    yield double
    await double.stop()


async def send(destination: Destination, data: bytes) -> None:
    await destination.start()
    await destination.send(data)
    await destination.close()


async def proxy_to(port: int) -> ProxyDouble:
    proxy = ProxyDouble(port)
    await proxy.start()
    return proxy


async def test_http_goes_through_the_proxy(tempo: TempoDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that only the proxy can reach."""
    proxy = await proxy_to(tempo.http_port)
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    await send(OtlpHttp("http://tempo.invalid:4318", RUNTIME, proxy=True), payload(1))
    await proxy.stop()
    assert proxy.asked == ["POST http://tempo.invalid:4318/v1/traces HTTP/1.1"]
    assert len(tempo.spans) == 1


async def test_https_goes_through_a_tunnel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy sees the host and nothing else."""
    authority = Authority(tmp_path)
    tempo = TempoDouble(tls=tuple(authority.sign("server")))  # type: ignore[arg-type]
    await tempo.start()
    proxy = await proxy_to(tempo.http_port)
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    trusted = ClientTls(ca_file=str(authority.own.certificate))
    await send(OtlpHttp("https://localhost:9", RUNTIME, proxy=True, tls=trusted), payload(1))
    await proxy.stop()
    await tempo.stop()
    assert proxy.asked == ["CONNECT localhost:9 HTTP/1.1"]
    assert len(tempo.spans) == 1


async def test_grpc_goes_through_a_tunnel(tempo: TempoDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """As gRPC does by itself."""
    proxy = await proxy_to(tempo.grpc_port)
    monkeypatch.setenv("http_proxy", proxy.url)
    await send(OtlpGrpc("http://tempo.invalid:4317", proxy=True), payload(1))
    await proxy.stop()
    assert [line.split()[0] for line in proxy.asked] == ["CONNECT"]
    assert len(tempo.spans) == 1


@pytest.mark.parametrize("transport", ["grpc", "http"])
@pytest.mark.parametrize(("proxy", "no_proxy"), [(True, "127.0.0.1"), (False, "")])
async def test_what_is_excepted_is_reached_directly(
    tempo: TempoDouble, monkeypatch: pytest.MonkeyPatch, transport: str, proxy: bool, no_proxy: str
) -> None:
    """By NO_PROXY, or by the setting."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", no_proxy)
    one = OtlpGrpc(tempo.grpc_endpoint, proxy=proxy) if transport == "grpc" else OtlpHttp(tempo.http_endpoint, RUNTIME, proxy=proxy)
    await send(one, payload(1))
    assert len(tempo.spans) == 1


async def test_a_netrc_does_not_replace_our_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Langfuse is asked with the key of the configuration, whatever else this user has."""
    langfuse = LangfuseDouble()
    await langfuse.start()
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    await send(LangfuseSpans(langfuse.host, langfuse.public_key, langfuse.secret_key, RUNTIME, proxy=True), payload(1))
    await langfuse.stop()
    assert len(langfuse.spans) == 1
