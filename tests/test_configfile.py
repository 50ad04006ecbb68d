"""The configuration: every fault is named with its path and what would be right."""

from __future__ import annotations

import pytest

from otel_ext.configfile import load
from otel_ext.errors import ConfigError
from otel_ext.settings import NS_PER_S, Settings

EVERY_SECTION = """
receivers:
  grpc: {endpoint: 127.0.0.1:4317, max_recv_bytes: 67108864}
  http: {endpoint: 127.0.0.1:4318, max_recv_bytes: 67108864}
admin: {endpoint: 127.0.0.1:9464}
links: {langfuse_url: https://langfuse.example, langfuse_project: clx123, grafana_url: https://grafana.example, tempo_datasource: tempo}
detect:
  tool_skipping:
    settle: 5s
    expectations:
      - {agent: "planner*", require: [search, calculate]}
      - {agent: "support", any_of: [[kb_search, web_search]], before: [[lookup_order, refund]], forbid: [delete_account]}
  loop: {max_iterations: 10, identical_calls: 3, cycle_period: 3, cycle_repeats: 3}
  token_spike: {multiplier: 3.0, baseline_tokens: 2000, min_samples: 10}
traces: {idle_timeout: 5m, max_traces: 100000}
exporters:
  tempo: {endpoint: http://tempo:4317, protocol: grpc, queue_batches: 1000, compression: none}
  langfuse: {host: https://langfuse.example, public_key: "${env:LANGFUSE_PUBLIC_KEY}", secret_key: "${env:LANGFUSE_SECRET_KEY}"}
  prometheus: {max_series_per_metric: 2000}
shutdown_timeout: 10s
"""
KEYS = {"LANGFUSE_PUBLIC_KEY": "pk-lf-1", "LANGFUSE_SECRET_KEY": "sk-lf-1"}


def faults(text: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(text, environ)
    return caught.value.faults


def test_nothing_configured_is_the_defaults() -> None:
    """An empty file serves: loopback receivers, no exporter."""
    assert load("", {}) == Settings()
    assert Settings().exporters.tempo is None


def test_every_documented_key_is_read() -> None:
    """The configuration of the documentation loads, with its values."""
    settings = load(EVERY_SECTION, KEYS)
    assert settings.detect.tool_skipping.settle == 5 * NS_PER_S
    assert settings.detect.tool_skipping.expectations[1].before == (("lookup_order", "refund"),)
    assert settings.traces.idle_timeout == 300 * NS_PER_S
    assert settings.exporters.tempo is not None
    assert settings.exporters.langfuse is not None
    assert settings.exporters.langfuse.secret_key == "sk-lf-1"


def test_secrets_do_not_show() -> None:
    """Printing the settings prints no secret key and no header."""
    text = EVERY_SECTION.replace("compression: none", "headers: {authorization: Bearer hush}")
    shown = repr(load(text, KEYS))
    assert "sk-lf-1" not in shown
    assert "hush" not in shown


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("foo: 1", "foo: is not a setting, allowed are receivers"),
        ("detect: {loop: {identical_call: 3}}", "detect.loop.identical_call: is not a setting, did you mean identical_calls?"),
        ("langfuse: {host: http://h}", "langfuse: is not a setting, did you mean exporters.langfuse?"),
        ("expectations: []", "expectations: is not a setting, did you mean detect.tool_skipping.expectations?"),
        ("detect: {loop: {cycle_period: 9}}", "detect.loop.cycle_period: is 9, allowed are 1 to 5"),
        ("detect: {tool_skipping: {settle: 5}}", "detect.tool_skipping.settle: is 5, a time with a unit is needed"),
        ("detect: {tool_skipping: {expectations: [{require: [a]}]}}", "detect.tool_skipping.expectations[0].agent: is missing"),
        ("traces: {max_traces: many}", "traces.max_traces: holds a string, a whole number is needed"),
        ("traces: {max_traces: true}", "traces.max_traces: holds a true or false, a whole number is needed"),
        ("exporters: {tempo: {endpoint: 'tempo:4317'}}", "exporters.tempo.endpoint: an absolute URL is needed"),
        ("exporters: {tempo: {endpoint: 'http://t', protocol: udp}}", "exporters.tempo.protocol: is 'udp', allowed are grpc, http"),
        ("admin: {endpoint: localhost}", "admin.endpoint: is 'localhost', host:port is needed"),
        ("admin: 3", "admin: holds a whole number, a mapping is needed"),
        ("- a", "the file holds a list, a mapping of sections is needed"),
        ("a: [", "line 1: not valid YAML"),
        ("admin: {endpoint: '${env:NOWHERE}'}", "admin.endpoint: the environment variable NOWHERE is not set"),
    ],
)
def test_each_fault_says_what_and_where(text: str, fault: str) -> None:
    """The path of the key, what is wrong, what is allowed."""
    assert any(each.startswith(fault) for each in faults(text)), faults(text)


def test_all_faults_are_reported_at_once() -> None:
    """Nobody repairs a file one run at a time."""
    assert len(faults("foo: 1\nadmin: 3\ntraces: {max_traces: 0}")) == 3


def test_environment_overrides_scalars() -> None:
    """OTEL_EXT_SECTION__KEY wins over the file, with the type of the setting."""
    environ = {"OTEL_EXT_TRACES__MAX_TRACES": "500", "OTEL_EXT_EXPORTERS__TEMPO__ENDPOINT": "http://t:1", "OTEL_EXT_CODEC": "python"}
    settings = load("traces: {max_traces: 9}", environ)
    assert settings.traces.max_traces == 500
    assert settings.exporters.tempo is not None
    assert settings.exporters.tempo.endpoint == "http://t:1"


def test_an_unknown_override_is_a_fault() -> None:
    """A misspelt variable is not ignored."""
    (fault,) = faults("", OTEL_EXT_TRACES__MAX_TRACE="5")
    assert fault == "traces.max_trace: is not a setting, did you mean max_traces? (from OTEL_EXT_TRACES__MAX_TRACE)"


def test_defaults_of_the_environment() -> None:
    """`${env:NAME:-default}` as in the Collector, also inside a longer value."""
    settings = load("links: {langfuse_url: 'https://${env:HOST:-langfuse.example}/x'}\ntraces: {max_traces: '${env:N:-7}'}", {})
    assert settings.links.langfuse_url == "https://langfuse.example/x"
    assert settings.traces.max_traces == 7


def test_a_receiver_set_to_null_is_off() -> None:
    """And an exporter named without keys is on with its defaults."""
    settings = load("receivers: {http: null}\nexporters: {prometheus: }", {})
    assert settings.receivers.http is None
    assert settings.exporters.prometheus is not None


@pytest.mark.parametrize(("text", "ns"), [("250ms", NS_PER_S // 4), ("1m30s", 90 * NS_PER_S), ("0.5s", NS_PER_S // 2)])
def test_times_carry_their_unit(text: str, ns: int) -> None:
    """Durations as people write them."""
    assert load(f"shutdown_timeout: {text}", {}).shutdown_timeout == ns


SEVERAL_LINES = """\
# a comment
defaults: &small
  max_traces: 0
traces:
  <<: *small
  idle_timeout: soon
exporters:
  tempo:
    protocol: udp
  langfuse: {host: http://h,
    public_key: [a]}
detect:
  tool_skipping:
    expectations:
      - {agent: a}
      - require: [b]
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("traces.idle_timeout", 6),
        ("traces.max_traces", 3),
        ("exporters.tempo.protocol", 9),
        ("exporters.tempo.endpoint", 8),
        ("exporters.langfuse.public_key", 11),
        ("exporters.langfuse.secret_key", 10),
        ("detect.tool_skipping.expectations[1].agent", 16),
        ("defaults", 2),
    ],
)
def test_each_fault_says_its_line(path: str, line: int) -> None:
    """That of its key; of a key that is missing, that of its section; of what was merged in, where it is written."""
    (fault,) = [each for each in faults(SEVERAL_LINES) if each.startswith(f"{path}: ")]
    assert fault.endswith(f"(line {line})")


def test_a_key_that_is_there_twice_is_a_fault() -> None:
    """YAML would take the second and say nothing; it is told together with the other faults."""
    told = faults("traces:\n  max_traces: 5\n  max_traces: 6\nadmin: 3")
    assert told[0] == "traces.max_traces: is there twice, in lines 2 and 3; the first would be ignored"
    assert told[1].startswith("admin: ")


def test_an_alias_of_what_it_stands_in_is_a_fault() -> None:
    """Not an endless loop."""
    assert faults("traces: &all\n  max_traces: *all")[0] == "traces.max_traces: is an alias of what it stands in (line 1)"
