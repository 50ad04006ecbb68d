"""Where to listen: `host:port`, and what is said when that cannot be had."""

from __future__ import annotations

from otel_ext.errors import OtelExtError

PORT_MAX = 65535


class ListenError(OtelExtError):
    """An endpoint cannot be listened on: a bad address, a port in use, no permission."""

    def __init__(self, protocol: str, endpoint: str, reason: str) -> None:
        super().__init__(f"cannot listen for {protocol} on {endpoint}: {reason}")
        self.protocol = protocol
        self.endpoint = endpoint


def split_endpoint(protocol: str, endpoint: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[v6]:port`; port 0 asks for a free one. Raises ListenError."""
    host, colon, port = endpoint.rpartition(":")
    if not host or not colon or not (port.isascii() and port.isdigit()) or int(port) > PORT_MAX:
        raise ListenError(protocol, endpoint, f"expected host:port with a port of 0 to {PORT_MAX}")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ListenError(protocol, endpoint, "an IPv6 address needs brackets, as in [::1]:4317")
    return host.strip("[]"), int(port)
