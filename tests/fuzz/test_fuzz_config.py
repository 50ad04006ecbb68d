"""Whatever a configuration holds, it is taken or refused with sentences; no other error leaves."""

from __future__ import annotations

import random

import pytest

from otel_ext.configadvice import advice
from otel_ext.configfile import _paths, read
from otel_ext.errors import ConfigError
from otel_ext.settings import Settings

PATHS = list(_paths(Settings, ""))
VALUES = """1|-1|true|null|~|[]|{}|[a]|{a: b}|'x'|''|0.0.0.0:1|h:99999999999|h:²|:1|[::]:4317|http://|https://h:99999|'http://[::1'|http://h:port
5s|5|1e400s|!!python/object:os.system x|!!binary abc|!!timestamp 2026|!!int x|2026-01-01|.nan|.inf|*a|&a [*a]|? x|!!set {a}
[[a]]|[{agent: a}]
[{agent: 1, require: a}]|{[1]: 2}|{1: 2}|{null: x}|0x10
1_000|{<<: {a: b}}|{<<: 1}|${env:A}|${env:A:-}|${env:|"\\0"|'{'|"""
CHOICES = [*VALUES.replace("\n", "|").split("|"), "9" * 5_000, "9" * 5_000 + "s", "h:" + "9" * 5_000]


def text_of(dice: random.Random) -> str:
    lines = []
    for _ in range(dice.choice((1, 1, 3))):
        keys = dice.choice(PATHS).split(".")
        lines += ["  " * depth + f"{key}:" for depth, key in enumerate(keys)]
        lines[-1] += f" {dice.choice(CHOICES)}"
    return "\n".join(lines)


@pytest.mark.parametrize("seed", range(5))
def test_no_configuration_breaks_the_reader(seed: int) -> None:
    """Odd values at every key, from the file and from the environment."""
    dice = random.Random(seed)
    told = taken = 0
    for _ in range(150):
        text = text_of(dice)
        variable = "OTEL_EXT_" + dice.choice(PATHS).upper().replace(".", "__")
        environ = dice.choice(({}, {"A": dice.choice(CHOICES)}, {variable: dice.choice(CHOICES)}))
        try:
            advice(read(text, environ))
        except ConfigError as error:
            told += bool(error.faults)
        except Exception as error:
            raise AssertionError(text[:500], environ) from error
        else:
            taken += 1
    assert told + taken == 150
