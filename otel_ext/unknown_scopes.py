"""Instrumentation that no dialect knows: how many agent steps came from scopes of which name. They are read by the generic keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from otel_ext.dialects import known_scope


@dataclass(slots=True)
class UnknownScopes:
    """Counts by interned name, so there are no more of them than names. *name* gives an interned name."""

    name: Callable[[int], str]
    _counts: dict[int, int] = field(init=False, default_factory=dict)
    _known: set[int] = field(init=False, default_factory=set)

    def add(self, scopes: np.ndarray) -> None:
        """Count the rows of `Scan.scopes`."""
        for number, _, _, steps in scopes.tolist():
            if steps and number not in self._known:
                self._count(number, steps)

    def _count(self, number: int, steps: int) -> None:
        if number not in self._counts and known_scope(self.name(number)):
            self._known.add(number)
            return
        self._counts[number] = self._counts.get(number, 0) + steps

    def counts(self) -> Mapping[str, int]:
        """Steps so far by name of the scope; "" for spans without a scope."""
        return {self.name(number): count for number, count in self._counts.items()}
