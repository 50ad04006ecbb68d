"""Writes docs/dialects.md from the tables: `python -m tests.dialects.generate`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from otel_ext.dialects import DIALECTS, Dialect
from otel_ext.wire.table import Field, Key, NameRule

PAGE: Final = Path(__file__).parents[2] / "docs" / "dialects.md"
COLUMNS: Final = {
    "kind": (Field.KIND,),
    "tool": (Field.TOOL,),
    "call id": (Field.CALL_ID,),
    "arguments": (Field.ARGUMENTS,),
    "result": (Field.RESULT,),
    "error": (Field.ERROR,),
    "not let run": (Field.REFUSED,),
    "model": (Field.MODEL,),
    "operation": (Field.OPERATION,),
    "input tokens": (Field.INPUT_TOKENS, Field.INPUT_TOKENS_NET),
    "output tokens": (Field.OUTPUT_TOKENS,),
    "cached tokens": (Field.CACHED_TOKENS,),
    "cache-write tokens": (Field.CACHE_WRITE_TOKENS,),
    "reasoning tokens": (Field.REASONING_TOKENS,),
    "cost": (Field.COST,),
    "agent": (Field.AGENT,),
    "conversation": (Field.CONVERSATION,),
    "user": (Field.USER,),
    "output": (Field.OUTPUT,),
    "requested calls, output": (Field.OUTPUT_MESSAGES, Field.FLAT_OUTPUT),
    "answers to calls": (Field.INPUT_MESSAGES, Field.FLAT_INPUT),
    "declared tools": (Field.DECLARED, Field.FLAT_DECLARED),
    "finish reason": (Field.FINISH,),
}
FLAT: Final = (Field.FLAT_OUTPUT, Field.FLAT_INPUT, Field.FLAT_DECLARED)
HEAD: Final = """# Dialects

Which attribute means what in which instrumentation. Made from the tables in `otel_ext/dialects` by
`python -m tests.dialects.generate`; a test holds it up to date.

Several dialects can sit on one span: all keys of all dialects are tried for every span. The number before a key is its place among
all keys for that field, and the lowest that has a value wins. Span status ERROR is an error in every dialect. Attributes of span
events are read where a row says so. `A › b` is a place inside the JSON text of attribute A; *net* counts input tokens without the
cached ones, which are then added. What has no row here is not read from that dialect.

Instrumentation that is not here is read by whatever keys it shares with these, and counted by the name of its scope in
`otel_ext_unknown_scope_spans_total`.
"""


def page() -> str:
    """The whole document."""
    return "\n".join([HEAD, *(line for dialect in DIALECTS if dialect.title for line in _section(dialect))]) + "\n"


def _section(dialect: Dialect) -> Iterator[str]:
    yield f"## {dialect.title}\n"
    if dialect.scopes:
        yield "Scopes: " + ", ".join(f"`{scope}`" for scope in dialect.scopes) + "\n"
    rows = [(name, cells) for name, fields in COLUMNS.items() if (cells := _cells(dialect, fields))]
    if rows or dialect.rules:
        yield "| field | keys, in order |\n|---|---|"
        yield from (f"| {name} | {'<br>'.join(cells)} |" for name, cells in rows)
        if dialect.rules:
            yield f"| by span name | {'<br>'.join(map(_rule, dialect.rules))} |"
        yield ""
    else:
        yield "No keys beyond those of the conventions.\n"
    yield from (f"- {limit}" for limit in dialect.limits)
    if dialect.limits:
        yield ""


def _cells(dialect: Dialect, fields: tuple[Field, ...]) -> list[str]:
    keys = [key for key in dialect.keys if key.field in fields]
    return [_cell(key) for key in sorted(keys, key=lambda key: key.rank)]


def _cell(key: Key) -> str:
    name = f"`{key.name}{'N…' if key.field in FLAT else ''}`"
    if key.path:
        name += " › " + ".".join(map(str, key.path))
    if key.between:
        name += f" between `{key.between[0]}` and `{key.between[1]}`"
    if key.event:
        name = f"event `{key.event}`: {name}"
    notes = [
        "net" if key.field is Field.INPUT_TOKENS_NET else "",
        _values(key),
        f"scope `{key.scope}`" if key.scope else "",
        "of " + ", ".join(kind.name.lower() for kind in key.kinds) if key.kinds else "",
    ]
    told = "; ".join(filter(None, notes))
    ranked = "" if key.field in (Field.ERROR, Field.REFUSED, Field.DECLARED, Field.FLAT_DECLARED) else f"**{key.rank}** "
    return f"{ranked}{name}" + (f" ({told})" if told else "")


def _values(key: Key) -> str:
    if key.field in (Field.ERROR, Field.REFUSED) and key.values:
        return "if " + " or ".join(key.values)
    return "any" if key.field is Field.KIND and list(key.values) == [""] else ""


def _rule(rule: NameRule) -> str:
    name = f"`{rule.prefix}…{rule.suffix}`" if rule.prefix or rule.suffix else "any"
    kind = rule.kind.name.lower() if rule.kind is not None else "as it is"
    taken = f", the rest is the {rule.take.name.lower()}" if rule.take else ""
    conditions = [
        f"scope `{rule.scope}`" if rule.scope else "",
        "if " + " or ".join(k.name.lower() for k in rule.kinds) if rule.kinds else "",
    ]
    told = "; ".join(filter(None, conditions))
    return f"{name} → {kind}{taken}" + (f" ({told})" if told else "")


if __name__ == "__main__":
    PAGE.write_text(page())
