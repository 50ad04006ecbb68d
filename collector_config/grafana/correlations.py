"""Adds a button to every span in Grafana's trace view that opens the same trace in Langfuse (Grafana 12 and later).

    GRAFANA_TOKEN=... python correlations.py --grafana https://grafana.example --langfuse https://langfuse.example --project clx123

By its API and not by provisioning: a provisioned correlation of the type `external` stops Grafana 11 and 12 at start. Does nothing where a
correlation of this name is there already. Needs nothing but the standard library.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import urllib.error
import urllib.request
from typing import Any, Final

LABEL: Final = "Open in Langfuse"
TIMEOUT_S: Final = 10


def correlation(langfuse: str, project: str) -> dict[str, Any]:
    """What Grafana is sent. `${traceID}` is its variable."""
    url = f"{langfuse.rstrip('/')}/project/{project}/traces/${{traceID}}"
    config = {"field": "traceID", "target": {"url": url}, "transformations": []}
    return {"type": "external", "label": LABEL, "description": "The same trace in Langfuse", "config": config}


def ask(url: str, body: dict[str, Any] | None = None) -> Any:
    """GET, or POST of *body* as JSON, with the token of GRAFANA_TOKEN; raises urllib's HTTPError."""
    headers = {"Content-Type": "application/json"}
    if token := os.environ.get("GRAFANA_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers)  # noqa: S310  # the address is the user's own
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
        return json.load(answer)


def labels(url: str) -> set[str]:
    """Of the correlations that are there. Grafana answers 404 where there is none."""
    try:
        known = ask(url)
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return set()
        raise
    return {each["label"] for each in known}


def main() -> int:
    """0: it is there now; 1: Grafana refused."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, text in (("grafana", "address of Grafana"), ("langfuse", "address of Langfuse"), ("project", "id of the project there")):
        parser.add_argument(f"--{name}", required=True, help=text)
    parser.add_argument("--tempo", default="tempo", help="uid of the Tempo data source")
    chosen = parser.parse_args()
    url = f"{chosen.grafana.rstrip('/')}/api/datasources/uid/{chosen.tempo}/correlations"
    try:
        if LABEL in labels(url):
            print(f"{LABEL}: is there already")
            return 0
        ask(url, correlation(chosen.langfuse, chosen.project))
    except urllib.error.URLError as error:
        print(f"{url}: {error.reason}", file=sys.stderr)
        return 1
    print(f"{LABEL}: added to {chosen.tempo}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
