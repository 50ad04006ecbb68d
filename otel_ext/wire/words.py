"""The words that both codecs look for in texts."""

from __future__ import annotations

from typing import Final

# Lower-case bytes; an answer that has one of them in its first 256 is a refusal: the tool does not exist, or was not let run.
REFUSAL_MARKERS: Final = (
    b"error: tool",
    b"not available",
    b"is not a valid tool",
    b"unknown tool",
    b"tool not found",
    b"not found",
    b"no such tool",
    b"blocked by",
    b"rejected the tool",
    b"not approved",
    b"denied",
)

# Lower-case ASCII words; a text with one of them may claim that something was done. Letters and digits only.
CLAIM_WORDS: Final = (
    *("booked", "cancelled", "canceled", "refunded", "sent", "updated", "changed", "processed", "completed", "successfully", "issued"),
    *("exchanged", "returned", "modified", "scheduled", "created", "deleted", "removed", "added", "transferred", "submitted", "confirmed"),
    *("paid", "placed", "upgraded", "done"),
)
