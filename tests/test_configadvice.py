"""What is legal but unwise is said, with its line; what is wise is not."""

from __future__ import annotations

import pytest

from otel_ext.configadvice import advice
from otel_ext.configfile import read

WISE = """\
links: {langfuse_url: https://lf.example, langfuse_project: p, grafana_url: https://grafana.example}
exporters:
  tempo: {endpoint: http://tempo:4317}
  langfuse: {host: https://lf.example, public_key: pk, secret_key: "${env:KEY}"}
"""
KEYS = {"KEY": "sk-lf-hush", "POD_IP": "10.1.2.3"}
ALL_ON_OWN = "receivers: {grpc: {endpoint: '0.0.0.0:4317', tls: {cert_file: c, key_file: k, client_ca_file: a}}}\n"


def told(text: str, **environ: str) -> list[str]:
    return advice(read(text, {**KEYS, **environ}))


def test_a_wise_configuration_is_not_talked_about() -> None:
    """No advice where there is nothing to say."""
    assert told(WISE) == []


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ("", "exporters", 0),
        ("exporters:\n  prometheus:\n", "exporters", 1),
        (WISE + "receivers:\n  grpc: {endpoint: '0.0.0.0:4317'}\n", "receivers.grpc.endpoint", 6),
        (WISE + "receivers:\n  http: {endpoint: '[::]:4318'}\n", "receivers.http.endpoint", 6),
        (WISE + "admin: {endpoint: '0.0.0.0:9464'}\n", "admin.endpoint", 5),
        (WISE.replace("langfuse_project: p, ", ""), "links.langfuse_project", 1),
        (WISE.replace("langfuse_url: https://lf.example, ", ""), "links.langfuse_url", 1),
        (WISE.replace(", grafana_url: https://grafana.example", ""), "links.grafana_url", 1),
        (WISE.replace("host: https://lf.example", "host: http://lf.example"), "exporters.langfuse.host", 4),
        (WISE.replace("4317}", "4317, headers: {Authorization: '${env:KEY}'}}"), "exporters.tempo.endpoint", 3),
        (WISE.replace('"${env:KEY}"', "sk-lf-hush"), "exporters.langfuse.secret_key", 4),
        (WISE.replace("http://tempo:4317}", "https://tempo, headers: {x-api-key: hush}}"), "exporters.tempo.headers.x-api-key", 3),
        (
            WISE.replace('"${env:KEY}"}', '"${env:KEY}",\n    projects: [{name: a, public_key: p, secret_key: hush}]}'),
            "exporters.langfuse.projects[0].secret_key",
            5,
        ),
        (WISE.replace("4317}", "4317, tls: {ca_file: ca.pem}}"), "exporters.tempo.tls", 3),
        (WISE + "  queue_bytes: 1048576\n", "exporters.queue_bytes", 5),
        (WISE.replace("4317", "4318"), "exporters.tempo.endpoint", 3),
        (WISE.replace("4317}", "4317, protocol: http}"), "exporters.tempo.endpoint", 3),
        (WISE.replace("http://tempo:4317", "http://localhost:4317"), "exporters.tempo.endpoint", 3),
        (WISE + "admin: {endpoint: '127.0.0.1:4318'}\n", "admin.endpoint", 5),
        (WISE + "detect: {tool_skipping: {expectations: [{agent: a}]}}\n", "detect.tool_skipping.expectations[0]", 5),
        (
            WISE + "detect: {tool_skipping: {expectations: [{agent: a, require: [b], forbid: [b]}]}}\n",
            "detect.tool_skipping.expectations[0]",
            5,
        ),
    ],
)
def test_what_is_unwise_is_said_once(text: str, path: str, line: int) -> None:
    """One sentence, with the path of its key, and its line where the file says it."""
    (sentence,) = told(text)
    assert sentence.startswith(f"{path}: ")
    assert sentence.endswith(f"(line {line})") == bool(line)
    assert "hush" not in sentence


@pytest.mark.parametrize(
    "text",
    [
        WISE + ALL_ON_OWN,
        WISE + "admin: {endpoint: '${env:POD_IP}:9464'}\n",
        WISE.replace("host: https://lf.example", "host: http://127.0.0.1:3000"),
        WISE.replace("4317}", "4317, headers: {X-Scope-OrgID: tenant-1}}"),
        WISE.replace("http://tempo:4317}", "https://tempo, tls: {ca_file: ca.pem}}"),
        WISE + "receivers: {http: null}\nadmin: {endpoint: '127.0.0.1:4318'}\n",
        WISE + "detect: {tool_skipping: {expectations: [{agent: a, any_of: [[b, c]], forbid: [b]}]}}\n",
    ],
)
def test_what_only_looks_unwise_is_not_said(text: str) -> None:
    """Authentication, one interface, loopback, a header that is no secret, TLS in use, a choice that is left."""
    assert told(text) == []


def test_advice_about_a_variable_names_it() -> None:
    """It has no line."""
    (sentence,) = told(WISE, OTEL_EXT_ADMIN__ENDPOINT="0.0.0.0:1")
    assert sentence.endswith("(from OTEL_EXT_ADMIN__ENDPOINT)")


def test_files_that_are_not_here_are_named() -> None:
    """Whoever has a disk can ask."""
    loaded = read(WISE + ALL_ON_OWN, KEYS)
    assert [each.split(":")[0] for each in advice(loaded, lambda path: path == "c")] == [
        "receivers.grpc.tls.key_file",
        "receivers.grpc.tls.client_ca_file",
    ]
