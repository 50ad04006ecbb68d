"""Secrets do not leave: to neither destination, or to one of them, as the configuration says."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from otel_ext.configfile import load
from otel_ext.errors import ConfigError
from otel_ext.pipeline import Pipeline
from otel_ext.wire import make_codec
from tests.e2e.app import App, encoded
from tests.e2e.kit import Inside, Langfuse, Tempo, config, until

SECRET = "sk-proj-A1b2C3d4E5f6G7h8I9j0K1l2M3n4"
Inner = Callable[[dict[str, Any]], Inside]


def sent(sidecar: Inside, tempo: Tempo, langfuse: Langfuse) -> str:
    """A trace with a secret in a prompt, in arguments, and in an exception; its id, once it has arrived."""
    app = App()
    messages = json.dumps([{"role": "user", "parts": [{"type": "text", "content": f"my key is {SECRET}, keep it"}]}])
    with (
        app.agent() as root,
        app.chat("hello", gen_ai__input__messages=messages),
        app.tool(arguments=json.dumps({"password": "hunter2hunter2"})) as tool,
    ):
        tool.record_exception(ValueError(f"denied: {SECRET}"))
    sidecar.export(encoded(app.finished))
    trace_id = format(root.get_span_context().trace_id, "032x")
    until(lambda: len(tempo.of(trace_id)) == 3 and len(langfuse.of(trace_id)) == 3, "the trace")
    return trace_id


def leaks(spans: Any) -> set[str]:
    said = b"".join(span.SerializeToString() for span in spans)
    return {secret for secret in (SECRET, "hunter2") if secret.encode() in said}


def test_common_secrets_reach_neither(destinations: tuple[Tempo, Langfuse], inside: Inner) -> None:
    """By default; what is around them arrives, and they are counted by kind."""
    tempo, langfuse = destinations
    sidecar = inside(config(tempo, langfuse))
    trace_id = sent(sidecar, tempo, langfuse)
    assert leaks(tempo.of(trace_id).values()) == set()
    assert leaks(langfuse.wire) == set()
    chat = next(span for span in langfuse.of(trace_id).values() if span.name.startswith("chat"))
    assert json.loads(chat.attributes["gen_ai.input.messages"])[0]["parts"][0]["content"].endswith(", keep it")
    for exporter in ("tempo", "langfuse"):
        assert sidecar.value("otel_ext_redacted_total", exporter=exporter, kind="api_key") >= 2
        assert sidecar.value("otel_ext_redacted_total", exporter=exporter, kind="name") == 1


def test_tempo_has_its_own_setting(destinations: tuple[Tempo, Langfuse], inside: Inner) -> None:
    """What is masked for Langfuse may stay in one's own Tempo."""
    tempo, langfuse = destinations
    sidecar = inside(config(tempo, langfuse, exporters={"tempo": {"redact": {"common": False}}}))
    trace_id = sent(sidecar, tempo, langfuse)
    assert leaks(tempo.of(trace_id).values()) == {SECRET, "hunter2"}
    assert leaks(langfuse.wire) == set()


def shout(key: str, text: str) -> str:
    """A user's function."""
    if key == "gen_ai.tool.name":
        raise ValueError(text)
    return text.upper() if key == "gen_ai.output.messages" else text


def test_a_function_of_the_user_is_asked(destinations: tuple[Tempo, Langfuse], inside: Inner) -> None:
    """What it gives back is what leaves; where it fails, the text does not leave."""
    tempo, langfuse = destinations
    sidecar = inside(config(tempo, langfuse, exporters={"langfuse": {"redact": {"function": f"{__name__}:shout"}}}))
    spans = {span.name: span for span in langfuse.of(sent(sidecar, tempo, langfuse)).values()}
    assert "HELLO" in spans["chat gpt-4o"].attributes["gen_ai.output.messages"]
    assert spans["execute_tool search"].attributes["gen_ai.tool.name"] == "[redacted]"
    assert sidecar.value("otel_ext_redacted_total", exporter="langfuse", kind="function_failed") == 1


LANGFUSE = "exporters: {langfuse: {host: http://lf, public_key: p, secret_key: s, redact: {%s}}}"


@pytest.mark.parametrize("function", ["json", "json:nothing", "no.such.module:f", "json:__doc__"])
def test_a_function_that_is_not_there_is_a_fault(function: str) -> None:
    """Said before a span is taken, with its place in the file."""
    with pytest.raises(ConfigError, match=r"exporters\.langfuse\.redact\.function"):
        Pipeline(load(LANGFUSE % f"function: '{function}'", {}), make_codec((), ()))


def test_a_pattern_that_is_none_is_a_fault() -> None:
    """With its place in the file."""
    with pytest.raises(ConfigError, match=r"exporters\.langfuse\.redact\.patterns\[1\]"):
        load(LANGFUSE % "patterns: ['a+', '(']", {})
