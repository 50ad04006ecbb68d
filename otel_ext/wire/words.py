"""The words that both codecs look for in texts."""

from __future__ import annotations

from typing import Final


def _words(listed: str) -> tuple[str, ...]:
    return tuple(listed.split())


# Lower-case bytes; an answer that has one of them in its first 256 is a refusal: the tool does not exist, or was not let run.
REFUSAL_MARKERS: Final = (
    b"error: tool",
    b"not available",
    b"is not a valid tool",
    b"unknown tool",
    b"unknown function",
    b"unavailable tool",
    b"tool not found",
    b"not found",
    b"no such tool",
    b"nosuchtool",
    b"blocked by",
    b"rejected the tool",
    b"not approve",  # also "did not approve"
    b"denied",
)

# The same of a tool's own result, where plain "not found" may be what the tool found: there is no such tool, so nothing was executed.
NO_TOOL_MARKERS: Final = (
    b"error: tool '",
    b'error: tool \\"',
    b'error: tool "',
    b"is not a valid tool",
    b"unknown tool",
    b"unknown function",
    b"unavailable tool",
    b"tool not found",
    b"no such tool",
    b"nosuchtool",
)

# Lower-case ASCII words; a text with one of them may claim that something was done. Letters and digits only.
CLAIM_WORDS: Final = _words(
    "activated added adjusted amended apologise apologize appended applied approved archived arguments arranged assigned attached "
    "blocked booked bought canceled canceling cancelled cancelling changed charged cleared closed committed complete completed "
    "completing configured confirmed connected corrected couldn created credited deactivated decreased deleted denied deployed "
    "deposited disabled disconnected dispatched disputed downgraded edited emailed enabled enrolled erased escalated exchanged "
    "executed exported extended failed filed finalised finalising finalized finalizing forwarded froze frozen generated granted "
    "imported incorrect increased initiated initiating inserted installed invited issued issuing locked logged lowered made mailed "
    "merged messaged misinformation misspoke mistake mistaken modified moved notified opened ordered paid patched paused performed "
    "placed placing posted postponed premature processed processing published purchased purged pushed raised reactivated "
    "reassigned rebooked rebooking rebooted redeemed reduced refilled refunded refunding registered reimbursed rejected "
    "removed renamed renewed replaced replied reported requested rerouted rescheduled reserved reset resolved restarted restored "
    "resumed returned revoked rotated saved scaled scheduled sent set started stopped submitted submitting subscribed suspended "
    "swapped switched terminated transferred turned unable unblocked unfrozen uninstalled unlocked unsubscribed updated upgraded "
    "uploaded voided waived wired withdrawn withdrew written wrote"
)
