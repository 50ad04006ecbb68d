"""What is legal in a configuration but unwise: one small function a piece of advice, over the validated settings.

A function yields `Advice` with the path of the key that it is about. To add one, write it and put it into ADVISERS.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from otel_ext.configfile import Loaded
from otel_ext.configlines import join
from otel_ext.settings import MIB, Expectation, Settings

EVERYWHERE: Final = frozenset({"0.0.0.0", "[::]", "::", "*"})
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
FILES: Final = frozenset({"ca_file", "cert_file", "key_file", "client_ca_file", "file"})
GRPC_PORT, HTTP_PORT = 4317, 4318
_SECRET_HEADER: Final = re.compile("auth|key|token|secret|password|cookie", re.IGNORECASE)


class Advice(NamedTuple):
    """The path of a key, and why its value is unwise."""

    path: str
    why: str


def advice(loaded: Loaded, is_file: Callable[[str], bool] = bool) -> list[str]:
    """One `path.to.key: what is unwise, what would be better (line 4)` each, in the order of ADVISERS.

    *is_file* looks for a file that the settings name; without it they are taken to be there.
    """
    given = [each for adviser in ADVISERS for each in adviser(loaded.settings)]
    given += _literal_secrets(loaded.settings, loaded.written, "")
    given += _missing_files(loaded.settings, "", is_file)
    return [f"{path}: {why}{loaded.origins.told(path)}" for path, why in given]


def _missing_files(section: Any, path: str, is_file: Callable[[str], bool]) -> Iterator[Advice]:
    for item in dataclasses.fields(section):
        value, where = getattr(section, item.name), join(path, item.name)
        if dataclasses.is_dataclass(value):
            yield from _missing_files(value, where, is_file)
        elif item.name in FILES and value and not is_file(value):
            yield Advice(where, f"there is no file {value} here")


def _no_exporter(settings: Settings) -> Iterator[Advice]:
    if not settings.exporters.tempo and not settings.exporters.langfuse:
        yield Advice("exporters", "no destination is named: traces are judged and counted, and forwarded nowhere")


def _open_listeners(settings: Settings) -> Iterator[Advice]:
    for path, receiver in _receivers(settings):
        if _host(receiver.endpoint) in EVERYWHERE and not (receiver.tls and receiver.tls.client_ca_file):
            why = "listens on all interfaces without authentication: anybody who reaches this machine can send traces"
            yield Advice(f"{path}.endpoint", f"{why}; name one interface, or ask for certificates with tls.client_ca_file")
    if _host(settings.admin.endpoint) in EVERYWHERE:
        why = "listens on all interfaces without authentication: metrics name agents, tools and models"
        yield Advice("admin.endpoint", f"{why}; name one interface, such as ${{env:POD_IP}}:9464")


def _links(settings: Settings) -> Iterator[Advice]:
    links, exporters = settings.links, settings.exporters
    if links.langfuse_url and not links.langfuse_project:
        why = "is not set: links to Langfuse go through /trace/, which asks the server to look for the project"
        yield Advice("links.langfuse_project", f"{why}; set the project's id, as in the address of its pages")
    if exporters.langfuse and not links.langfuse_url:
        yield Advice("links.langfuse_url", "is not set: spans in Tempo get Langfuse's id, but no link to its page")
    if exporters.langfuse and exporters.tempo and not links.grafana_url:
        yield Advice("links.grafana_url", "is not set: traces in Langfuse get Tempo's id, but no link to its page")


def _plain_text(settings: Settings) -> Iterator[Advice]:
    """A secret that crosses a network unencrypted."""
    for path, exporter in _exporters(settings):
        secrets = [name for name in _secrets(exporter) if _is_secret(getattr(exporter, name))]
        for name, url in _urls(exporter):
            parts = urlsplit(url)
            if secrets and parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
                yield Advice(join(path, name), f"{secrets[0]} crosses the network in plain text; https:// would hide it")


def _unused_tls(settings: Settings) -> Iterator[Advice]:
    for path, exporter in _exporters(settings):
        if getattr(exporter, "tls", None) and not any(url.startswith("https:") for _, url in _urls(exporter)):
            yield Advice(f"{path}.tls", "is not used: the address begins with http://, https:// is needed")


def _small_queue(settings: Settings) -> Iterator[Advice]:
    exporters = settings.exporters
    destinations = [exporter for exporter in (exporters.tempo, exporters.langfuse) if exporter]
    largest = max((receiver.max_recv_bytes for _, receiver in _receivers(settings)), default=0)
    if destinations and exporters.queue_bytes < largest * len(destinations):
        why = f"holds {exporters.queue_bytes / MIB:g} MiB, one request of max_recv_bytes for {len(destinations)} destinations may take"
        yield Advice("exporters.queue_bytes", f"{why} {largest * len(destinations) / MIB:g} MiB: while it waits, all others are refused")


def _wrong_port(settings: Settings) -> Iterator[Advice]:
    tempo = settings.exporters.tempo
    port = urlsplit(tempo.endpoint).port if tempo else None
    if tempo and port == HTTP_PORT and tempo.protocol == "grpc":
        yield Advice("exporters.tempo.endpoint", f"port {HTTP_PORT} is OTLP/HTTP's by custom, and the protocol is grpc; set protocol: http")
    if tempo and port == GRPC_PORT and tempo.protocol == "http":
        yield Advice("exporters.tempo.endpoint", f"port {GRPC_PORT} is OTLP/gRPC's by custom, and the protocol is http; set protocol: grpc")


def _to_itself(settings: Settings) -> Iterator[Advice]:
    own = {_port(receiver.endpoint): path for path, receiver in _receivers(settings)}
    for path, exporter in _exporters(settings):
        for name, url in _urls(exporter):
            parts = urlsplit(url)
            if _is_loopback(parts.hostname or "") and parts.port in own:
                yield Advice(join(path, name), f"is where {own[parts.port]} listens: spans would come back for ever")


def _same_port(settings: Settings) -> Iterator[Advice]:
    seen: dict[int, str] = {}
    for path, listener in [*_receivers(settings), ("admin", settings.admin)]:
        port = _port(listener.endpoint)
        if port and port in seen:
            yield Advice(f"{path}.endpoint", f"has the port of {seen[port]}: only one of them can listen there")
        seen.setdefault(port, f"{path}.endpoint")


def _expectations(settings: Settings) -> Iterator[Advice]:
    for index, each in enumerate(settings.detect.tool_skipping.expectations):
        path = f"detect.tool_skipping.expectations[{index}]"
        if not (each.require or each.any_of or each.before or each.forbid):
            yield Advice(path, "expects nothing; require, any_of, before or forbid would")
        if both := sorted(_wanted(each) & set(each.forbid)):
            yield Advice(path, f"{', '.join(both)} is both wanted and forbidden: every run is a finding")


def _wanted(expectation: Expectation) -> set[str]:
    # of any_of, one alternative that is forbidden leaves the others
    return {*expectation.require, *(group[0] for group in expectation.any_of if len(group) == 1)}


ADVISERS: Final[tuple[Callable[[Settings], Iterator[Advice]], ...]] = (
    _no_exporter,
    _open_listeners,
    _links,
    _plain_text,
    _unused_tls,
    _small_queue,
    _wrong_port,
    _to_itself,
    _same_port,
    _expectations,
)


def _literal_secrets(kind: Any, written: Any, path: str) -> Iterator[Advice]:
    """Of what the settings keep out of sight, what stands in the file as it is."""
    if isinstance(kind, tuple) and isinstance(written, list):
        for index, (inner, value) in enumerate(zip(kind, written, strict=False)):
            yield from _literal_secrets(inner, value, f"{path}[{index}]")
    if not dataclasses.is_dataclass(kind) or not isinstance(written, Mapping):
        return
    hidden = _secrets(kind)
    for key, value in written.items():
        where = join(path, key)
        if key in hidden:
            yield from _literals(value, where)
        else:
            yield from _literal_secrets(getattr(kind, str(key), None), value, where)


def _literals(value: Any, path: str) -> Iterator[Advice]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if _SECRET_HEADER.search(str(key)):
                yield from _literals(inner, join(path, key))
    elif value and "${env:" not in str(value):
        yield Advice(path, "a secret stands in the file; write ${env:NAME} and set the variable")


def _is_secret(value: object) -> bool:
    """A key, or headers with one among them: a tenant's name is none."""
    return any(map(_SECRET_HEADER.search, value)) if isinstance(value, Mapping) else bool(value)


def _secrets(section: Any) -> list[str]:
    """The fields that the dataclass keeps out of its repr."""
    return [item.name for item in dataclasses.fields(section) if not item.repr]


def _receivers(settings: Settings) -> list[tuple[str, Any]]:
    receivers = {"receivers.grpc": settings.receivers.grpc, "receivers.http": settings.receivers.http}
    return [(path, receiver) for path, receiver in receivers.items() if receiver]


def _exporters(settings: Settings) -> Iterator[tuple[str, Any]]:
    """Every destination that is configured, whatever its kind."""
    for item in dataclasses.fields(settings.exporters):
        section = getattr(settings.exporters, item.name)
        if dataclasses.is_dataclass(section):
            yield f"exporters.{item.name}", section


def _urls(section: Any) -> Iterator[tuple[str, str]]:
    for item in dataclasses.fields(section):
        value = getattr(section, item.name)
        if item.repr and isinstance(value, str) and value.startswith(("http://", "https://")):
            yield item.name, value


def _host(endpoint: str) -> str:
    return endpoint.rpartition(":")[0]


def _port(endpoint: str) -> int:
    return int(endpoint.rpartition(":")[2])


def _is_loopback(host: str) -> bool:
    return host in LOOPBACK or host.startswith("127.")
