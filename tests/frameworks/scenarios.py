"""What the scripted model does, as data: a scenario is a list of turns, and what a right detector says of it.

A turn is one answer of the model. The tools are the same everywhere: `search(q)`, `calculate(expr)` and `book_flight(flight)`, which
changes the world. Past the end of a script the model says that it is done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

HANDOFF = "<hand-off>"  # whichever declared tool leads to the second agent
UNKNOWN_TOOL = "cancel_booking"


@dataclass(frozen=True)
class Call:
    """A tool call that the model asks for."""

    tool: str
    arguments: Mapping[str, str]


@dataclass(frozen=True)
class Usage:
    """Tokens of one answer. Cached ones are part of the input, reasoning ones of the output."""

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0


@dataclass(frozen=True)
class Turn:
    """One answer: text, or calls, or both."""

    text: str = ""
    calls: Sequence[Call] = ()
    cached: int = 0
    reasoning: int = 0


@dataclass(frozen=True)
class Scenario:
    """A script, the question that starts it, and the families of findings that are right: each must be there, and no other alert."""

    question: str
    turns: Sequence[Turn]
    expected: Sequence[str] = ()
    streamed: bool = False
    failing: bool = False  # book_flight raises
    polling: bool = False  # search has news every time
    withheld: bool = False  # book_flight needs an approval, which is refused
    handoff: bool = False  # a second agent, `booker`, has book_flight


def usage(number: int, turn: Turn) -> Usage:
    """What the answer *number* (from 0) is billed: histories grow, so no two sums are alike by chance."""
    return Usage(120 + 41 * number + 7 * number * number, 18 + 5 * number, turn.cached, turn.reasoning)


SEARCH = Call("search", {"q": "fare Paris Rome"})
CALCULATE = Call("calculate", {"expr": "2*129"})
BOOK = Call("book_flight", {"flight": "AZ 611"})

SCENARIOS: Mapping[str, Scenario] = {
    "healthy": Scenario(
        "What do two tickets from Paris to Rome cost?",
        (
            Turn(calls=(SEARCH,), reasoning=6),
            Turn(calls=(CALCULATE,), cached=64),
            Turn("Two tickets from Paris to Rome cost 258 euros.", cached=64),
        ),
    ),
    "streaming": Scenario(
        "What do two tickets from Paris to Rome cost?",
        (
            Turn(calls=(SEARCH,), reasoning=6),
            Turn(calls=(CALCULATE,), cached=64),
            Turn("Two tickets from Paris to Rome cost 258 euros.", cached=64),
        ),
        streamed=True,
    ),
    "parallel": Scenario(
        "Compare fares to Rome, and what two tickets cost.",
        (
            Turn(calls=(SEARCH, Call("search", {"q": "fare Lyon Rome"}), CALCULATE)),
            Turn("From Paris it is cheaper: 258 euros for two."),
        ),
    ),
    "polling": Scenario(
        "Tell me when my visa check is done.",
        (*[Turn(calls=(Call("search", {"q": "visa check status"}),))] * 3, Turn("Your visa check is done.")),
        polling=True,
    ),
    "looping": Scenario(
        "Find the cheapest hotel in Rome.",
        (*[Turn(calls=(Call("search", {"q": "cheapest hotel Rome"}),))] * 6, Turn("I could not find a cheapest hotel.")),
        expected=("loop",),
    ),
    "cycling": Scenario(
        "Is it cheaper by train?",
        (*[Turn(calls=(SEARCH,)), Turn(calls=(CALCULATE,))] * 4, Turn("The fares are about the same.")),
        expected=("loop",),
    ),
    "unknown_tool": Scenario(
        "Cancel my booking AZ 611.",
        (Turn(calls=(Call(UNKNOWN_TOOL, {"booking": "AZ 611"}),)), Turn("I am not able to cancel bookings.")),
        expected=("requested",),
    ),
    "claimed": Scenario(
        "Book flight AZ 611 for me.",
        (Turn("Your flight AZ 611 has been booked. Have a nice trip!"),),
        expected=("claimed",),
    ),
    "failing": Scenario(
        "Book flight AZ 611 for me.",
        (*[Turn(calls=(BOOK,))] * 4, Turn("I could not book the flight: the booking system does not answer.")),
        expected=("failing",),
        failing=True,
    ),
    "withheld": Scenario(
        "Book flight AZ 611 for me.",
        (Turn(calls=(BOOK,)), Turn("I did not book it, as you have not approved.")),
        expected=("requested",),
        withheld=True,
    ),
    "handoff": Scenario(
        "Book flight AZ 611 for me.",
        (Turn(calls=(Call(HANDOFF, {}),)), Turn(calls=(BOOK,)), Turn("Flight AZ 611 is booked.")),
        handoff=True,
    ),
}
