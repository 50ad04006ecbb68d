"""Writes dashboards/*.json from pages.py: `python -m collector_config.grafana.generate`. A test compares the two."""

from __future__ import annotations

import json

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from collector_config.grafana.pages import PAGES
from collector_config.grafana.queries import FOLDER


def generated() -> dict[str, str]:
    """The text of every dashboard, by file name."""
    return {name: json.dumps(make().build(), cls=JSONEncoder, sort_keys=True, indent=2) + "\n" for name, make in PAGES.items()}


def main() -> None:
    """Write them all."""
    for name, text in generated().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
