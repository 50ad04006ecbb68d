"""Alertmanager: reachable and authorised. It is not sent a test: that would alert somebody."""

from __future__ import annotations

import json
from typing import Final

from otel_ext.doctor.rows import Checks, Finding, Wrong
from otel_ext.doctor.web import Web
from otel_ext.settings import NS_PER_S, Alertmanager, Settings

FIXES: Final = {
    "Certificate": "its certificate is not trusted here: set exporters.alertmanager.tls.ca_file to the authority's certificate",
    "": "nothing answers there: is Alertmanager running, and is exporters.alertmanager.url right from this machine?",
}


async def examine(settings: Settings, alertmanager: Alertmanager) -> list[Finding]:
    """Its rows."""
    web = Web(alertmanager.timeout / NS_PER_S, alertmanager.headers, alertmanager.tls, proxy=settings.exporters.proxy_from_environment)

    async def reachable() -> str:
        page = await web.get(f"{alertmanager.url}/api/v2/status", "application/json")
        if page.status in (401, 403):
            raise Wrong(f"HTTP {page.status}", "it wants credentials: set exporters.alertmanager.headers")
        try:
            return f"Alertmanager {json.loads(page.body)['versionInfo']['version']}"
        except (ValueError, KeyError, TypeError):
            fix = "exporters.alertmanager.url answers, but is no Alertmanager: give the base URL, without /api/v2/alerts"
            raise Wrong(f"HTTP {page.status}", fix) from None

    checks = Checks("alertmanager", FIXES)
    await checks.run("reachable", reachable)
    return checks.found
