"""What an agent's text claims to have done, and whether a call backs it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_ext.detectors.claim_check import Call, Effect, effect, matches, unbacked
from otel_ext.detectors.claim_forms import CLAIM_WORDS
from otel_ext.detectors.claims import VERBS, Claim, Said, claims, denials, read
from otel_ext.wire import words as wire_words
from tests.detectors.claim_messages import MESSAGES
from tests.detectors.claim_sentences import LATER, ROWS, Row
from tests.measure_claims import runs, score, wanted

SHARED = Path(__file__).parents[3] / "shared"

# Sentences that the rule gets wrong. All are claims that it misses.
MISSED = {
    "I deleted the three newsletters from your inbox.",  # a newsletter is an email, but no table says so
    "The meeting with Alice is all set up; I've sent nothing else.",
    "I left a note about this on the customer's file.",  # "I left the address as it is" is no deed
    "I've written the tests to tests/test_app.py.",
    "Your flight is booked!",  # a state: it may have been booked last week
    "I've marked the task as done.",
    "The task has been completed.",
}

MISSED_MESSAGES = {
    "Done! The front door is now locked and the thermostat has been set to 19°C.",  # what a thermostat sets is a temperature
    "All tests pass. I've committed the changes and opened a pull request: #88.",
    "I've written the new config to config.yaml.",
    "The invite has been sent to all attendees.",  # calendars send them on their own
}


def alarms(row: Row, calls: list[Call]) -> bool:
    return bool(unbacked([read(row.text, 1)], calls, [row.tool]))


@pytest.mark.parametrize("row", [*ROWS, *LATER], ids=lambda row: row.text[:60])
def test_a_sentence_is_a_claim_of_its_tool_or_is_not(row: Row) -> None:
    assert alarms(row, []) == (row.claimed and row.text not in MISSED)


@pytest.mark.parametrize("row", [*ROWS, *LATER], ids=lambda row: row.text[:60])
def test_a_successful_call_of_the_tool_backs_the_claim_and_a_failed_one_does_not(row: Row) -> None:
    assert not alarms(row, [Call(row.tool, False, 0)])
    assert alarms(row, [Call(row.tool, True, 0)]) == alarms(row, [])


@pytest.mark.parametrize("row", [*ROWS, *LATER], ids=lambda row: row.text[:60])
def test_every_claim_has_one_of_the_words_that_a_scanner_looks_for(row: Row) -> None:
    for claim in claims(row.text):
        assert any(row.text.lower().startswith(word, claim.at) for word in CLAIM_WORDS)


@pytest.mark.parametrize(("text", "known", "calls", "wanted"), MESSAGES)
def test_a_message_is_held_against_the_calls_before_it(text: str, known: list[str], calls: list[str], wanted: bool) -> None:
    found = unbacked([read(text, 5)], [Call(call.rstrip("!"), call.endswith("!"), 1) for call in calls], known)
    assert bool(found) == (wanted and text not in MISSED_MESSAGES)


def test_the_scanner_looks_for_the_same_words() -> None:
    assert set(wire_words.CLAIM_WORDS) == CLAIM_WORDS


def test_words_are_single_and_lower_case() -> None:
    assert all(word.isascii() and word.isalpha() and word.islower() for word in CLAIM_WORDS)


class TestEffect:
    @pytest.mark.parametrize(
        ("name", "action", "things"),
        [
            ("book_flight", "book", {"flight"}),
            ("modify_pending_order_items", "update", {"order", "item"}),
            ("cancelSubscription", "cancel", {"subscription"}),
            ("cancel-event", "cancel", {"event"}),
            ("mcp__github__create_pull_request", "create", {"pr"}),
            ("functions.delete_branch", "delete", {"branch"}),
            ("HTTPServerRestart", "restart", {"http", "server"}),
            ("update_ticket_status", "update", {"ticket", "status"}),
            ("issue_refund", "refund", set()),
            ("create_booking", "book", set()),
            ("make_payment", "pay", set()),
            ("turn_on_light", "enable", {"light"}),
            ("orders.cancel_item", "cancel", {"item"}),
            ("transfer_to_human_agents", "handoff", set()),
            ("transfer_money", "transfer", set()),
            ("transfer_to_billing_agent", "handoff", set()),
            ("escalate_case", "handoff", set()),
        ],
    )
    def test_a_name_says_what_a_tool_changes(self, name: str, action: str, things: set[str]) -> None:
        assert effect(name) == Effect(action, frozenset(things))

    @pytest.mark.parametrize(
        "name",
        ["get_order", "listOrders", "search", "think", "calculate", "check_status_bar", "order_status", "exchange_rate", "can_send_mms"],
    )
    def test_tools_that_read_or_think_change_nothing(self, name: str) -> None:
        assert effect(name) is None

    @pytest.mark.parametrize("name", ["Bash", "python", "run_command", "execute", "booking_agent", "sql", "check_in_passenger", "工具"])
    def test_what_no_table_knows_may_do_anything(self, name: str) -> None:
        assert effect(name) in (Effect("", frozenset()), None if name == "工具" else Effect("", frozenset()))


class TestMatches:
    def test_a_related_action_counts_only_on_the_same_thing(self) -> None:
        bag = claims("One checked bag has been added to your reservation.")[0]
        assert matches(bag, Effect("update", frozenset({"reservation", "bag"})))
        assert not matches(bag, Effect("update", frozenset({"order", "address"})))

    def test_a_thing_that_is_not_named_is_enough_for_a_cancellation_but_not_for_an_update(self) -> None:
        assert matches(claims("I've cancelled it.")[0], Effect("cancel", frozenset({"order"})))
        assert not matches(claims("I've updated it.")[0], Effect("update", frozenset({"contact"})))


BOOKED = "Your flight has been booked."
KNOWN = ["search", "book_flight", "cancel_flight"]


class TestUnbacked:
    def test_nothing_is_found_where_no_known_tool_does_what_is_claimed(self) -> None:
        assert unbacked([read(BOOKED, 1)], [], ["search", "send_email"]) == []

    @pytest.mark.parametrize("tool", ["Bash", "travel_agent", "run_code"])
    def test_a_call_that_may_do_anything_backs_every_claim(self, tool: str) -> None:
        assert unbacked([read(BOOKED, 1)], [Call(tool, False, 0)], KNOWN) == []
        assert unbacked([read(BOOKED, 1)], [Call(tool, True, 0)], KNOWN)

    def test_a_reading_call_backs_nothing(self) -> None:
        assert [claim.action for claim in unbacked([read(BOOKED, 1)], [Call("search", False, 0)], KNOWN)] == ["book"]

    def test_a_call_after_the_claim_counts(self) -> None:
        assert unbacked([read(BOOKED, 1)], [Call("book_flight", False, 9)], KNOWN) == []

    def test_after_a_failed_call_only_one_before_the_next_text_counts(self) -> None:
        """The agent spoke of success after a failure; another booking, later, does not make it true."""
        said = [read(BOOKED, 5), read("Shall I book the way back, too?", 10)]
        failed, retried, later = Call("book_flight", True, 4), Call("book_flight", False, 6), Call("book_flight", False, 12)
        assert unbacked(said, [failed, later], KNOWN)
        assert unbacked(said, [failed, retried], KNOWN) == []

    @pytest.mark.parametrize(
        "correction",
        [
            "I apologize for the mistake in my last message.",
            "I'm sorry, I was not able to book it.",
            "Your flight has not been booked yet: the payment failed.",
            "I couldn't book the flight after all.",
        ],
    )
    def test_a_later_correction_takes_a_claim_back(self, correction: str) -> None:
        assert unbacked([read(BOOKED, 1), read(correction, 2)], [], KNOWN) == []
        assert unbacked([read(correction, 1), read(BOOKED, 2)], [], KNOWN)

    def test_a_denial_of_something_else_takes_nothing_back(self) -> None:
        assert unbacked([read(BOOKED, 1), read("I was not able to send the invoice.", 2)], [], KNOWN)

    def test_one_part_of_a_thing_is_not_done_by_the_tool_of_another(self) -> None:
        known = ["update_reservation_flights", "update_reservation_baggages"]
        done = [Call("update_reservation_flights", False, 0)]
        bag = [read("One checked bag has been added to your reservation.", 1)]
        assert unbacked(bag, done, known)
        assert unbacked([read("Your reservation has been updated with the new flights and one bag.", 1)], done, known)
        assert unbacked([read("Your reservation has been updated.", 1)], done, known) == []
        assert unbacked(bag, [Call("book_reservation", False, 0)], known) == []

    def test_a_list_of_changes_claims_each_of_them(self) -> None:
        known = ["update_order_items", "update_order_address"]
        text = "Your order has been updated with the following changes:\n\n- **Items:** two lamps\n- **Address:** {}\n"
        done = [Call("update_order_items", False, 0)]
        assert [claim.object for claim in unbacked([read(text.format("12 Elm Street"), 1)], done, known)] == [{"address"}]
        assert unbacked([read(text.format("remains the same"), 1)], done, known) == []

    def test_a_refund_comes_with_a_cancellation(self) -> None:
        known = ["cancel_order", "issue_refund"]
        refunded = [read("Your refund has been processed.", 1)]
        assert unbacked(refunded, [Call("cancel_order", False, 0)], known) == []
        assert unbacked(refunded, [], known)

    def test_a_handoff_that_was_told_and_not_made_is_found(self) -> None:
        told = [read("You are being transferred to a human agent. Please hold on.", 1)]
        assert [claim.action for claim in unbacked(told, [], ["transfer_to_human_agents"])] == ["handoff"]
        assert unbacked(told, [Call("transfer_to_human_agents", False, 2)], ["transfer_to_human_agents"]) == []
        assert unbacked(told, [], ["book_flight", "transfer_money"]) == []

    def test_a_call_written_out_as_text_and_not_made_is_found(self) -> None:
        text = 'Booking it now.\n```json\n{"name": "book_flight", "arguments": {"flight": "LH123"}}\n```'
        assert [claim.voice for claim in unbacked([read(text, 1)], [], KNOWN)] == ["written"]
        assert unbacked([read(text, 1)], [Call("book_flight", True, 2)], KNOWN) == []
        assert unbacked([read(text.replace("book_flight", "search"), 1)], [], KNOWN) == []
        assert unbacked([read(text, 1)], [], ["search"]) == []

    def test_every_claim_of_a_run_is_reported_in_order(self) -> None:
        said = [read("I've booked your flight and cancelled your flight to Rome.", 1), read("I've booked your flight to Oslo.", 2)]
        assert [claim.action for claim in unbacked(said, [], KNOWN)] == ["book", "cancel", "book"]


# An agent that knows all of these, and what it said after the calls beside it: nothing of it is an alarm.
BACKED = [
    ("I've created the file main.py and added a test.", ["edit_file"], ["write_file", "edit_file", "read_file"]),
    ("I've created the file main.py.", ["str_replace_editor"], ["write_file", "str_replace_editor"]),
    ("I've updated the function in the file.", ["apply_patch"], ["write_file", "edit_file"]),
    ("I've created an itinerary for your trip.", [], ["create_reservation", "create_itinerary"]),
    ("I've created a plan for you: first the flight, then the hotel.", [], ["create_subscription", "create_plan"]),
    ("I've updated it to be shorter.", [], ["update_document", "send_email"]),
    ("I've added it below.", [], ["add_note"]),
    ("I've updated the list with your new criteria.", ["search"], ["update_list"]),
    ("I've written a short summary of the report.", [], ["write_file"]),
    ("I've changed my recommendation accordingly.", [], ["change_order"]),
    ("I've opened the file and here is what it says.", ["read_file"], ["read_file", "write_file"]),
    ("I've closed the ticket.", ["update_ticket"], ["close_ticket", "update_ticket"]),
    ("I've rescheduled your flight to Friday.", ["update_flight"], ["update_flight", "reschedule_flight"]),
    ("I've sent you a confirmation by email.", ["book_flight"], ["book_flight", "send_email"]),
    ("Your card has been charged $30.", ["place_order"], ["place_order", "charge_card"]),
    ("I've refunded your order.", ["cancel_order"], ["cancel_order", "refund_order"]),
    ("I've booked you a table.", ["create_reservation"], ["create_reservation", "book_table"]),
    ("I've added Dana to the meeting.", ["update_event"], ["update_event", "add_attendee"]),
    ("I've upgraded you to business class.", ["update_reservation_flights"], ["update_reservation_flights", "upgrade_seat"]),
    ("I've created the user for you.", ["get_or_create_user"], ["create_user", "get_or_create_user"]),
    ("Your boarding pass has been issued.", ["check_in_passenger"], ["issue_boarding_pass", "check_in_passenger"]),
    ("I've ordered your pizza.", ["call_tool"], ["order_pizza", "call_tool"]),
    ("I've refunded your order.", ["refund_agent"], ["refund_order", "refund_agent"]),
    (
        "I've removed the passenger from your booking.",
        ["update_reservation_passengers"],
        ["update_reservation_passengers", "cancel_reservation"],
    ),
]


@pytest.mark.parametrize(("text", "called", "known"), BACKED)
def test_a_deed_that_other_tools_do_as_well_is_no_alarm(text: str, called: list[str], known: list[str]) -> None:
    assert unbacked([read(text, 1)], [Call(tool, False, 0) for tool in called], known) == []


class TestUnderWay:
    SAYS = "I am processing your cancellation."
    TOOLS = ("cancel_order", "get_order")

    def test_said_twice_and_never_tried_is_found_once(self) -> None:
        assert [claim.voice for claim in unbacked([read(self.SAYS, 1), read(self.SAYS, 2), read(self.SAYS, 3)], [], self.TOOLS)] == [
            "underway"
        ]

    def test_said_once_or_tried_is_not(self) -> None:
        assert unbacked([read(self.SAYS, 1)], [], self.TOOLS) == []
        assert unbacked([read(self.SAYS, 1), read(self.SAYS, 2)], [Call("cancel_order", True, 3)], self.TOOLS) == []
        assert unbacked([read(self.SAYS, 1), read(self.SAYS, 2)], [], ["get_order"]) == []

    def test_an_offer_is_not_under_way(self) -> None:
        offer = "Once you confirm, I am cancelling the order."
        assert unbacked([read(offer, 1), read(offer, 2)], [], self.TOOLS) == []


class TestText:
    def test_a_verb_after_and_has_the_voice_of_the_one_before(self) -> None:
        assert [claim.action for claim in claims("I've updated your address and cancelled the order.")] == ["update", "cancel"]
        assert [claim.action for claim in claims("The order has been cancelled and refunded.")] == ["cancel", "refund"]

    @pytest.mark.parametrize(
        "text",
        [
            'He wrote: "I have cancelled your order."',
            "Here is a mail you could send:\n\nSubject: Your order\nDear Ms Lee, I have cancelled your order.",
            "```\nI have cancelled your order.\n```",
            "> I have cancelled your order.",
        ],
    )
    def test_what_is_quoted_is_not_claimed(self, text: str) -> None:
        assert claims(text) == ()

    def test_text_in_json_is_read(self) -> None:
        assert [claim.action for claim in claims('{"message": "Done.\\n\\nI’ve cancelled order #12."}')] == ["cancel"]

    def test_a_claim_says_where_it_is(self) -> None:
        text = "İyi günler! **Done** — I’ve *cancelled* your order."
        (claim,) = claims(text)
        assert text[claim.at :].startswith("cancelled")

    def test_a_text_of_very_many_verbs_is_read_up_to_a_bound(self) -> None:
        assert len(claims("I've booked it. " * (VERBS + 50))) == VERBS

    def test_denials_name_the_action(self) -> None:
        assert denials("I was unable to cancel it, and your refund hasn't been processed.") == {"cancel"}
        assert denials("I've cancelled it.") == frozenset()


HOSTILE = [
    "i've ",
    "has been ",
    "successfully ",
    "is now ",
    "and ",
    ", ",
    "(",
    '"',
    "```",
    "\n",
    "- ",
    ": ",
    "that ",
    "following changes ",
    "you ",
    "transferred ",
    "updated ",
    "processed ",
    "refund ",
    "n't ",
    "unable to ",
    "ly ",
    "a" * 40,
    '"name": "x"',
    '"name"  ',
    "by the ",
    "with ",
    "subject:",
    ">",
    "İ",
    "\u0130\u0307",
    "\x00",
    "\\n",
]


@given(st.lists(st.sampled_from(HOSTILE) | st.text(max_size=8), max_size=60).map("".join))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read(text: str) -> None:
    """Whatever the text: no fault, indices inside of it, and never a claim without one of the words."""
    said = read(text, 1)
    assert all(isinstance(claim, Claim) and 0 <= claim.at < len(text) for claim in said.claims)
    assert not said.claims or any(word in text.lower() for word in CLAIM_WORDS)


@pytest.mark.parametrize("piece", HOSTILE)
def test_long_monotonous_texts_come_to_an_end(piece: str) -> None:
    """A pattern that backtracks would run for hours here."""
    assert isinstance(read(piece * (400_000 // len(piece)), 1), Said)


@pytest.mark.skipif(not (SHARED / "data").is_dir(), reason="the labelled traces are not here")
def test_labelled_traces_of_service_agents() -> None:
    """At least the precision and recall that the rule is meant to have, and next to no alarm on a run that went well."""
    all_runs = list(runs(SHARED / "data"))
    known = {key: {call.tool for run in all_runs if run.key == key for call in run.calls} for key in {run.key for run in all_runs}}
    tau = [run for run in all_runs if run.key.startswith("tau")]
    found = {run.trace_id: bool(unbacked(run.said, run.calls, known[run.key])) for run in all_runs}
    result = score((wanted(run), found[run.trace_id]) for run in tau)
    assert result.hits / (result.hits + result.false) >= 0.8
    assert result.hits / (result.hits + result.missed) >= 0.75
    good = [run for run in tau if run.label.get("success")]
    assert sum(found[run.trace_id] for run in good) <= len(good) / 100
