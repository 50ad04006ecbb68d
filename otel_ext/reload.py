"""The configuration read again while running: rules, expectations and links change between two requests, and no connection is touched.

Open traces keep their steps and agents their past; they are judged by the new rules from then on. What is opened at start (listeners,
destinations, files, bounds) stays as it is, and is named where it changed. A configuration with a fault changes nothing.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_ext.configlines import join
from otel_ext.errors import ConfigError
from otel_ext.ruleload import load_rules
from otel_ext.settings import Settings

if TYPE_CHECKING:
    from otel_ext.app import Sidecar

APPLIED: Final = ("links.", "detect.")
OPENED: Final = frozenset({"links.store", "detect.baselines.store"})  # files: opened at start

log = logging.getLogger(__name__)


class Changes(NamedTuple):
    """Paths of the settings that differ: those in force now, and those that wait for a restart."""

    applied: list[str]
    waiting: list[str]


async def reloading(sidecar: Sidecar, wanted: asyncio.Event, read: Callable[[], Settings]) -> None:
    """Each time *wanted* is set, *read* and apply; for ever. *read* raises ConfigError."""
    while True:
        await wanted.wait()
        wanted.clear()
        try:
            tell(apply(sidecar, await asyncio.to_thread(read)))
            sidecar.reloaded = True
        except ConfigError as error:
            sidecar.reloaded = False
            log.error("the configuration was not read again, the one before stays in force: %s", "; ".join(error.faults))
        except Exception:
            sidecar.reloaded = False
            log.exception("the configuration was not read again, the one before stays in force")


def apply(sidecar: Sidecar, fresh: Settings) -> Changes:
    """Put of *fresh* into force what can be, in one go; raises ConfigError, and has changed nothing then."""
    old = sidecar.settings
    found = list(changed(old, fresh))
    applied = [path for path in found if path.startswith(APPLIED) and path not in OPENED]
    rules = load_rules(fresh.detect.rules) if fresh.detect.rules != old.detect.rules else sidecar.pipeline.rules
    baselines = replace(fresh.detect.baselines, store=old.detect.baselines.store)
    now = replace(old, links=replace(fresh.links, store=old.links.store), detect=replace(fresh.detect, baselines=baselines))
    sidecar.reconfigure(now, rules)
    return Changes(applied, [path for path in found if path not in applied])


def changed(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Paths of the settings in which two sections of one kind differ. A list counts as one setting."""
    for item in dataclasses.fields(old):
        before, after, where = getattr(old, item.name), getattr(new, item.name), join(path, item.name)
        if dataclasses.is_dataclass(before) and dataclasses.is_dataclass(after):
            yield from changed(before, after, where)
        elif before != after:
            yield where


def tell(changes: Changes) -> None:
    """Say it in the log: paths, never values."""
    log.info("the configuration was read again; in force now: %s", ", ".join(changes.applied) or "nothing new")
    if changes.waiting:
        log.warning("changed, and not in force before a restart: %s", ", ".join(changes.waiting))
