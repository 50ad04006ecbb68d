"""What a value in the configuration may be: ranges, choices, times, addresses; read by `otel_ext.configfile` from the annotations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Final

NS_PER_S: Final = 1_000_000_000

KIB: Final = 1024
MIB: Final = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Range:
    """Both ends belong to the range."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Choice:
    """The values allowed for a string."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression."""


@dataclass(frozen=True, slots=True)
class Duration:
    """A time with its unit in the file, nanoseconds here. Bounds in seconds."""

    low_s: float = 0
    high_s: float = 7 * 86_400


@dataclass(frozen=True, slots=True)
class Address:
    """`host:port`; port 0 lets the system choose."""


@dataclass(frozen=True, slots=True)
class Url:
    """An absolute http(s) URL."""

    optional: bool = False


Count = Annotated[int, Range(1, 100_000_000)]
Usd = Annotated[float, Range(0, 1_000_000)]  # for a million tokens
NOT_GIVEN: Final = -1.0  # a price that the file does not name
Bytes = Annotated[int, Range(1 * KIB, 64 * 1024 * MIB)]


def section(kind: type[Any]) -> Any:
    """A nested section that is there with its defaults when the file does not name it."""
    return field(default_factory=kind)
