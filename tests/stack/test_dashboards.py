"""Every query of every dashboard, and of the links between data sources, against the real Prometheus and Tempo: all have data to show."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import yaml

from collector_config.grafana.queries import HERE, Query, dashboards, label_queries, queries
from otel_ext import samples
from otel_ext.receivers.grpc import EXPORT
from tests.doubles.langfuse import LangfuseDouble
from tests.stack.kit import Prometheus, Sidecar, Tempo, ask, at, free_ports, get, need, until
from tests.stack.sending import forgetful
from tests.stack.traffic import paid_tool, request

EVERY = [query for dashboard in dashboards().values() for query in queries(dashboard)]
OF_PROMETHEUS = [query for query in EVERY if query.source == "prometheus"]
OF_TEMPO = [query for query in EVERY if query.source == "tempo"]
LABELS = [each for dashboard in dashboards().values() for each in label_queries(dashboard)]
YESTERDAY = "offset 1d"  # there is no data of yesterday: such a query must be understood, no more
# So that a trace is over and a metric without room within the minute that this takes.
ENVIRONMENT = {"OTEL_EXT_TRACES__IDLE_TIMEOUT": "5s", "OTEL_EXT_EXPORTERS__PROMETHEUS__MAX_SERIES_PER_METRIC": "12"}

GREW = "increase(otel_ext_series_overflow_total[1m]) > 0 and on() increase(otel_ext_dropped_total[1m]) > 0"


@dataclass
class Shown:
    """Programs with a minute of traffic in them."""

    prometheus: Prometheus
    tempo: Tempo


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory, langfuse: LangfuseDouble) -> Iterator[Shown]:
    need("tempo", "prometheus")
    folder = tmp_path_factory.mktemp("dashboards")
    with ExitStack() as running:
        tempo = Tempo(folder)
        running.callback(tempo.close)
        backends = {"TEMPO_OTLP_ENDPOINT": tempo.otlp, "LANGFUSE_HOST": langfuse.host}
        http = at(*free_ports(1))
        sidecar = Sidecar(folder, "forward.yaml", {**backends, **ENVIRONMENT, "OTEL_EXT_RECEIVERS__HTTP__ENDPOINT": http}, "dashboards")
        running.callback(sidecar.close)
        prometheus = Prometheus(folder, {"otel_ext": [sidecar.admin.removeprefix("http://")]})
        running.callback(prometheus.close)
        _traffic(sidecar, http, prometheus)
        yield Shown(prometheus, tempo)


def _traffic(sidecar: Sidecar, http: str, prometheus: Prometheus) -> None:
    """Until Prometheus saw it grow: findings come, requests are refused and passed on, names run out all the time."""
    dice = random.Random(7)
    with grpc.insecure_channel(sidecar.otlp) as channel:
        export = channel.unary_unary(EXPORT)

        def sent() -> bool:
            now_ns = time.time_ns()
            for make in (samples.looping, samples.skipping, samples.spiking, forgetful):
                export(make(dice.randbytes(16), now_ns - 60_000_000_000))
            for number in range(5):
                export(request(dice, now_ns))
                export(paid_tool(dice.randbytes(16), now_ns))
                export(samples.Agent(dice.randbytes(16), f"agent-{dice.randrange(100)}", now_ns, model=f"model-{number}").end())
            with pytest.raises(grpc.RpcError):
                export(b"no request")
            assert get(f"http://{http}/api/public/health")[0]
            return bool(prometheus.query(GREW))

        until(sent, "two scrapes with growth between them")


def instant(shown: Shown, text: str) -> bool:
    return bool(shown.prometheus.query(text))


@pytest.mark.parametrize("query", OF_PROMETHEUS, ids=lambda query: f"{query.panel}-{query.ref}")
def test_panels_have_data(query: Query, shown: Shown) -> None:
    """For everything that may be chosen, and for a range that is as long as the traffic."""
    text = query.filled(__range="1m")
    if YESTERDAY in text:
        assert shown.prometheus.query(text) == []
    else:
        until(lambda: instant(shown, text), f"data for {text}", 30)


@pytest.mark.parametrize("query", [query for query in OF_PROMETHEUS if query.exemplars], ids=lambda query: f"{query.panel}-{query.ref}")
def test_dots_lead_to_traces_that_tempo_has(query: Query, shown: Shown) -> None:
    """The newest exemplar of each series is asked for."""
    found = until(lambda: shown.prometheus.exemplars(query.filled(__range="1m")), f"exemplars of {query.text}", 30)
    ids = [series["exemplars"][-1]["labels"]["trace_id"] for series in found]
    assert all(shown.tempo.spans(trace_id) for trace_id in ids[:5])


@pytest.mark.parametrize("query", OF_TEMPO, ids=lambda query: query.panel)
def test_tables_of_traces_have_rows(query: Query, shown: Shown) -> None:
    """For every tool."""
    until(lambda: shown.tempo.search(query.filled(), limit=20), f"traces for {query.text}")


@pytest.mark.parametrize(("name", "selector", "label"), LABELS)
def test_variables_have_values(name: str, selector: str, label: str, shown: Shown) -> None:
    """As Grafana asks for them."""
    assert ask(f"{shown.prometheus.url}/api/v1/label/{label}/values", **{"match[]": selector})["data"], name


def from_spans() -> list[str]:
    tree = yaml.safe_load((HERE / "provisioning" / "datasources" / "otel-ext.yaml").read_text())
    (tempo,) = (each for each in tree["datasources"] if each["uid"] == "tempo")
    return [each["query"] for each in tempo["jsonData"]["tracesToMetrics"]["queries"]]


@pytest.mark.parametrize("text", from_spans())
def test_a_span_leads_to_metrics_that_are_there(text: str, shown: Shown) -> None:
    """Of its model or its tool: Grafana fills in the tags that the span has."""
    tag = 'tool="search"' if "tool" in text else 'model="gpt-4o"'
    assert instant(shown, text.replace("$$__tags", tag))


def test_what_the_package_provisions_is_where_these_programs_have_it() -> None:
    """The scrape interval that Grafana is told is that of the Prometheus configuration."""
    sources = yaml.safe_load((HERE / "provisioning" / "datasources" / "otel-ext.yaml").read_text())["datasources"]
    prometheus = yaml.safe_load((Path(HERE).parent / "prometheus" / "prometheus.yml").read_text())
    (told,) = (each["jsonData"]["timeInterval"] for each in sources if each["uid"] == "prometheus")
    assert told == prometheus["global"]["scrape_interval"]
