"""Every recipe stops at the third identical call and takes its fallback; real packages, scripted models, no network."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

RECIPES = Path(__file__).parent.parent.parent / "docs" / "recipes"
PACKAGES = {"plain_loop": "opentelemetry", "langgraph_agent": "langgraph", "openai_agents": "agents", "pydantic_ai_agent": "pydantic_ai"}


def test_every_recipe_is_here() -> None:
    """None is left untested."""
    assert {file.stem for file in RECIPES.glob("*.py")} == set(PACKAGES)


@pytest.mark.parametrize("name", PACKAGES)
def test_the_agent_stops_and_falls_back(name: str) -> None:
    """Three calls, no fourth; and it says why."""
    pytest.importorskip(PACKAGES[name])
    calls, answer = runpy.run_path(str(RECIPES / f"{name}.py"))["main"]()
    assert calls == 3
    assert answer == "I could not find that. (search called 3 times in a row with the same arguments and the same result)"
