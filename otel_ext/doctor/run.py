"""All examinations of a configuration, side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from otel_ext.doctor import alertmanager, langfuse, local, tempo
from otel_ext.doctor.rows import Finding, State, Surroundings
from otel_ext.model import Caller
from otel_ext.settings import Langfuse, Settings


async def examine(settings: Settings, around: Surroundings) -> list[Finding]:
    """Every row, in the order of the configuration."""
    exporters = settings.exporters
    work: list[Coroutine[None, None, list[Finding]]] = [local.examine(settings, around)]
    if exporters.tempo:
        work.append(tempo.examine(settings, exporters.tempo, around))
    if exporters.langfuse:
        section = exporters.langfuse
        work += [langfuse.examine(settings, section, keys, name, around) for name, keys in _projects(section)]
    if exporters.alertmanager:
        work.append(alertmanager.examine(settings, exporters.alertmanager))
    found = [row for rows in await asyncio.gather(*work) for row in rows]
    if len(work) == 1:
        found.append(Finding("exporters", "configured", State.SKIPPED, "no destination is named: nothing is sent anywhere"))
    return found


def _projects(section: Langfuse) -> list[tuple[str, Caller]]:
    own = [("langfuse", Caller(section.public_key, section.secret_key))]
    return [*own, *((f"langfuse {each.name}", Caller(each.public_key, each.secret_key)) for each in section.projects)]
