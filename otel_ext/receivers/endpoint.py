"""Where to listen: `host:port`, with which certificate, and what is said when that cannot be had."""

from __future__ import annotations

import ssl
from pathlib import Path

from otel_ext.errors import OtelExtError
from otel_ext.settings import ServerTls

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


def server_context(protocol: str, endpoint: str, tls: ServerTls) -> ssl.SSLContext:
    """What *tls* says, with every file read; raises ListenError with the one that cannot be used."""
    for path in filter(None, (tls.cert_file, tls.key_file, tls.client_ca_file)):
        pem(protocol, endpoint, path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        # Without a password an encrypted key would ask for one on the terminal.
        context.load_cert_chain(tls.cert_file, tls.key_file, password=lambda: b"")
        if tls.client_ca_file:
            context.load_verify_locations(tls.client_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
    except (ssl.SSLError, OSError):
        files = ", ".join(filter(None, (tls.cert_file, tls.key_file, tls.client_ca_file)))
        raise ListenError(protocol, endpoint, f"{files}: a certificate, its unencrypted key, and an authority in PEM are needed") from None
    return context


def pem(protocol: str, endpoint: str, path: str) -> bytes:
    """What is in *path*; raises ListenError."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ListenError(protocol, endpoint, f"{path} cannot be read ({error.strerror})") from None
