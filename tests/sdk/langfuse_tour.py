"""An application that uses all of a real Langfuse SDK: `python -m tests.sdk.langfuse_tour`; prints what it was told as JSON.

Host and keys come from LANGFUSE_BASE_URL, LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY, and from nowhere else.
Run with another PYTHONPATH it is another SDK version.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from typing import Any

import langfuse as package
from langfuse import Langfuse, get_client, observe, propagate_attributes
from langfuse.media import LangfuseMedia

TYPES = ("span", "generation", "embedding", "agent", "tool", "chain", "retriever", "evaluator", "guardrail")
FLOOD = 1_500
version = getattr(package, "__version__", None) or importlib.import_module("langfuse.version").__version__


def mask(*, data: Any, **_: Any) -> Any:
    if isinstance(data, dict):
        return {key: mask(data=value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [mask(data=value) for value in data]
    return data.replace("4711", "****") if isinstance(data, str) else data


langfuse = Langfuse(mask=mask)


def observed(kind: str) -> Callable[[str], str]:
    @observe(name=f"a {kind}", as_type=kind)  # type: ignore[call-overload]
    def work(question: str) -> str:
        if kind == "generation":
            prompt = langfuse.get_prompt("greeting")
            langfuse.update_current_generation(
                model="gpt-4o", prompt=prompt, usage_details={"input": 7, "output": 3}, model_parameters={"temperature": 0}
            )
        return f"{kind} says {question}"

    return work


@observe(name="tour")
def tour() -> str:
    with propagate_attributes(user_id="u-1", session_id="s-1", tags=["prod", "eu"], metadata={"tenant": "acme"}):
        for kind in TYPES:
            observed(kind)("my number is 4711")
        with langfuse.start_as_current_observation(
            name="with media", input={"image": LangfuseMedia(content_bytes=b"PNG", content_type="image/png")}
        ):
            pass
        langfuse.create_score(name="quality", value=0.5, trace_id=str(langfuse.get_current_trace_id()))
    return str(langfuse.get_current_trace_id())


def flood() -> str:
    with langfuse.start_as_current_observation(name="flood", as_type="agent") as root:
        for number in range(FLOOD):
            with langfuse.start_as_current_observation(name=f"call {number}", as_type="tool"):
                pass
        return str(root.trace_id)


def items() -> list[str]:
    return [str(item.input) for item in langfuse.get_dataset("questions").items]


seen = {
    "version": version,
    "auth_check": langfuse.auth_check(),
    "tour": tour(),
    "flood": flood(),
    "items": items(),
    "prompt": langfuse.get_prompt("greeting").compile(name="Ada"),
}
get_client().flush()
seen["url"] = langfuse.get_trace_url(trace_id=seen["tour"])
langfuse.shutdown()
print(json.dumps(seen))
