"""What `import otel_ext` offers: few names, lazily, with types that hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import otel_ext

ROOT = Path(__file__).parent.parent


def test_there_are_few_names_and_all_are_there() -> None:
    """15 at most; dir() and an unknown name behave."""
    assert len(otel_ext.__all__) <= 15
    assert sorted(otel_ext.__all__) == otel_ext.__all__
    assert all(getattr(otel_ext, name) is not None for name in otel_ext.__all__)
    assert set(otel_ext.__all__) <= set(dir(otel_ext))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        otel_ext.nothing  # noqa: B018


def test_importing_the_package_is_light() -> None:
    """Neither the SDK, nor numpy, nor our own rooms are loaded before a name is used."""
    code = "import sys, otel_ext; print([m for m in sys.modules if m.startswith(('opentelemetry', 'numpy', 'otel_ext.'))])"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_types_are_part_of_the_api() -> None:
    """An application that uses every name type-checks, strictly."""
    pytest.importorskip("mypy")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "tests/typing/api.py"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
