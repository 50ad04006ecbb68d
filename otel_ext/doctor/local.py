"""What listens on this machine: the ports of a running sidecar, or ports that one could have."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Final

from otel_ext.doctor.rows import Checks, Finding, Surroundings, Wrong
from otel_ext.doctor.web import Web
from otel_ext.errors import OtelExtError
from otel_ext.exporters.otlp import OtlpGrpc, OtlpHttp
from otel_ext.settings import GrpcReceiver, HttpReceiver, Settings

TIMEOUT_S: Final = 3.0
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1", "*": "127.0.0.1"}


async def examine(settings: Settings, around: Surroundings) -> list[Finding]:
    """The rows of the admin port and the receivers."""
    found = []
    admin = Checks("admin", {})
    await admin.run("listens", lambda: _admin(settings.admin.endpoint))
    found += admin.found
    for name, receiver in (("receivers.grpc", settings.receivers.grpc), ("receivers.http", settings.receivers.http)):
        if receiver:
            checks = Checks(name, {})
            await checks.run("listens", _Port(name, receiver, around).check)
            found += checks.found
    return found


async def _admin(endpoint: str) -> str:
    if not await asyncio.to_thread(_is_taken, endpoint):
        _bind(endpoint, "admin")
        return f"{endpoint} is free: no sidecar runs"
    web, base = Web(TIMEOUT_S), f"http://{_there(endpoint)}"
    try:
        health = json.loads((await web.get(f"{base}/health")).body)
        version, _ = health["version"], health["codec"]
        metrics = await web.get(f"{base}/metrics")
    except (OtelExtError, ValueError, KeyError, TypeError):
        raise _other(endpoint, "admin") from None
    if metrics.status != 200 or b"otel_ext_build_info" not in metrics.body:
        raise Wrong(f"/metrics answers HTTP {metrics.status}", "the sidecar that runs has a fault: look at its log")
    return f"otel-ext {version} runs, its metrics can be scraped at {base}/metrics"


class _Port:
    """One receiver's port."""

    def __init__(self, name: str, receiver: GrpcReceiver | HttpReceiver, around: Surroundings) -> None:
        self._name, self._receiver, self._around = name, receiver, around

    async def check(self) -> str:
        endpoint = self._receiver.endpoint
        if not await asyncio.to_thread(_is_taken, endpoint):
            _bind(endpoint, self._name)
            return f"{endpoint} is free"
        if self._receiver.tls:
            return f"{endpoint} listens (with TLS: not asked further)"
        url = f"http://{_there(endpoint)}"
        grpc = isinstance(self._receiver, GrpcReceiver)
        sender = OtlpGrpc(url, timeout_s=TIMEOUT_S) if grpc else OtlpHttp(url, self._around.runtime, timeout_s=TIMEOUT_S)
        await sender.start()
        try:
            await sender.send(b"")  # a request without spans
        except OtelExtError:
            raise _other(endpoint, self._name) from None
        finally:
            await sender.close()
        return f"{endpoint} takes OTLP"


def _is_taken(endpoint: str) -> bool:
    host, _, port = _there(endpoint).rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), TIMEOUT_S):
            return True
    except OSError:
        return False


def _bind(endpoint: str, name: str) -> None:
    """Take the port for a moment; raises Wrong where that cannot be."""
    host, _, port = endpoint.rpartition(":")
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind((host.strip("[]"), int(port)))
    except OSError as error:
        fix = f"{name}.endpoint must be an address of this machine, and a port that this user may open"
        raise Wrong(f"{endpoint} cannot be opened ({error.strerror or type(error).__name__})", fix) from None


def _there(endpoint: str) -> str:
    """*endpoint* as a client says it: all interfaces are reached by the loopback."""
    host, _, port = endpoint.rpartition(":")
    host = _EVERYWHERE.get(host.strip("[]"), host.strip("[]"))
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _other(endpoint: str, name: str) -> Wrong:
    return Wrong(f"another program listens on {endpoint}", f"stop it, or set {name}.endpoint to another port")
