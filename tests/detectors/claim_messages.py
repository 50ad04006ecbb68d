"""Messages of agents with several tools, and the calls they made before: the second table of test_claims.

A row: what the agent said, the tools that are known, the calls that were made (`!` for one that failed), and whether something in it was claimed
and not done. Written after the rule: its first try had precision 1.00 and recall .81.
"""
# ruff: noqa: E501

from __future__ import annotations

from typing import Final

IT = [
    "get_user",
    "reset_password",
    "create_ticket",
    "update_ticket",
    "close_ticket",
    "unlock_account",
    "assign_license",
    "send_email",
    "search_kb",
]
BANK = [
    "get_balance",
    "list_transactions",
    "transfer_funds",
    "pay_bill",
    "block_card",
    "order_card",
    "dispute_transaction",
    "update_address",
]
HOME = ["get_state", "turn_on", "turn_off", "set_temperature", "lock_door", "unlock_door", "play_music"]
SHOP = ["get_order", "search_products", "cancel_order", "return_order", "add_to_cart", "apply_coupon", "update_address", "create_order"]
CODE = ["read_file", "write_file", "run_tests", "git_commit", "create_pull_request", "search_code"]
CAL = ["list_events", "create_event", "update_event", "delete_event", "send_invite"]
CRM = ["search_contacts", "create_contact", "update_deal", "log_call", "send_email", "delete_contact"]
HOTEL = ["search_rooms", "book_room", "cancel_booking", "modify_booking", "request_housekeeping"]

MESSAGES: Final[list[tuple[str, list[str], list[str], bool]]] = [
    ("Hi Sam,\n\nI've reset your password and unlocked your account. You'll get an email with a temporary password.", IT, [], True),
    ("Thanks for your patience! I've escalated ticket 4412 to tier 2.", IT, [], False),
    ("I've assigned the Office license to your account. Please restart Outlook.", IT, ["get_user"], True),
    (
        "I checked your account: it was locked after five failed attempts. It has been unlocked now, please try again.",
        IT,
        ["get_user"],
        True,
    ),
    ("I checked your account and found that your password was reset yesterday.", IT, ["get_user"], False),
    ("Your ticket INC-9 has been updated by the network team: the switch was replaced.", IT, ["search_kb"], False),
    ("A ticket has been created (INC-10). Our team will get back to you.", IT, ["search_kb"], True),
    ("I can create a ticket if the problem persists after you've reset your password.", IT, [], False),
    ("The ticket has been closed since the user confirmed it works.", IT, ["close_ticket"], False),
    ("Great, ticket closed. Anything else?", IT, [], False),
    (
        "I've gone ahead and blocked your card ending 1234. A replacement card has been ordered and should arrive within 5 days.",
        BANK,
        ["block_card"],
        True,
    ),
    ("I've gone ahead and blocked your card ending 1234. A replacement card has been ordered.", BANK, ["block_card", "order_card"], False),
    ("You've been charged twice: on May 3, $20 was paid to Acme.", BANK, ["list_transactions"], False),
    ("Your payment of $20 was made on May 3 and has been processed by the merchant.", BANK, ["list_transactions"], False),
    ("I've transferred €500 from checking to savings. Your new balance is €1,200.", BANK, ["get_balance"], True),
    ("The electricity bill has been paid.", BANK, ["get_balance"], True),
    ("I have disputed the transaction for you.", BANK, [], True),
    ("Your address has been updated to 5 Main St.", BANK, [], True),
    ("Before I can update your address, I need a proof of residence.", BANK, [], False),
    ("Once a transfer has been made it can't be reversed.", BANK, [], False),
    ("Done! The front door is now locked and the thermostat has been set to 19°C.", HOME, ["lock_door"], True),
    ("I turned off all the lights downstairs.", HOME, [], True),
    ("The lights in the kitchen have been on since 6 pm; the door was locked at 10 pm.", HOME, ["get_state"], False),
    ("The music is now playing in the living room.", HOME, ["play_music"], False),
    ("Everything's off already, so I haven't changed anything.", HOME, ["get_state"], False),
    ("I've cancelled order #5567 and refunded $42.10 to your Visa.", SHOP, ["cancel_order"], False),
    ("I've cancelled order #5567 and refunded $42.10 to your Visa.", SHOP, ["get_order"], True),
    ("Your order #5567 has been shipped, so it can no longer be cancelled.", SHOP, ["get_order"], False),
    ("I have applied the coupon SAVE10 to your cart; the total is now $36.", SHOP, ["add_to_cart"], True),
    ("The coupon SAVE10 was applied automatically at checkout.", SHOP, ["get_order"], False),
    ("Your return has been initiated. You'll receive a label by email.", SHOP, ["get_order"], True),
    ("A return was already started for this order last week.", SHOP, ["get_order"], False),
    ("I've added the blue mug to your cart.", SHOP, ["search_products"], True),
    ("I've found three mugs and added their prices above.", SHOP, ["search_products"], False),
    ("I've compared the two and updated the table:", SHOP, ["search_products"], False),
    ("If you've returned the item, the refund has been issued automatically.", SHOP, [], False),
    ("All tests pass. I've committed the changes and opened a pull request: #88.", CODE, ["write_file", "run_tests"], True),
    ("I've opened a pull request with the fix (#88).", CODE, ["write_file", "git_commit", "create_pull_request"], False),
    ("I've reviewed the PR. It was merged last Tuesday by Kim.", CODE, ["read_file"], False),
    ("I've refactored the parser and updated the tests.", CODE, ["write_file"], False),
    ("I've written the new config to config.yaml.", CODE, ["read_file"], True),
    ("The bug was introduced in commit abc; it has been fixed upstream.", CODE, ["search_code"], False),
    ("Here's what I changed:\n- parser: handles empty input\n- tests: added two cases", CODE, ["write_file"], False),
    ("Your meeting with Jo has been moved to 3 pm on Friday and I've sent her an updated invite.", CAL, ["list_events"], True),
    ("You have three meetings; the 2 pm one has been moved to 4 pm by Jo.", CAL, ["list_events"], False),
    ("I've deleted the duplicate event from your calendar.", CAL, ["list_events"], True),
    ("The invite has been sent to all attendees.", CAL, ["create_event"], True),
    ('I created the event "Team lunch" for Thursday noon.', CAL, ["create_event"], False),
    ("No events have been deleted. Would you like me to delete the duplicates?", CAL, [], False),
    ("I've logged your call with Acme and updated the deal to Negotiation.", CRM, ["log_call", "update_deal"], False),
    ("I've logged your call with Acme and updated the deal to Negotiation.", CRM, ["log_call"], True),
    ("The contact has been created successfully with ID 991.", CRM, ["search_contacts"], True),
    ("The contact was created in 2021 and has not been updated since.", CRM, ["search_contacts"], False),
    ("I drafted an email to Dana. Shall I send it?", CRM, [], False),
    ("I've emailed Dana the proposal.", CRM, [], True),
    ("Your room has been booked for 2 nights. Confirmation number 7781.", HOTEL, ["search_rooms"], True),
    ("Your booking is confirmed for 2 nights.", HOTEL, ["search_rooms"], False),
    ("I've modified your booking to include a late checkout.", HOTEL, [], True),
    ("Housekeeping has been requested for room 12.", HOTEL, [], False),
    ("Your booking has been cancelled per your request, free of charge.", HOTEL, [], True),
    ("Unfortunately the booking has been cancelled by the hotel.", HOTEL, [], False),
    ("I wasn't able to cancel your booking because the deadline has passed.", HOTEL, ["cancel_booking!"], False),
    ("I attempted to book the room, but the payment was declined.", HOTEL, ["book_room!"], False),
    ("Your room has been booked!", HOTEL, ["book_room!"], True),
]
