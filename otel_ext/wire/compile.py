"""The key table, checked once and in the plain form that both codecs start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from otel_ext.wire.table import MARK_SHIFT, Field, Key, Limits, NameRule

_DEPTH_MAX: Final = 100  # both codecs recurse
_NAMES_MAX: Final = 65_533  # numbers are u2, and two are taken
_NAME_BYTES_MIN: Final = 4  # room for any one character
_RANK_MAX: Final = 2**31 - 1
_FLAT_MAX: Final = 64
RULES_MAX: Final = 256  # one bit each, in the native codec
FLAT: Final = (Field.FLAT_OUTPUT, Field.FLAT_INPUT, Field.FLAT_DECLARED)


@dataclass(frozen=True, slots=True)
class Entry:
    """A Key in bytes."""

    name: bytes
    field: Field
    rank: int
    values: dict[bytes, int]
    kinds: frozenset[int]
    scope: bytes
    event: bytes
    path: tuple[bytes | int, ...] | None
    between: tuple[bytes, bytes] | None

    def fits(self, kind: int, scope: bytes) -> bool:
        """Whether a span of *kind* in *scope* may use it."""
        return (not self.kinds or kind in self.kinds) and scope.startswith(self.scope)


@dataclass(frozen=True, slots=True)
class Rule:
    """A NameRule in bytes."""

    prefix: bytes
    kind: int | None
    take: Field | None
    kinds: frozenset[int]
    scope: bytes
    suffix: bytes

    def rest(self, kind: int, scope: bytes, name: bytes) -> bytes | None:
        """What *name* has between prefix and suffix; None where the rule does not fit."""
        fits = (not self.kinds or kind in self.kinds) and scope.startswith(self.scope) and name.startswith(self.prefix)
        middle = name[len(self.prefix) :]
        if not fits or not middle.endswith(self.suffix):
            return None
        return middle[: len(middle) - len(self.suffix)]


def _check_key(key: Key) -> None:
    if not -_RANK_MAX <= key.rank <= _RANK_MAX:
        raise ValueError(f"{key.name}: rank {key.rank} is out of range")
    if key.field is Field.MARK and not 0 <= key.rank < 32 - MARK_SHIFT:
        raise ValueError(f"{key.name}: mark {key.rank}, allowed are 0 to {31 - MARK_SHIFT}")
    if key.field is Field.KIND and not all(0 <= kind <= 31 for kind in key.values.values()):
        raise ValueError(f"{key.name}: kinds are 0 to 31")
    if any(isinstance(step, int) and step < 0 for step in key.path or ()):
        raise ValueError(f"{key.name}: items of an array count from 0")
    if key.field in (*FLAT, Field.SERVICE) and (key.event or key.path is not None or key.between):
        raise ValueError(f"{key.name}: a {key.field.name} has no event, path or between")


def entries(keys: Sequence[Key]) -> list[Entry]:
    """*keys* in bytes, in order; raises ValueError for one that cannot be."""
    for key in keys:
        _check_key(key)
    if sum(key.field in FLAT for key in keys) > _FLAT_MAX:
        raise ValueError(f"more than {_FLAT_MAX} flat prefixes")
    return [_entry(key) for key in keys]


def _entry(key: Key) -> Entry:
    return Entry(
        key.name.encode(),
        Field(key.field),
        key.rank,
        {text.encode(): int(value) for text, value in key.values.items()},
        frozenset(int(kind) for kind in key.kinds),
        key.scope.encode(),
        key.event.encode(),
        None if key.path is None else tuple(step.encode() if isinstance(step, str) else step for step in key.path),
        None if key.between is None else (key.between[0].encode(), key.between[1].encode()),
    )


def rules(name_rules: Sequence[NameRule]) -> list[Rule]:
    """*name_rules* in bytes, in order; raises ValueError for one that cannot be."""
    if len(name_rules) > RULES_MAX:
        raise ValueError(f"{len(name_rules)} name rules, allowed are {RULES_MAX}")
    for rule in name_rules:
        if rule.take not in (None, Field.TOOL, Field.AGENT):
            raise ValueError(f"{rule.prefix}: take is TOOL, AGENT or None")
    return [
        Rule(
            rule.prefix.encode(),
            None if rule.kind is None else int(rule.kind),
            rule.take,
            frozenset(int(kind) for kind in rule.kinds),
            rule.scope.encode(),
            rule.suffix.encode(),
        )
        for rule in name_rules
    ]


def check_limits(limits: Limits) -> Limits:
    """*limits*, or ValueError with the bound that is broken."""
    bounds = {
        "depth_max": (1, _DEPTH_MAX),
        "names_max": (0, _NAMES_MAX),
        "name_bytes_max": (_NAME_BYTES_MIN, 2**31),
        "requests_max": (0, 2**31),
        "answers_max": (0, 2**31),
    }
    for name, (low, high) in bounds.items():
        if not low <= getattr(limits, name) <= high:
            raise ValueError(f"{name}: {getattr(limits, name)}, allowed are {low} to {high}")
    return limits
