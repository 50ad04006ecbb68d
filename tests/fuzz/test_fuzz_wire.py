"""A short run of the fuzzer, so that it keeps working."""

from __future__ import annotations

from tests.fuzz import wire
from tests.wire.sample import needs_native


@needs_native
def test_two_seconds() -> None:
    """Damaged payloads, a fixed seed."""
    assert wire.run(2, 1) > 0
