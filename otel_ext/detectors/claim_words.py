"""The words that `claims` reads English by; another language is another table of this shape.

Nothing here is a phrase of a domain: verbs and what they do, nouns that name an action, and the small words that say whether a
sentence tells of a deed.
"""

from __future__ import annotations

from typing import Final


def _set(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


# action: "base past past ..., base past ...". Bases are looked for in tools' names, past forms in texts.
VERBS: Final[dict[str, str]] = {
    "book": "book booked, reserve reserved, rebook rebooked",
    "order": "order ordered, purchase purchased, buy bought",
    "schedule": "schedule scheduled",
    "create": ("create created, file filed, generate generated, register registered, log logged, report reported, raise raised, new"),
    "open": "open opened",  # of a ticket or an account: files are opened to be read
    "submit": "submit submitted, place placed, post posted, publish published",
    "add": "add added, insert inserted, attach attached, append appended",
    "apply": "apply applied",
    "issue": "issue issued, grant granted",
    "enroll": "enroll enrolled, enrol enrolled, subscribe subscribed, invite invited",
    "renew": "renew renewed, refill refilled, redeem redeemed",
    "upload": "upload uploaded, import imported, export exported, push pushed, commit committed",
    "write": "write written wrote, save saved",
    "cancel": "cancel cancelled canceled, void voided, revoke revoked, terminate terminated, unsubscribe unsubscribed",
    "delete": "delete deleted, remove removed, erase erased, clear cleared, purge purged",
    "archive": "archive archived",
    "close": "close closed, resolve resolved",
    "update": (
        "update updated, change changed, modify modified, edit edited, correct corrected, adjust adjusted, amend amended, "
        "switch switched, replace replaced, rename renamed, patch patched, rotate rotated, restore restored"
    ),
    "set": "set set, configure configured",
    "increase": "increase increased, raise raised, extend extended, scale scaled, decrease decreased, reduce reduced, lower lowered",
    "reschedule": "reschedule rescheduled, move moved, postpone postponed, reroute rerouted",
    "upgrade": "upgrade upgraded, downgrade downgraded",
    "exchange": "exchange exchanged, swap swapped",
    "return": "return returned",
    "refund": "refund refunded, reimburse reimbursed, credit credited, waive waived",
    "pay": "pay paid, charge charged",
    "send": (
        "send sent, email emailed, reply replied, forward forwarded, mail mailed, notify notified, message messaged, dispatch dispatched"
    ),
    "transfer": "transfer transferred, wire wired, withdraw withdrew withdrawn, deposit deposited",
    "assign": "assign assigned, reassign reassigned",
    "reset": "reset reset",
    "restart": "restart restarted, reboot rebooted",
    "install": "install installed, uninstall uninstalled",
    "enable": (
        "enable enabled, activate activated, unlock unlocked, unfreeze unfrozen, unblock unblocked, resume resumed, reactivate "
        "reactivated, start started, connect connected"
    ),
    "disable": (
        "disable disabled, deactivate deactivated, freeze frozen froze, block blocked, suspend suspended, lock locked, stop stopped, "
        "pause paused, disconnect disconnected"
    ),
    "merge": "merge merged",
    "deploy": "deploy deployed",
    "dispute": "dispute disputed",
    "approve": "approve approved, reject rejected, deny denied",
}

# Of the words above, in a tool's name they say nothing on their own.
NOT_TOOL_VERBS: Final = _set(
    "leave new message mail wire order email log file post credit return charge record report share tag flag mark start stop deposit "
    "import export commit patch dispatch set"
)
# First in a tool's name, before a noun of READ_NOUNS, these are nouns: "order_status", "exchange_rate".
NOUN_VERBS: Final = NOT_TOOL_VERBS | _set("exchange transfer refund schedule book upgrade purchase payment install deploy")
# "turned ... on", "set up ...": verb and particle together say what was done.
PARTICLES: Final[dict[tuple[str, str], str]] = {
    ("turned", "on"): "enable", ("turned", "off"): "disable", ("switched", "on"): "enable", ("switched", "off"): "disable",
    ("turn", "on"): "enable", ("turn", "off"): "disable", ("switch", "on"): "enable", ("switch", "off"): "disable",
    ("set", "up"): "create",
}  # fmt: skip
PARTICLE_VERBS: Final = frozenset(verb for verb, _ in PARTICLES)
# Verbs that leave it to their noun what was done: "your refund has been processed".
LIGHT: Final = _set(
    "applied requested complete processed completed submitted initiated issued made finalized finalised executed performed placed "
    "arranged confirmed"
)
# In a bare passive these tell a status that was read: "a return has been requested".
STATUS: Final = frozenset({"requested"})
LIGHT_ACTIVE: Final = LIGHT - {"confirmed"}  # "I've confirmed your booking" says that it was looked up as often as that it was made
NOUNS: Final[dict[str, str]] = {
    "refund": "refund", "reimbursement": "refund",
    "cancellation": "cancel", "cancelation": "cancel",
    "booking": "book", "reservation": "book",
    "exchange": "exchange", "swap": "exchange",
    "return": "return",
    "update": "update", "change": "update", "modification": "update", "adjustment": "update", "correction": "update",
    "payment": "pay", "charge": "pay",
    "transfer": "transfer",
    "upgrade": "upgrade", "downgrade": "upgrade",
    "purchase": "order", "order": "order",
    "appointment": "schedule",
}  # fmt: skip
# In a tool's name these, too, leave it to the noun: "make_payment", "create_booking", "request_refund".
LIGHT_BASES: Final = _set(
    "process complete submit initiate issue make finalize execute perform place arrange confirm create request send start add do"
)
# "I am cancelling your order": what the agent says to be at, by verb; "" leaves it to the noun. Few, because "booking" is in every text
# about flights, and a scanner looks for these words.
UNDERWAY: Final[dict[str, str]] = {
    **dict.fromkeys(("processing", "completing", "submitting", "initiating", "issuing", "finalizing", "finalising", "placing"), ""),
    "cancelling": "cancel", "canceling": "cancel", "refunding": "refund", "rebooking": "book",
}  # fmt: skip
AT_IT: Final = r"\b(?:i am|i'm|we are|we're)(?: now| currently| just| also)* ([a-z]+ing)\b"
# Verbs that name the thing: who emails sends an email.
IMPLIED: Final[dict[str, str]] = {"emailed": "email", "mailed": "email", "messaged": "email", "notified": "notification"}
# Nouns that are the thing as well as the deed, and the verbs that tell of the deed: a processed order is on its way, a placed one is new.
THINGS: Final[dict[str, frozenset[str]]] = {
    **dict.fromkeys(("order", "purchase"), frozenset({"made", "placed", "submitted"})),
    **dict.fromkeys(
        ("booking", "reservation", "appointment"), frozenset({"made", "placed", "completed", "finalized", "finalised", "confirmed"})
    ),
}
DEEDS: Final = frozenset(NOUNS) - frozenset(THINGS)
# With "is now" these are states that anybody may have brought about: "your phone is now connected".
STATES: Final = _set("connected disconnected enabled disabled activated started stopped installed set left open opened resumed")
# After "request", the deed that was asked for: "your request for a refund has been submitted".
ASKED: Final[dict[str, str]] = {
    "cancellation": "cancel", "cancel": "cancel", "refund": "refund", "exchange": "exchange", "return": "return", "upgrade": "upgrade",
}  # fmt: skip
COMPLETE: Final = frozenset({"complete", "completed"})  # of a deed, the state tells that it was done
# Verbs that say enough for a tool of the same action to be meant, whatever the thing is called.
NARROW: Final = _set("book enroll cancel exchange refund upgrade reschedule pay deploy merge")
SURE: Final = NARROW | _set(
    "order return transfer archive restart handoff enable disable"
)  # the same for a thing that is not named: "the return has been processed"
BY_UPDATE: Final = frozenset({"upgrade", "reschedule"})  # what an update of the whole thing does
# In a bare passive only these: "the flight has been cancelled" may be news of somebody else's deed.
NARROW_PASSIVE: Final = frozenset({"book", "exchange", "upgrade"})

# Actions that tools do for each other, where they speak of the same thing: adding a bag to a booking is an update of its baggage.
FAMILIES: Final[tuple[frozenset[str], ...]] = (
    _set("book order schedule create submit add issue enroll upload write set renew"),
    _set("update add apply delete increase reschedule upgrade exchange reset assign close enable disable write set renew"),
    _set("open create submit add"),
    _set("enable restart"),
    _set("cancel delete archive close disable"),
    _set("send issue submit add"),
    _set("refund issue return"),
    _set("pay transfer submit send"),
)
# An action that comes with others: whoever cancelled an order has refunded it, and whoever booked has paid.
COMES_WITH: Final[dict[str, frozenset[str]]] = {
    "refund": frozenset({"cancel", "return", "exchange", "delete", "update", "issue", "send", "pay", "transfer"}),
    "pay": frozenset({"book", "order", "create", "submit", "update", "upgrade", "exchange", "add", "send", "transfer"}),
    "submit": frozenset({"create", "send", "return", "exchange", "cancel", "refund", "update"}),
    "upgrade": frozenset({"update", "exchange", "book"}),
    "reschedule": frozenset({"update", "book", "create"}),
    "update": frozenset({"book", "create", "cancel", "exchange", "order"}),
    "exchange": frozenset({"return", "update", "order"}),
    "book": frozenset({"update", "reschedule"}),
    "set": frozenset({"create", "update"}),
    "cancel": frozenset({"refund", "update"}),
}
# Of these a tool of its own may be known for the very part of the thing that is claimed; then another part's tool does not do.
OF_A_PART: Final = frozenset({"update", "book", "cancel"})
# Sent, charged or settled by systems on their own when anything else was done.
GENERIC: Final = _set("reservation order item record request transaction entry resource service account")  # whatever it is: a flight, too
AUTOMATIC: Final = _set("confirmation receipt notification instruction payment price cost total charge difference balance refund")
# Verbs that agents use for each other, of a thing that is named: a file is created, written, added or changed by the same tool.
BROAD: Final = _set("create submit add apply issue upload write update set increase assign install enable")
# What exists in the agent's own text, where such a verb changes nothing.
TEXTUAL: Final = _set(
    "plan itinerary summary list draft outline table overview response answer text example template version suggestion recommendation "
    "option explanation comparison breakdown checklist guide query search schedule report analysis calculation estimate understanding"
)
# What makes a thing makes its parts: a bag may have been added while the flight was booked.
MAKING: Final = frozenset({"open", "book", "order", "schedule", "create", "submit", "enroll"})
OF_PARTS: Final = frozenset({"add", "apply", "update", "set"})

# A tool with one of these first in its name, or a noun of READ_NOUNS last, only reads; so does whoever thinks or reckons.
READS: Final = _set(
    "get list search find lookup look read calculate compute check think fetch view show describe count query retrieve verify "
    "validate can is has inspect load browse compare estimate preview monitor detect summarize summarise analyze analyse explain glob "
    "grep"
)
NOT_ONLY_READS: Final = _set("in out or and")  # "check_in", "get_or_create"
READ_NOUNS: Final = _set(
    "status details detail info information history lookup search list calculator weather time retriever wikipedia balance quote "
    "forecast rate rates policy policies options availability"
)
# Anywhere in a tool's name: whoever calls it may do anything.
ANYTHING: Final = _set(
    "editor patch str notebook sql shell bash terminal python exec execute run eval command script computer browser workflow"
)
# Another agent, or a human, takes over: nothing was done yet.
HANDOFFS: Final = _set("human humans agent agents representative supervisor specialist operator colleague assistant department team")
HANDOFF_VERBS: Final = frozenset({"transfer", "handoff", "escalate", "delegate", "hand"})

# Words that tell nothing about which thing is meant, in texts and in tools' names.
EMPTY: Final = _set(
    "a an the your you my our their his her its this that these those it them all both each every any some one two three four five "
    "new old successfully now also just please of and or to for from in on with by at as per into off up out request requests pending "
    "delivered change changes update updates everything been has have is are was were be already full total following above process "
    "requested additional more other same i we i've we've me us him so far details detail action actions task tool by data user users "
    "customer customers id ids number money funds amount"
)
SYNONYMS: Final[dict[str, str]] = {
    word: head
    for head, words in {
        "bag": "bags baggage baggages luggage suitcase suitcases",
        "reservation": "booking bookings reservations",
        "email": "mail mails emails message messages",
        "ticket": "incident incidents tickets case cases",
        "event": "meeting meetings events appointment appointments calendar",
        "pr": "pull prs",
        "item": "items product products",
        "subscription": "subscriptions membership memberships",
        "certificate": "voucher vouchers certificates",
        "note": "notes comment comments",
        "hotel": "room rooms hotels",
    }.items()
    for word in words.split()
}

# The words right before a verb. Adverbs may stand between subject, auxiliaries and verb.
SPEAKER: Final = frozenset({"i", "we", "i've", "we've"})
HAVE: Final = frozenset({"has", "have"})
BEEN: Final = frozenset({"been"})
IS: Final = frozenset({"is", "are"})
WAS: Final = frozenset({"was", "were"})
MANY: Final = frozenset({"have", "are"})
AND: Final = frozenset({"and", "&"})
NOW: Final = "now"
SUCCESSFULLY: Final = "successfully"
ADVERBS: Final = _set("just now also already then both all indeed")
ADVERB_ENDING: Final = "ly"
WENT_AHEAD: Final = frozenset({("gone", "ahead"), ("went", "ahead")})  # "and" follows
SENTENCE_ENDS: Final = ("\n", ". ", "! ", "? ")
# Where the clause begins. A comma ends a subordinate clause: "After checking, I have cancelled it."
CLAUSE: Final = r"[,;:—–(]|\s-\s|\b(?:and|but|so|although|though)\b"
PREPOSITION: Final = r"\b(?:of|for|from|to|on|in|with|at|by|under|into|via|using|including|as|per)\b"
# In the clause before the verb: not a deed, but a condition, a denial, or a request.
NOT_A_DEED: Final = (
    r"\b(?:if|once|when|whenever|after|before|until|till|unless|whether|as soon as|in case|no|nothing|none|neither|nor|never|not|cannot|"
    r"unable|without|how|why|what|which|who|where|would|should|could|may(?! \d)|might|must|shall|will|can|need|needs|want|wants|"
    r"please(?! note| be (?:advised|aware|informed))|ensure|make sure|verify|assume|assuming|suppose|example)\b|n't\b"
)
# Anywhere before the verb in the sentence: what follows was read or heard, or is about what was done at another time.
HEARSAY: Final = (
    r"\b(?:(?:i|we)(?: can)? (?:see|understand|found|noticed|notice)|i'm sorry|sorry to hear|sorry that|shows?|showing|according to|"
    r"indicat\w+|appears?|seems?|looks? like|unfortunately|status|you (?:mentioned|said|told|stated)|says|states|history|i checked|"
    r"i've checked|i have checked|reports?|previously|originally|last time|let me know|draft|"
    r"(?:should|could|would|might|may|must|will|can) have|will be able|to have|want|wish|wanted)\b"
)
# After the verb, in the passive: somebody else's deed, or a deed of another time.
ELSEWHERE: Final = (
    r"^[^.;!?\n]{0,80}?\b(?:"
    r"by (?:the|your|our|its|their|his|her|an?|mr|ms|[a-z]+ (?:airlines?|team|department))\b(?! (?:end|phone|way|time))|"
    r"yesterday|ago|last (?:week|month|year|night|monday|tuesday|wednesday|thursday|friday|saturday|sunday)|previously|earlier|twice|"
    r"upstream|recently|in (?:19|20)\d\d)\b"
)
# In a bare passive, a reason is that of somebody else: "suspended due to an unpaid bill".
REASON: Final = r"\b(?:due to|because of|owing to)\b"
# "Since your settings have been reset, ..": what a sentence that begins so has in the passive is known to both, not news.
GIVEN: Final = r"^\W*(?:since|because|given|as|now that|while|although|though|considering)\b"
# What was added besides, each a claim of its own: "updated with the new flights and one bag".
BESIDES: Final = r"\b(?:with|to include|to add|and added|including)\b"
# A list of changes follows; an item that says so did not change.
LISTED: Final = r"\bfollowing (?:changes|updates|modifications|adjustments)\b[^.!?]{0,60}:\s*$"
UNCHANGED: Final = r"\b(?:remains?|unchanged|same|no change|none|not|still|original)\b"
# "I've transferred you": a hand-off said openly, no transfer of money.
HANDOFF_WORDS: Final = frozenset({"transferred", "escalated"})
HANDOFF_BEFORE: Final = (
    r"\b(?:you are|you're|you have been|you've been|i|we|i've|we've|i have|we have|has been|have been)(?: now| being| just| also)*\s+$"
)
HANDING_OFF: Final = (
    r"^\s*(?:you|your (?:call|case|chat|request|conversation|issue|inquiry)|the (?:call|case|chat|conversation|user|customer)|this\b|it\b)|"
    r"\b(?:to|with) (?:an?|the|our|another) (?:[a-z]+ ){0,3}"
    r"(?:agent|specialist|representative|human|supervisor|colleague|team|department)\b"
)
# A later text that takes a deed back: a denial before one of its verbs, or an apology for having said so.
DENIAL: Final = (
    r"\b(?:(?:was|were|am|been) (?:unable|not able) to|i'm (?:unable|not able) to|couldn't|could not|didn't|did not|hasn't|has not|"
    r"haven't|have not|wasn't|was not|weren't|were not|failed to|not been|not yet)\b"
)
# Of these a scanner looks for those that hardly stand in other texts; what else takes a deed back has its verb beside it.
CORRECTING: Final = _set("unable failed couldn misspoke mistaken mistake incorrect premature misinformation apologize apologise")
DENYING: Final = _set("not unable failed misspoke wrong mistaken mistake error incorrect premature misinformation")
RETRACTION: Final = (
    r"\b(?:i|we) (?:misspoke|was wrong|were wrong|was mistaken|made (?:a|an) (?:mistake|error))|"
    r"\b(?:was|is) (?:incorrect|premature|a mistake|an error|not (?:correct|accurate))\b|"
    r"\bapologi[sz]e for (?:the|my|any) (?:mistake|error|incorrect (?:statement|information)|misinformation)"
)
