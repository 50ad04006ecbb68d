"""The page on Langfuse: its configurations are taken, and it names every setting there is."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from otel_ext.configfile import load
from otel_ext.settings import Langfuse, StandIn

PAGE = (Path(__file__).parent.parent / "docs" / "langfuse.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
KEYS = "    host: http://lf\n    public_key: p\n    secret_key: s\n"
# What is not this page's: how to connect.
ELSEWHERE = {"host", "public_key", "secret_key", "scores", "queue_batches", "scores_max", "timeout", "tls", "max_annotation_items"}


@pytest.mark.parametrize("block", BLOCKS)
def test_its_configurations_are_taken(block: str) -> None:
    """As they stand, or with host and keys where they show a part."""
    whole = block if "host:" in block else block.replace("  langfuse:\n", f"  langfuse:\n{KEYS}")
    assert load(whole, {"LANGFUSE_PUBLIC_KEY": "p", "LANGFUSE_SECRET_KEY": "s"}).exporters.langfuse


@pytest.mark.parametrize("kind", [Langfuse, StandIn])
def test_every_setting_is_on_it(kind: type) -> None:
    """By its name."""
    names = {field.name for field in dataclasses.fields(kind)} - ELSEWHERE
    assert {name for name in names if f"{name}:" not in PAGE} == set()
