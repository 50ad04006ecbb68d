"""TLS from the sender through the sidecar to Tempo, with real certificates, and real SDKs as senders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter

from otel_ext import samples
from tests.doubles.tls import Authority, Pair
from tests.e2e.kit import Process, Stage, Tempo, command, config, new_trace, started, trace_id_of, until


@pytest.fixture(autouse=True)
def no_other_authority(monkeypatch: pytest.MonkeyPatch) -> None:
    """`requests` lets these variables win over what an exporter was told."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def server(authority: Authority) -> Pair:
    return authority.sign("server")


@pytest.fixture(scope="module")
def client(authority: Authority) -> Pair:
    return authority.sign("client")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Authority(tmp_path_factory.mktemp("strange"), "stranger").sign("client")


def listening(authority: Authority, server: Pair) -> dict[str, Any]:
    tls = {"cert_file": str(server.certificate), "key_file": str(server.key), "client_ca_file": str(authority.own.certificate)}
    return {"grpc": {"tls": tls}, "http": {"tls": tls}}


@pytest.fixture(params=["grpc", "http"])
def secured(
    request: pytest.FixtureRequest, stage: Stage, serve: Callable[..., Process], authority: Authority, server: Pair
) -> Iterator[tuple[Tempo, Process]]:
    """A sidecar that asks senders for certificates, in front of a Tempo whose certificate a private authority signed."""
    tempo = Tempo(stage, tls=tuple(server))
    with started(stage, tempo):
        trusted = {"tempo": {"tls": {"ca_file": str(authority.own.certificate)}}}
        yield tempo, serve(config(tempo, protocol=request.param, receivers=listening(authority, server), exporters=trusted))


def exporter(transport: str, sidecar: Process, authority: Authority, who: Pair | None) -> SpanExporter:
    root = authority.own.certificate
    if transport == "grpc":
        own = (who.key.read_bytes(), who.certificate.read_bytes()) if who else (None, None)
        credentials = grpc.ssl_channel_credentials(root.read_bytes(), *own)
        return GrpcExporter(f"https://localhost:{sidecar.grpc.rpartition(':')[2]}", credentials=credentials, timeout=5)
    files = {"client_certificate_file": str(who.certificate), "client_key_file": str(who.key)} if who else {}
    url = f"https://localhost:{sidecar.http.rpartition(':')[2]}/v1/traces"
    return HttpExporter(url, certificate_file=str(root), timeout=5, **files)


def export(sender: SpanExporter) -> int:
    """One span; its trace id."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(sender))
    with provider.get_tracer("t").start_as_current_span("secured") as span:
        pass
    provider.shutdown()
    return span.get_span_context().trace_id


@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_spans_pass_encrypted_from_end_to_end(secured: tuple[Tempo, Process], authority: Authority, client: Pair, transport: str) -> None:
    """A sender with a certificate, a sidecar with one, a Tempo with one: the span arrives."""
    tempo, sidecar = secured
    trace_id = export(exporter(transport, sidecar, authority, client))
    until(lambda: tempo.named(f"{trace_id:032x}", "secured"), "the span")


@pytest.mark.parametrize("secured", ["grpc"], indirect=True)
@pytest.mark.parametrize("transport", ["grpc", "http"])
@pytest.mark.parametrize("who", ["nobody", "stranger"])
def test_who_shows_no_certificate_of_ours_is_not_heard(
    secured: tuple[Tempo, Process], authority: Authority, client: Pair, stranger: Pair, transport: str, who: str
) -> None:
    """Nothing of it is taken; the next one with a certificate is."""
    tempo, sidecar = secured
    refused = export(exporter(transport, sidecar, authority, stranger if who == "stranger" else None))
    taken = export(exporter(transport, sidecar, authority, client))
    until(lambda: tempo.named(f"{taken:032x}", "secured"), "the span of the known sender")
    assert not tempo.named(f"{refused:032x}", "secured")
    assert sidecar.value("otelcol_receiver_accepted_spans_total") == 1


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_one_sidecar_shows_its_certificate_to_another(
    stage: Stage, serve: Callable[..., Process], authority: Authority, server: Pair, client: Pair, protocol: str
) -> None:
    """An agent's sidecar in front of a gateway that asks for certificates."""
    tempo = Tempo(stage)
    with started(stage, tempo):
        gateway = serve(config(tempo, receivers=listening(authority, server)))
        port = (gateway.grpc if protocol == "grpc" else gateway.http).rpartition(":")[2]
        own = {"ca_file": str(authority.own.certificate), "cert_file": str(client.certificate), "key_file": str(client.key)}
        sidecar = serve(config(exporters={"tempo": {"endpoint": f"https://localhost:{port}", "protocol": protocol, "tls": own}}))
        data = samples.healthy(new_trace(), 1)
        sidecar.export(data)
        until(lambda: len(tempo.of(trace_id_of(data))) == 6, "the trace, through both")


@pytest.mark.parametrize(
    ("section", "files"),
    [
        ("receivers: {http: null, grpc: {endpoint: '127.0.0.1:0', tls: {cert_file: %s, key_file: %s}}}", ("nowhere.pem", "server.key")),
        ("receivers: {http: null, grpc: {endpoint: '127.0.0.1:0', tls: {cert_file: %s, key_file: %s}}}", ("server.pem", "client.key")),
        ("receivers: {grpc: null, http: {endpoint: '127.0.0.1:0', tls: {cert_file: %s, key_file: %s}}}", ("server.key", "server.key")),
        ("exporters: {tempo: {endpoint: https://t, tls: {ca_file: %s}}}", ("nowhere.pem",)),
        ("exporters: {tempo: {endpoint: https://t, tls: {ca_file: %s}}}", ("server.key",)),
        ("exporters: {tempo: {endpoint: https://t, protocol: http, tls: {cert_file: %s, key_file: %s}}}", ("server.pem", "client.key")),
    ],
)
def test_a_file_that_cannot_be_used_stops_the_start(authority: Authority, server: Pair, client: Pair, section: str, files: Any) -> None:
    """With the file's name, and without what is in it."""
    directory = server.certificate.parent
    paths = [str(directory / name) for name in files]
    config_file = directory / "c.yaml"
    config_file.write_text("admin: {endpoint: '127.0.0.1:0'}\n" + section % tuple(paths))
    done = command("serve", "--config", str(config_file), OTEL_EXT_RECEIVERS__GRPC__ENDPOINT="127.0.0.1:0")
    assert done.returncode in (1, 2)
    said = done.stderr.decode()
    assert paths[0] in said
    assert "Traceback" not in said
    assert "PRIVATE" not in said


def test_it_is_said_which_client_certificates_are_needed(tmp_path: Path) -> None:
    """A key without its certificate is a fault with a path."""
    file = tmp_path / "c.yaml"
    file.write_text("receivers: {grpc: {tls: {key_file: k.pem}}}")
    done = command("check-config", str(file))
    assert (done.returncode, done.stderr) == (2, b"receivers.grpc.tls.cert_file: is missing (line 1)\n")
