"""Certificates for a test: an authority, a server's certificate for localhost, a client's, and one nobody signed."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple


class Pair(NamedTuple):
    """PEM files of a certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates into *directory*."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        self._directory = directory
        self.own = self._pair(name, ["-subj", f"/CN={name}"])

    def sign(self, name: str) -> Pair:
        """A certificate for localhost and 127.0.0.1, good for servers and clients."""
        names = ["-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE"]
        return self._pair(name, [*names, "-CA", str(self.own.certificate), "-CAkey", str(self.own.key)])

    def _pair(self, name: str, options: list[str]) -> Pair:
        pair = Pair(self._directory / f"{name}.pem", self._directory / f"{name}.key")
        files = ["-keyout", str(pair.key), "-out", str(pair.certificate)]
        kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
        subprocess.run(["openssl", "req", *kind, *files, *options], check=True, capture_output=True)
        return pair
