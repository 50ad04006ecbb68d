"""The sidecar: builds every part from the settings, joins them, starts destinations first and stops receivers first."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count

from yarl import URL

from otel_ext import __version__
from otel_ext.admin import AdminServer, Health, Row
from otel_ext.dialects import KEYS, RULES
from otel_ext.errors import Overloaded
from otel_ext.exporters.base import Runtime, Undelivered
from otel_ext.exporters.costs import Pricing
from otel_ext.exporters.delivery import Delivery
from otel_ext.exporters.http import client_context, environment_proxy
from otel_ext.exporters.langfuse import base_url
from otel_ext.exporters.prometheus import Metrics
from otel_ext.footprint import keep_large_blocks, quiet_the_collector, trimmer
from otel_ext.intake import Intake
from otel_ext.logs import log_finding, set_up
from otel_ext.model import Caller, Finding, Receipt
from otel_ext.outputs import Lane, Output, make_outputs
from otel_ext.pipeline import Outcome, Pipeline
from otel_ext.pricelist import price_list
from otel_ext.prices import PriceTable
from otel_ext.receivers import ListenError, ReceiverStats
from otel_ext.receivers.grpc import GrpcReceiver
from otel_ext.receivers.http import HttpReceiver
from otel_ext.receivers.standin import StandIn, StandInOptions
from otel_ext.reload import reloading
from otel_ext.ruleload import load_rules
from otel_ext.rules import Rule
from otel_ext.selfreport import readings
from otel_ext.settings import NS_PER_S, Langfuse, Links, Settings
from otel_ext.settings import HttpReceiver as HttpSection
from otel_ext.stores import Stores
from otel_ext.tenants import Tenant
from otel_ext.wire import NATIVE, Codec, make_codec
from otel_ext.wire.table import Limits, Scan

TICK_S = 0.2
TICKS_PER_TRIM = 25  # a trim takes some milliseconds

CODEC = "native" if NATIVE else "python"
INVALID_IDS = "a span's trace id must be 16 bytes and its span id 8, not all zero; such spans were left out"

log = logging.getLogger(__name__)


class Sidecar:
    """All parts of one process. A Consumer for its receivers; `start` once, `stop` once, in one event loop."""

    def __init__(self, settings: Settings, runtime: Runtime | None = None) -> None:
        self.settings = settings
        self.runtime = runtime or Runtime(now_ns=time.time_ns, sleep=asyncio.sleep, random=random.random)
        self.codec = make_codec(KEYS, RULES, Limits(names_max=settings.traces.max_names))
        exporters = settings.exporters
        costs = PriceTable(price_list(settings.prices), self.codec.name).costs
        self.pipeline = Pipeline(settings, self.codec, exporters.langfuse is not None, load_rules(settings.detect.rules), costs)
        prometheus = exporters.prometheus
        self.metrics = Metrics(
            prometheus.max_series_per_metric if prometheus else 2_000,
            self.codec.name,
            version=__version__,
            codec=CODEC,
            pricing=pricing(settings, self.codec),
        )
        self.stats = ReceiverStats()
        self.stores = Stores(settings, self.pipeline.verdicts)
        self.on_finding: list[Callable[[Finding], None]] = [log_finding]
        self.undelivered: list[Undelivered] = []
        self.made = make_outputs(settings, self.codec, self.runtime, callers=True)
        self.log = self.made.log
        self.intake = Intake(self.codec, self._work)
        self._make_receivers()
        self.admin = AdminServer(settings.admin.endpoint, self.metrics, self._health, self._ready, time.monotonic)
        self.metrics.add_source(lambda: readings(self))
        self.admin_port = 0
        self.reloaded = True  # whether the last reading of the configuration went well
        self._ticking: asyncio.Task[None] | None = None

    # -- parts

    def _make_receivers(self) -> None:
        grpc, http = self.settings.receivers.grpc, self.settings.receivers.http
        self.grpc = GrpcReceiver(grpc.endpoint, grpc.max_recv_bytes, self, self.stats, tls=grpc.tls) if grpc else None
        self.stand_in = _stand_in(self.settings)
        self.http = _http_receiver(http, self, self.stats, self.stand_in) if http else None

    @property
    def outputs(self) -> list[Output]:
        """Every destination that is open."""
        return self.made.outputs

    @property
    def lanes(self) -> list[Lane]:
        """Where findings go by themselves."""
        return self.made.lanes

    def reconfigure(self, settings: Settings, rules: Sequence[Rule]) -> None:
        """Put other `links` and `detect` settings into force between two requests; all else in *settings* must be as it was."""
        self.settings = settings
        self.pipeline.reconfigure(settings, rules)
        for alerts in self.made.alerts:
            alerts.relink(settings.links)
        if self.stand_in and settings.exporters.langfuse:
            self.stand_in.relink(_pages(settings.links, settings.exporters.langfuse))

    # -- data

    async def consume(self, payload: bytes, caller: Caller | None = None) -> Receipt:
        """Take one request: into the log of every destination, or raise and keep nothing."""
        if caller is None or self.made.tenants is None:
            return await self.intake.take(payload)
        tenant = await self.made.tenants.of(caller)
        try:
            return await self.intake.take(payload, tenant)
        finally:
            self.made.tenants.leave(tenant)

    def _work(self, payload: bytes, scan: Scan, tenant: Tenant | None) -> Receipt:
        self.log.check()
        started = time.perf_counter()
        outcome = self.pipeline.process(payload, self.runtime.now_ns(), scan)
        self._keep(outcome, tenant)
        self.metrics.observe(outcome.fresh, list(outcome.trace_ids))
        self.metrics.processed(time.perf_counter() - started)
        return Receipt(outcome.spans, outcome.rejected, INVALID_IDS if outcome.rejected else "")

    def _keep(self, outcome: Outcome, tenant: Tenant | None = None) -> None:
        record = self.made.record(outcome.full, outcome.spans, outcome.llm, outcome.llm_spans, tenant=tenant, trace_ids=outcome.trace_ids)
        if record:
            self.log.append(record)
        for finding in outcome.findings:
            self._report(finding)

    def _report(self, finding: Finding) -> None:
        """Tell everybody. Spans are in the log by now: a fault here must not make their sender send them again."""
        tells: list[Callable[[Finding], object]] = [
            self.metrics.finding,
            *self.on_finding,
            *(lane.submit for lane in self.made.lanes_of(finding)),
        ]
        for tell in tells:
            try:
                tell(finding)
            except Exception as error:
                self.metrics.dropped("finding", type(error).__name__)
                log.error("a finding could not be told: %s", type(error).__name__)

    async def _tick(self) -> None:
        trim = trimmer()
        for number in count(1):
            await self.runtime.sleep(TICK_S)
            if number % TICKS_PER_TRIM == 0:
                trim()
            try:
                self.settle()
                await asyncio.to_thread(self.stores.keep, self.stores.collect())
            except Exception:
                log.exception("a tick failed")
                self.metrics.dropped("tick", "internal")

    def settle(self) -> None:
        """Give the verdicts that are due. While the log is full they wait: nothing is judged that could not be told."""
        try:
            self.log.check()
        except Overloaded:
            return
        self._keep(self.pipeline.tick(self.runtime.now_ns()))

    # -- life

    async def start(self) -> None:
        """Start everything; raises OtelExtError where a port is taken."""
        await self.made.start()
        try:
            self.admin_port = await self.admin.start()
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else type(error).__name__
            raise ListenError("metrics and health", self.settings.admin.endpoint, reason) from None
        for receiver in (self.grpc, self.http):
            if receiver:
                await receiver.start()
        self._ticking = asyncio.create_task(self._tick(), name="tick")

    async def stop(self) -> None:
        """Stop receiving, give the verdicts that wait, deliver what is queued; all within `shutdown_timeout`."""
        timeout_s = self.settings.shutdown_timeout / NS_PER_S
        deadline = time.monotonic() + timeout_s
        stopping = [receiver.stop(timeout_s / 4) for receiver in (self.grpc, self.http) if receiver]
        await asyncio.gather(*stopping)
        if self._ticking:
            self._ticking.cancel()
        self._keep_last()
        try:
            await asyncio.to_thread(self.stores.keep, self.stores.collect(self.settings.detect.baselines.agents_max))
        except OSError as error:
            log.warning("what was learned was not kept: %s", error)
        left_s = max(0.1, deadline - time.monotonic())
        self.undelivered = list(await asyncio.gather(*self.made.draining(left_s)))
        await self.admin.stop()

    def _keep_last(self) -> None:
        try:
            self._keep(self.pipeline.settle_all())
        except Overloaded:
            self.metrics.dropped("findings", "shutdown")
            log.warning("the log is full: verdicts that still waited were not given")

    # -- about ourselves

    @property
    def addresses(self) -> dict[str, str]:
        """`host:port` of everything that listens, by name."""
        listening = {"OTLP/gRPC": self.grpc, "OTLP/HTTP": self.http}
        bound = {name: at(receiver.endpoint, receiver.port) for name, receiver in listening.items() if receiver}
        return {**bound, "admin": at(self.settings.admin.endpoint, self.admin_port)}

    def _health(self) -> Health:
        return Health(version=__version__, codec=CODEC)

    def _ready(self) -> list[Row]:
        now_ns = self.runtime.now_ns()
        spans = [_row(output.delivery, now_ns, essential=True) for output in self.outputs]
        return [*spans, *(_row(lane, now_ns, essential=False) for lane in self.lanes)]


def pricing(settings: Settings, codec: Codec) -> Pricing:
    """What the metrics need to know about cost; raises ConfigError."""
    traces = settings.traces
    return Pricing(PriceTable(price_list(settings.prices), codec.name), traces.idle_timeout / NS_PER_S, traces.max_traces)


def at(endpoint: str, port: int) -> str:
    """*endpoint* with the port that was bound."""
    return f"{endpoint.rpartition(':')[0]}:{port}"


def _stand_in(settings: Settings) -> StandIn | None:
    langfuse = settings.exporters.langfuse
    if langfuse is None or not langfuse.stand_in.enabled:
        return None
    bounds = langfuse.stand_in
    host = base_url(langfuse.host)
    options = StandInOptions(
        requests_max=bounds.max_requests,
        body_bytes_max=bounds.max_body_bytes,
        timeout_s=bounds.timeout / NS_PER_S,
        secured=partial(client_context, langfuse.tls) if langfuse.tls else lambda: True,
        proxy=environment_proxy(URL(host)) if settings.exporters.proxy_from_environment else None,
    )
    return StandIn(host, _pages(settings.links, langfuse), options)


def _pages(links: Links, langfuse: Langfuse) -> str:
    """Where the pages of Langfuse are."""
    return links.langfuse_url or base_url(langfuse.host)


def _http_receiver(section: HttpSection, consumer: Sidecar, stats: ReceiverStats, stand_in: StandIn | None) -> HttpReceiver:
    return HttpReceiver(section.endpoint, section.max_recv_bytes, consumer, stats, tls=section.tls, stand_in=stand_in)


def _row(delivery: Delivery | Lane, now_ns: int, *, essential: bool) -> Row:
    stats = delivery.stats
    age_s = round((now_ns - stats.last_success_ns) / NS_PER_S, 3) if stats.last_success_ns else None
    return Row(
        name=delivery.name,
        ready=stats.healthy,
        queue_size=delivery.queue_size,
        queue_capacity=delivery.queue_capacity,
        last_success_age_s=age_s,
        last_error=stats.last_error,
        essential=essential,
    )


def serve(settings: Settings, read: Callable[[], Settings]) -> int:
    """Run until SIGTERM or SIGINT; the exit code. SIGHUP makes it *read* the configuration again, which may raise ConfigError."""
    set_up()
    keep_large_blocks()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(settings, read))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(settings: Settings, read: Callable[[], Settings]) -> int:
    sidecar = Sidecar(settings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    again = asyncio.Event()
    if hasattr(signal, "SIGHUP"):
        loop.add_signal_handler(signal.SIGHUP, again.set)
    await sidecar.start()
    quiet_the_collector()
    _say_hello(sidecar)
    rereading = asyncio.create_task(reloading(sidecar, again, read), name="reload")
    await stop.wait()
    rereading.cancel()
    await sidecar.stop()
    log.info("stopped")
    return 0


def _say_hello(sidecar: Sidecar) -> None:
    codec = "native codec" if NATIVE else "python codec: no compiled part was built, spans cost more"
    addresses = sidecar.addresses
    log.info("otel-ext %s, %s; %s", __version__, codec, ", ".join(f"{name} {address}" for name, address in addresses.items()))
    if sidecar.outputs:
        log.info("sending to %s", ", ".join(output.delivery.name for output in sidecar.outputs))
    else:
        log.info("no exporter is configured: traces are judged and counted, and forwarded nowhere")
