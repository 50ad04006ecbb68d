"""`python -m tests.evaluate ../shared`: the rules against labelled traces, and against captures of real frameworks.

The scripts that score are the data's own; this only runs `otel-ext scan` for them and prints what they say.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

SCAN = [sys.executable, "-m", "otel_ext", "scan", "--format", "json"]


def scored(data: Path, traces: Path, work: Path) -> None:
    """Scan *traces*, and print the table of the data's own script."""
    findings = work / "findings.jsonl"
    with findings.open("wb") as out:
        subprocess.run([*SCAN, str(traces)], stdout=out, check=True)
    subprocess.run([sys.executable, "evaluate.py", str(findings), "dev.labels.jsonl.gz"], cwd=data, check=True)


def main(shared: Path) -> int:
    data = shared / "data"
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        print("== defaults", flush=True)
        scored(data, data / "dev.otlp.jsonl.gz", work)
        expected = work / "expected.otlp.jsonl"
        with expected.open("wb") as out:
            command = [sys.executable, "with_expectations.py", "dev.otlp.jsonl.gz", "dev.labels.jsonl.gz"]
            subprocess.run(command, cwd=data, stdout=out, check=True)
        print("\n== with each task's required tools on its agent span", flush=True)
        scored(data, expected, work)
    if (shared / "captures").is_dir():
        print("\n== captures of real frameworks", flush=True)
        subprocess.run([sys.executable, "check.py", "--command", " ".join(SCAN)], cwd=shared / "captures", check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
