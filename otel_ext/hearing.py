"""What models were told and what they said, as far as rules need it: tools that were declared to them, and claims in their texts.

The same tools are declared with every call and the same few texts matter, so both are read once and remembered, within bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from otel_ext.detectors.claim_texts import texts_of
from otel_ext.detectors.claimed import KnownTools
from otel_ext.detectors.claims import read
from otel_ext.detectors.runs import Text
from otel_ext.dialects.declared import tool_names

DECLARED_MAX: Final = 4_096  # declarations whose tools are remembered; the one read first goes first

NO_TOOLS: Final[frozenset[int]] = frozenset()


@dataclass(slots=True)
class Hearing:
    """Reads declarations and texts. `forgotten` counts declarations over the bound: they are only read again."""

    tools: KnownTools
    intern: Callable[[str], int]
    forgotten: int = 0
    _declared: dict[int, frozenset[int]] = field(default_factory=dict)  # state-changing tools by the hash of one declaration
    _together: dict[frozenset[int], frozenset[int]] = field(default_factory=dict)  # and by those of several, one object for all traces

    def declared(self, hashes: frozenset[int], value_of: Callable[[int], tuple[bytes, int]]) -> frozenset[int]:
        """The state-changing tools of declarations, by their hashes; *value_of* gives the bytes and the DECLARED_* form of a new one."""
        together = self._together.get(hashes)
        if together is None:
            together = NO_TOOLS.union(*(self._one(each, value_of) for each in hashes))
            self._remember(self._together, hashes, together)
        return together

    def _one(self, value_hash: int, value_of: Callable[[int], tuple[bytes, int]]) -> frozenset[int]:
        known = self._declared.get(value_hash)
        if known is None:
            known = frozenset(self.tools.acting(map(self.intern, tool_names(*value_of(value_hash)))))
            self._remember(self._declared, value_hash, known)
        return known

    def _remember(self, known: dict[Any, frozenset[int]], key: object, tools: frozenset[int]) -> None:
        if len(known) >= DECLARED_MAX:
            del known[next(iter(known))]
            self.forgotten += 1
        known[key] = tools

    @staticmethod
    def text(value: bytes, end: int, *, of_agent: bool) -> Text | None:
        """What an output claims, or takes back; None where that is nothing. *end* is that of its span."""
        said = read(texts_of(value), end)
        return Text(said, of_agent) if said.matters else None
