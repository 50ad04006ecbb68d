"""The SpanProcessor as an application gets it: settings from arguments, a file or the environment, and the destinations they name."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from otel_ext.configfile import build, load
from otel_ext.errors import ConfigError
from otel_ext.fanout import FanOut
from otel_ext.model import Finding
from otel_ext.ruleload import load_rules
from otel_ext.sdk.processor import Processor
from otel_ext.sdk.stats import Stats
from otel_ext.settings import Settings

SECTIONS = ("links", "detect", "traces", "exporters", "shutdown_timeout")


class AgentSpanProcessor(Processor):
    """Links, judges and reports the agent spans of one application: `provider.add_span_processor(AgentSpanProcessor())`.

    Keyword arguments are the sections of the configuration file, as mappings; `OTEL_EXT_*` variables override them. With `exporters` it
    sends spans and findings on by itself, without it only enriches and judges. `on_finding` is called in the thread or task whose span
    ended, before that goes on; `baggage` names the entries that are put on spans. Raises ConfigError; nothing after that raises.
    """

    def __init__(
        self,
        *,
        on_finding: Callable[[Finding], object] | None = None,
        baggage: Sequence[str] = (),
        links: Mapping[str, Any] | None = None,
        detect: Mapping[str, Any] | None = None,
        traces: Mapping[str, Any] | None = None,
        exporters: Mapping[str, Any] | None = None,
        shutdown_timeout: str | None = None,
        settings: Settings | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        given = dict(zip(SECTIONS, (links, detect, traces, exporters, shutdown_timeout), strict=True))
        if settings is None:
            sections = {name: value for name, value in given.items() if value is not None}
            settings = build(sections, os.environ if environ is None else environ)
        stats = Stats()
        wanted = settings.exporters.tempo or settings.exporters.langfuse
        sink = FanOut(settings, stats) if wanted else None
        super().__init__(settings, on_finding=on_finding, baggage=baggage, sink=sink, stats=stats, rules=load_rules(settings.detect.rules))

    @classmethod
    def from_config(
        cls,
        path: str | os.PathLike[str],
        *,
        on_finding: Callable[[Finding], object] | None = None,
        baggage: Sequence[str] = (),
    ) -> Self:
        """The processor that the sidecar's YAML file at *path* describes; raises ConfigError."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError([f"{path}: cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'})"]) from None
        return cls(on_finding=on_finding, baggage=baggage, settings=load(text, os.environ))
