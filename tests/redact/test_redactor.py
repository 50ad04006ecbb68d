"""What is masked, what is not, and that nothing else of a request changes; over both finders."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_ext.redact import COMMON, COMMON_NAMES, Redactor
from otel_ext.wire import encode
from otel_ext.wire.finder import PureFinder, make_finder

NS = 1_800_000_000_000_000_000
OPENAI = "sk-proj-A1b2C3d4E5f6G7h8I9j0K1l2M3n4"
SECRETS = {
    "openai": OPENAI,
    "anthropic": "sk-ant-api03-Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8",
    "langfuse": "sk-lf-0f1e2d3c-4b5a-6978-8a9b-acbdcedf0011",
    "google": "AIzaSyA1234567890abcdefghijklmnopqrstuv",
    "hugging face": "hf_abcdefghijklmnopqrstuvwxyz012345",
    "stripe": "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
    "sendgrid": "SG.abcdefghijklmnopqrst.uvwxyz0123456789abcdef",
    "aws id": "AKIAIOSFODNN7EXAMPLE",
    "github": "ghp_" + "a1B2" * 9,
    "github fine-grained": "github_pat_" + "a1B2c" * 12,
    "gitlab": "glpat-abcdefghij0123456789",
    "slack": "xoxb-123456789012-abcdefghij",
    "npm": "npm_" + "a1B2" * 9,
    "pypi": "pypi-" + "AgEIcHlwaS5vcmc" * 5,
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
}
INNOCENT = [
    "task-oriented risk-based desk-top", "sk-learn-is-a-library-for-machine-learning", "the word password, and a token",
    "Bearer of bad news", "ask-A1b2C3d4E5f6G7h8I9j0K1l2M3n4",
    "eyJ is how base64 of JSON starts", "-----BEGIN CERTIFICATE-----\nabc", "https://example.com:8080/path", "postgres://localhost/db",
    '{"password_hint": "your cat", "passwords": "none"}', "hf_hub", "SG.1", "AKIA", "authorization is a word", '{"api_key": 7, "max": "x"}',
]  # fmt: skip


def request(
    attributes: Mapping[str, encode.Value], *, name: str = "chat", message: str = "", event: Mapping[str, encode.Value] | None = None
) -> bytes:
    extra = [encode.event("exception", NS, event)] if event else []
    span = encode.span(b"t" * 16, b"s" * 8, b"", name, NS, NS + 1, attributes, status=2, status_message=message, extra=extra)
    return encode.request({"service.name": "shop"}, "app", "1", [span])


def parsed(payload: bytes) -> Any:
    return ExportTraceServiceRequest.FromString(payload).resource_spans[0].scope_spans[0].spans[0]


def value(payload: bytes, key: str = "text") -> str:
    return next(pair.value.string_value for pair in parsed(payload).attributes if pair.key == key)


@pytest.mark.parametrize("secret", SECRETS.values(), ids=list(SECRETS))
@pytest.mark.parametrize("around", ["{}", "key={} end", 'say "{}"', "{}J{}", "x\n{}\t"])
def test_common_secrets_are_masked(secret: str, around: str) -> None:
    """Wherever they stand in a text; what is around them stays, and so does every length."""
    text = around.replace("{}", secret, 1).replace("{}", "")
    if "J" in around and around.startswith("{}"):
        text = secret + " J"
    redactor = Redactor(common=True)
    payload = request({"text": text, "after": "J4 is not part of it"})
    masked = redactor(payload)
    assert len(masked) == len(payload)
    assert secret not in value(masked)
    assert value(masked) == text.replace(secret, "[redacted]" + "*" * (len(secret) - 10))
    assert value(masked, "after") == "J4 is not part of it"
    assert sum(redactor.counts.values()) == 1


@pytest.mark.parametrize("text", INNOCENT)
def test_ordinary_text_stays(text: str) -> None:
    """Not a byte changes, and the payload is not even copied."""
    redactor = Redactor(common=True)
    payload = request({"text": text})
    assert redactor(payload) is payload
    assert redactor.counts == {}


@pytest.mark.parametrize("end", ["", "J", "J4", "A1B2", "J\x00"])
def test_a_secret_at_the_end_of_a_text_ends_there(end: str) -> None:
    """The next attribute's first bytes may look like more of it."""
    payload = request({"text": OPENAI, "k": end or "x", "longer key": "v"})
    masked = parsed(Redactor(common=True)(payload))
    assert [pair.key for pair in masked.attributes] == ["text", "k", "longer key"]
    assert masked.attributes[1].value.string_value == (end or "x")


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("name", ["password", "api_key", "authorization", "client_secret"])
def test_members_of_json_are_masked_at_any_level(levels: int, name: str) -> None:
    """JSON in JSON in JSON: it stays JSON, and only the secret's value is another."""
    secret = 'hunter2 "quoted" \\ and \n more'
    document: Any = {"user": "ada", name: secret, "after": [1, '"']}
    text = json.dumps(document)
    for _ in range(levels - 1):
        text = json.dumps({"arguments": text, "k": 1})
    found = value(Redactor(common=True)(request({"text": text})))
    for _ in range(levels - 1):
        found = json.loads(found)["arguments"]
    got = json.loads(found)
    assert "hunter2" not in found
    assert (got["user"], got["after"]) == ("ada", [1, '"'])
    assert got[name].startswith("[redacted]")


def test_messages_stay_messages() -> None:
    """A secret in a tool call inside of `gen_ai.input.messages`."""
    messages = [{"role": "user", "parts": [{"type": "text", "content": f"use {OPENAI} please"}]}]
    masked = Redactor(common=True)(request({"gen_ai.input.messages": json.dumps(messages)}))
    (part,) = json.loads(value(masked, "gen_ai.input.messages"))[0]["parts"]
    assert part["content"].startswith("use [redacted]")
    assert part["content"].endswith("* please")


@pytest.mark.parametrize("key", ["password", "db.password", "http.request.header.authorization", "my_api_key", "x-api-key"])
@pytest.mark.parametrize("secret", ["hunter2", ["hunter2", "hunter3"]])
def test_attributes_named_like_secrets_are_masked(key: str, secret: encode.Value) -> None:
    """The whole name, or the end of it after a dot, a hyphen or an underscore; arrays too."""
    masked = Redactor(common=True)(request({key: secret, "other": "stays"}))
    assert b"hunter" not in masked
    assert [pair.key for pair in parsed(masked).attributes] == [key, "other"]
    assert value(masked, "other") == "stays"


def test_a_private_key_goes_whole_also_in_json() -> None:
    """Real line ends, and escaped ones."""
    body = "\n".join("MIIEvQIBADANBgkqhkiG9w0BAQEFAASC" for _ in range(4))
    pem = f"-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----\n"
    masked = Redactor(common=True)(request({"text": pem, "json": json.dumps({"key_file": pem, "n": 1})}))
    assert b"MIIE" not in masked
    assert json.loads(value(masked, "json"))["n"] == 1


def test_the_rest_of_a_url_with_a_password_stays() -> None:
    """Only the password goes."""
    masked = value(Redactor(common=True)(request({"text": "postgres://app:s3cret-pass@db:5432/shop"})))
    assert masked.startswith("postgres://app:")
    assert masked.endswith("@db:5432/shop")
    assert "s3cret" not in masked


def test_names_events_and_status_are_searched_too() -> None:
    """Everything that leaves: span name, status message, event attributes."""
    payload = request({}, name=f"GET {OPENAI}", message=f"denied for {OPENAI}", event={"exception.message": f"bad key {OPENAI}"})
    redactor = Redactor(common=True)
    assert OPENAI.encode() not in redactor(payload)
    assert redactor.counts == {"api_key": 3}


def test_own_names_and_patterns() -> None:
    """With and without a plain beginning; group 1 is the secret where there is one."""
    redactor = Redactor(common=False, names=["iban"], patterns=[r"CUST-(\d+)", r"(?i)passport [A-Z0-9]+", r"\d{3}-\d{2}-\d{4}"])
    text = 'CUST-4711 Passport X1234567 and 123-45-6789 {"iban": "DE0012345678"}'
    masked = value(redactor(request({"text": text})))
    assert masked == 'CUST-**** [redacted]******* and [redacted]* {"iban": "[redacted]**"}'
    assert redactor.counts == {"pattern": 3, "name": 1}


def test_common_can_be_left_out() -> None:
    """Then nothing is looked for."""
    payload = request({"text": OPENAI})
    assert Redactor(common=False)(payload) is payload


def test_a_function_may_change_every_text() -> None:
    """Called with key and text; lengths may change, keys and everything else stay."""
    redactor = Redactor(common=True, change=lambda key, text: "short" if key == "long" else text + "!" if key else text)
    masked = parsed(redactor(request({"long": "x" * 500, "list": ["a", "b"], "n": 3}, message="m")))
    assert [pair.key for pair in masked.attributes] == ["long", "list", "n"]
    assert masked.attributes[0].value.string_value == "short"
    assert [item.string_value for item in masked.attributes[1].value.array_value.values] == ["a!", "b!"]
    assert (masked.attributes[2].value.int_value, masked.name, masked.status.message) == (3, "chat", "m")


def test_masking_twice_changes_nothing_more() -> None:
    """What was masked upstream is not counted again."""
    redactor = Redactor(common=True)
    once = redactor(request({"text": OPENAI, "password": "hunter2hunter2"}))
    counted = dict(redactor.counts)
    assert redactor(once) == once
    assert redactor.counts == counted


WORDS = [(word, int(secret.around)) for secret in COMMON for word in secret.words] + [(name.encode(), 2) for name in COMMON_NAMES]


@given(st.lists(st.sampled_from([word for word, _ in WORDS] + [b" ", b"x", b'"', b"\\", b"\x12", b"_", b"-"]), max_size=30).map(b"".join))
def test_both_finders_find_the_same(payload: bytes) -> None:
    """Native and pure agree on every place."""
    assert make_finder(WORDS).find(payload) == PureFinder(WORDS).find(payload)


@given(st.text(max_size=40), st.sampled_from(list(SECRETS.values())), st.text(max_size=40))
def test_requests_stay_requests(before: str, secret: str, after: str) -> None:
    """Whatever stands around a secret: same length, same structure, same keys."""
    payload = request({"a": before + secret + after, "b": after})
    masked = Redactor(common=True)(payload)
    assert len(masked) == len(payload)
    assert [pair.key for pair in parsed(masked).attributes] == ["a", "b"]
