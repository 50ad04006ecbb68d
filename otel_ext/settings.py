"""Every setting, its default and its bound: one frozen dataclass a section of the YAML file.

`otel_ext.configfile` fills these from YAML and the environment; a value outside its bounds is a fault with the path of its key.
Times are nanoseconds once loaded (`5s`, `5m` in the file), sizes are bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from otel_ext.bounds import (
    KIB as KIB,
)
from otel_ext.bounds import (
    MIB as MIB,
)
from otel_ext.bounds import (
    NOT_GIVEN as NOT_GIVEN,
)
from otel_ext.bounds import (
    NS_PER_S as NS_PER_S,
)
from otel_ext.bounds import (
    Address as Address,
)
from otel_ext.bounds import (
    Bytes as Bytes,
)
from otel_ext.bounds import (
    Choice as Choice,
)
from otel_ext.bounds import (
    Count as Count,
)
from otel_ext.bounds import (
    Duration as Duration,
)
from otel_ext.bounds import (
    Pattern as Pattern,
)
from otel_ext.bounds import (
    Range as Range,
)
from otel_ext.bounds import (
    Url as Url,
)
from otel_ext.bounds import (
    Usd as Usd,
)
from otel_ext.bounds import (
    section as section,
)
from otel_ext.detection import (
    Baselines as Baselines,
)
from otel_ext.detection import (
    CostSpike as CostSpike,
)
from otel_ext.detection import (
    DegradedOutput as DegradedOutput,
)
from otel_ext.detection import (
    Detect as Detect,
)
from otel_ext.detection import (
    Expectation as Expectation,
)
from otel_ext.detection import (
    Iterations as Iterations,
)
from otel_ext.detection import (
    LatencySpike as LatencySpike,
)
from otel_ext.detection import (
    Loop as Loop,
)
from otel_ext.detection import (
    TokenSpike as TokenSpike,
)
from otel_ext.detection import (
    ToolSkipping as ToolSkipping,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTls:
    """PEM files of a listener. With `client_ca_file` a client must show a certificate that it signed."""

    cert_file: str
    key_file: str
    client_ca_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTls:
    """PEM files for a destination; empty means the system's authorities, and no client certificate."""

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcReceiver:
    """OTLP over gRPC."""

    endpoint: Annotated[str, Address()] = "127.0.0.1:4317"
    max_recv_bytes: Bytes = 64 * MIB
    tls: ServerTls | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpReceiver:
    """OTLP over HTTP. The size limit holds before and after decompression."""

    endpoint: Annotated[str, Address()] = "127.0.0.1:4318"
    max_recv_bytes: Bytes = 64 * MIB
    tls: ServerTls | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receivers:
    """Where OTLP comes in. A receiver set to null is off."""

    grpc: GrpcReceiver | None = section(GrpcReceiver)
    http: HttpReceiver | None = section(HttpReceiver)


@dataclass(frozen=True, slots=True, kw_only=True)
class Admin:
    """Metrics, health and readiness."""

    endpoint: Annotated[str, Address()] = "127.0.0.1:9464"


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """What the URLs on spans and findings are made of. Without them ids are linked, URLs are left out."""

    langfuse_url: Annotated[str, Url(optional=True)] = ""
    langfuse_project: str = ""
    grafana_url: Annotated[str, Url(optional=True)] = ""
    tempo_datasource: str = "tempo"
    store: str = ""  # a file in which ids that differ between the systems survive a restart, for `otel-ext link`


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """Bounds of what is remembered. Past `max_traces` the trace that was quiet longest goes, and is counted."""

    idle_timeout: Annotated[int, Duration(1)] = 300 * NS_PER_S
    max_traces: Annotated[int, Range(1, 10_000_000)] = 100_000
    max_steps: Annotated[int, Range(64, 100_000)] = 2_000
    max_verdicts: Annotated[int, Range(1, 10_000_000)] = 100_000
    max_names: Annotated[int, Range(16, 65_000)] = 10_000
    max_tree_spans: Count = 8_192  # spans left out for Langfuse that later ones may hang on, and parents awaited
    max_noted: Count = 32_768  # traces whose session, user, tags and name are carried to later spans for Langfuse


@dataclass(frozen=True, slots=True, kw_only=True)
class Redact:
    """What is masked before spans leave for one destination.

    `common` are secrets that everybody has (`otel_ext.redact.secrets`); `names` of attributes and of JSON members whose value goes whole;
    `patterns` are searched in all bytes, quickly where they begin with plain characters; `function` is `module:name` of a function that
    is given the key and the text of every string and gives back what shall stand there.
    """

    common: bool = True
    names: tuple[str, ...] = ()
    patterns: tuple[Annotated[str, Pattern()], ...] = ()
    function: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tempo:
    """Tempo, or anything that takes OTLP: the whole tree."""

    endpoint: Annotated[str, Url()]
    protocol: Annotated[str, Choice(("grpc", "http"))] = "grpc"
    queue_batches: Count = 1_000
    compression: Annotated[str, Choice(("none", "gzip"))] = "none"
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    timeout: Annotated[int, Duration(0.1, 600)] = 10 * NS_PER_S
    tls: ClientTls | None = None
    query_url: Annotated[str, Url(optional=True)] = ""  # Tempo's HTTP API, for `otel-ext doctor` to read its test trace back
    redact: Redact = section(Redact)


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """Standing in for the Langfuse server on the OTLP/HTTP port: what is not spans is passed on to it. Bounds of that."""

    enabled: bool = True
    max_requests: Annotated[int, Range(1, 10_000)] = 64  # at once; one more gets 503
    max_body_bytes: Bytes = 64 * MIB
    timeout: Annotated[int, Duration(0.1, 3_600)] = 120 * NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """Spans that Langfuse gets besides agents, models and tools: globs, both of which must fit."""

    scope: str = "*"
    name: str = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """One more Langfuse project. It gets the spans of callers whose public key fits one of `callers`, and of resources that fit `resource`.

    Both hold globs; every attribute that `resource` names must fit. The first project that fits takes the spans.
    """

    name: str
    public_key: str
    secret_key: str = field(repr=False)
    callers: tuple[str, ...] = ()
    resource: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Langfuse:
    """Langfuse: the LLM tree, and findings as scores."""

    host: Annotated[str, Url()]
    public_key: str
    secret_key: str = field(repr=False)
    scores: bool = True
    caller_keys: bool = True  # spans that come with keys of their own, as Langfuse SDKs send them, go to the project of those keys
    max_callers: Annotated[int, Range(1, 1_000)] = 16  # pairs of such keys with a queue each; idle ones make room
    projects: tuple[Project, ...] = ()
    score_configs: dict[str, str] = field(default_factory=dict)  # by name of the score: the id of its config, which must be BOOLEAN
    annotation_queue: str = ""  # id of a queue that gets each trace with a critical finding
    max_annotation_items: Count = 10_000  # traces that are known to be in it, so that none is put there twice
    keep: tuple[Keep, ...] = ()
    costs: bool = True  # say what a call costs by our prices, where the application does not
    max_span_bytes: Bytes = 8 * MIB  # of a larger span the longest texts are cut; the server warns from 9.5 MB on
    max_request_bytes: Bytes = 16 * MIB  # a larger one is sent in parts
    redact: Redact = section(Redact)
    stand_in: StandIn = section(StandIn)
    environment: str = "default"
    queue_batches: Count = 1_000
    scores_max: Count = 10_000
    timeout: Annotated[int, Duration(0.1, 600)] = 10 * NS_PER_S
    tls: ClientTls | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextPrice:
    """What a call with more than `input_tokens` input tokens pays, for all its tokens: US dollars per million."""

    input_tokens: Count
    input: Usd
    output: Usd = 0.0
    cached_input: Usd = NOT_GIVEN
    cache_write: Usd = NOT_GIVEN
    reasoning: Usd = NOT_GIVEN


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPrice:
    """US dollars per million tokens, for models in whose name the regular expression `match` finds something, from the day `start` on.

    A price that is not given is that of other input (cached_input, cache_write) or other output (reasoning).
    """

    match: str
    name: str = ""
    input: Usd
    output: Usd = 0.0
    cached_input: Usd = NOT_GIVEN
    cache_write: Usd = NOT_GIVEN
    reasoning: Usd = NOT_GIVEN
    above: tuple[ContextPrice, ...] = ()
    start: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Your own prices, before those that come with the package. `file` holds a `prices` section with more `models`, after those here."""

    models: tuple[ModelPrice, ...] = ()
    file: str = ""
    builtin: bool = True  # the list prices that come with the package


@dataclass(frozen=True, slots=True, kw_only=True)
class Prometheus:
    """Metrics on the admin endpoint."""

    max_series_per_metric: Annotated[int, Range(10, 1_000_000)] = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Alertmanager:
    """Findings of `min_severity` and above as alerts: over when nothing new came for `hold`, told again at most every `interval`."""

    url: Annotated[str, Url()]
    min_severity: Annotated[str, Choice(("critical", "high", "medium", "low"))] = "high"
    hold: Annotated[int, Duration(1)] = 300 * NS_PER_S
    interval: Annotated[int, Duration(0.1, 86_400)] = 30 * NS_PER_S
    alerts_max: Count = 1_000
    runbook_url: Annotated[str, Url(optional=True)] = ""
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    timeout: Annotated[int, Duration(0.1, 600)] = 10 * NS_PER_S
    tls: ClientTls | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exporters:
    """Where data goes. An exporter that is not named is off."""

    tempo: Tempo | None = None
    langfuse: Langfuse | None = None
    prometheus: Prometheus | None = None
    alertmanager: Alertmanager | None = None
    queue_bytes: Bytes = 512 * MIB
    proxy_from_environment: bool = True  # HTTP_PROXY, HTTPS_PROXY, NO_PROXY


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The whole configuration."""

    receivers: Receivers = section(Receivers)
    admin: Admin = section(Admin)
    links: Links = section(Links)
    detect: Detect = section(Detect)
    traces: Traces = section(Traces)
    exporters: Exporters = section(Exporters)
    prices: Prices = section(Prices)
    shutdown_timeout: Annotated[int, Duration(0, 600)] = 10 * NS_PER_S
