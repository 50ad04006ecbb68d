"""Arguments and results of calls that are under way, in memory only: repetition is found in them though no span carries them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

CALLS_MAX: Final = 10_000
ARGUMENTS: Final = "gen_ai.tool.call.arguments"
RESULT: Final = "gen_ai.tool.call.result"

Mask = Callable[[Any], Any]


class Call(NamedTuple):
    """What a call was given and gave, as text."""

    arguments: str
    result: str | None


pending: Final[dict[int, Call]] = {}  # by span id, while the span ends


def remember(span_id: int, call: Call) -> None:
    """Keep *call* until `forget`."""
    if len(pending) < CALLS_MAX:
        pending[span_id] = call


def forget(span_id: int) -> None:
    """The span has ended."""
    pending.pop(span_id, None)


def with_call(attributes: Mapping[str, Any], span_id: int) -> dict[str, Any]:
    """*attributes*, and what is known of the call where they do not say it."""
    call = pending.get(span_id)
    if call is None:
        return dict(attributes)
    known = {ARGUMENTS: call.arguments} if call.result is None else {ARGUMENTS: call.arguments, RESULT: call.result}
    return {**known, **attributes}


def text_of(value: object, mask: Mask | None = None) -> str:
    """*value* as text, JSON where it can be."""
    shown = mask(value) if mask else value
    return shown if isinstance(shown, str) else json.dumps(shown, default=repr, ensure_ascii=False, skipkeys=True)


def cut(text: str, limit: int) -> str:
    """At most *limit* characters."""
    return text if len(text) <= limit else text[: max(0, limit - 1)] + "…"
