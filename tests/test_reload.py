"""What changed between two configurations, by path."""

from __future__ import annotations

from otel_ext.configfile import build
from otel_ext.reload import changed
from otel_ext.settings import Settings


def test_equal_settings_differ_in_nothing() -> None:
    """Read twice, they are equal."""
    tree = {"exporters": {"tempo": {"endpoint": "http://t:1"}}, "detect": {"tool_skipping": {"expectations": [{"agent": "a"}]}}}
    assert list(changed(build(tree, {}), build(tree, {}))) == []


def test_every_setting_that_differs_is_named() -> None:
    """The deepest path; a section that came or went by its own; a list as one setting."""
    new = build(
        {
            "receivers": {"http": None, "grpc": {"tls": {"cert_file": "c", "key_file": "k"}}},
            "exporters": {"tempo": {"endpoint": "http://t:1"}, "queue_bytes": 1024},
            "detect": {"tool_skipping": {"expectations": [{"agent": "a"}]}, "loop": {"cycle_period": 2}},
        },
        {},
    )
    assert set(changed(Settings(), new)) == {
        "receivers.http",
        "receivers.grpc.tls",
        "exporters.tempo",
        "exporters.queue_bytes",
        "detect.tool_skipping.expectations",
        "detect.loop.cycle_period",
    }
