"""The four dashboards. Every metric and attribute name comes from the package, so that a rename there fails here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from collector_config.grafana.kit import JOB, SEVERITIES, Ask, grew, lines, listing, number, page, ranked, row, traces
from otel_ext import semconv
from otel_ext.exporters.declared import DECLARED

TOKENS: Final = DECLARED[semconv.TOKENS].exposed
COST: Final = DECLARED[semconv.COST].exposed
AGENT_COST: Final = DECLARED[semconv.AGENT_COST].exposed
TOOL_COST: Final = DECLARED[semconv.TOOL_COST].exposed
TRACE_COST: Final = DECLARED[semconv.TRACE_COST].exposed
UNPRICED: Final = DECLARED[semconv.UNPRICED].exposed
REQUEST: Final = DECLARED[semconv.REQUEST_SECONDS].exposed
TOOL: Final = DECLARED[semconv.TOOL_SECONDS].exposed
FINDINGS: Final = DECLARED[semconv.FINDINGS_TOTAL].exposed
OPEN: Final = DECLARED[semconv.OPEN_TRACES].exposed
PROCESS: Final = DECLARED[semconv.PROCESS_SECONDS].exposed
DROPPED: Final = DECLARED[semconv.DROPPED].exposed
UNKNOWN: Final = DECLARED[semconv.UNKNOWN_SCOPE_SPANS].exposed
OVERFLOW: Final = DECLARED[semconv.SERIES_OVERFLOW].exposed
BUILD: Final = DECLARED[semconv.BUILD].exposed
RELOADED: Final = DECLARED[semconv.RELOADED].exposed
ACCEPTED: Final = DECLARED[semconv.ACCEPTED_SPANS].exposed
REFUSED: Final = DECLARED[semconv.REFUSED_SPANS].exposed
SENT: Final = DECLARED[semconv.SENT_SPANS].exposed
FAILED: Final = DECLARED[semconv.SEND_FAILED_SPANS].exposed
SCORES: Final = DECLARED[semconv.SENT_SCORES].exposed
SCORES_FAILED: Final = DECLARED[semconv.SEND_FAILED_SCORES].exposed
REDACTED: Final = DECLARED[semconv.REDACTED].exposed
STAND_IN: Final = DECLARED[semconv.STAND_IN_REQUESTS].exposed
QUEUE: Final = DECLARED[semconv.QUEUE_SIZE].exposed
CAPACITY: Final = DECLARED[semconv.QUEUE_CAPACITY].exposed

INTERVAL: Final = "$__rate_interval"
EACH: Final = "$__interval"  # one bar; what a bar counts, no other does
ALERTING: Final = 'severity=~"critical|high"'
AGENT: Final = f'{JOB}, agent=~"$agent"'
MODEL: Final = f'{JOB}, model=~"$model"'
CALLED: Final = f'{JOB}, tool=~"$tool"'


def rate(metric: str, chosen: str, by: str = "", window: str = INTERVAL) -> str:
    """The rate a second, summed."""
    return f"sum{f' by ({by})' if by else ''} (rate({metric}{{{chosen}}}[{window}]))"


def grown(metric: str, chosen: str, by: str = "", window: str = "$__range") -> str:
    """What a counter that runs all the time grew by, summed."""
    return f"sum{f' by ({by})' if by else ''} (increase({metric}{{{chosen}}}[{window}]))"


def quantile(share: float, metric: str, chosen: str, by: str = "", window: str = INTERVAL) -> str:
    """Of a histogram; NaN where nothing was observed is left out."""
    labels = ", ".join(filter(None, ("le", by)))
    return f"histogram_quantile({share:g}, {rate(f'{metric}_bucket', chosen, labels, window)}) >= 0"


def rare(metric: str, chosen: str, by: str = "", window: str = "$__range") -> str:
    """What a counter of rare things grew by, summed, the first of its kind included."""
    return f"sum{f' by ({by})' if by else ''} ({grew(f'{metric}{{{chosen}}}', window)})"


def found(chosen: str, by: str = "", window: str = "$__range") -> str:
    """How many findings there were."""
    return rare(FINDINGS, chosen, by, window)


def silent_failures() -> Any:
    """What went wrong although every span is green."""
    calls = grown(f"{REQUEST}_count", JOB)
    parts = [
        number(
            "Alerts", "Findings of severity critical or high in this range.", f"{found(f'{AGENT}, {ALERTING}')} or vector(0)", bad_from=1
        ),
        number(
            "Agents affected",
            "Agents with such a finding.",
            f"count({found(f'{AGENT}, {ALERTING}', 'agent')} > 0) or vector(0)",
            bad_from=1,
        ),
        number(
            "Alerts for 100 model calls", "A share, so that a busy day is no bad day.", f"100 * {found(f'{AGENT}, {ALERTING}')} / {calls}"
        ),
        number("Open traces", "Traces that may still get spans, and verdicts with them.", f"sum({OPEN}{{{JOB}}})"),
        lines(
            "Findings by type",
            "Each dot is a finding: it leads to its trace in Tempo and in Langfuse.",
            [Ask(found(AGENT, "type", EACH), "{{type}}")],
            counts=True,
            exemplars=True,
        ),
        lines(
            "Findings by severity",
            "Critical and high are alerts; medium and low are hints.",
            [Ask(found(AGENT, "severity", EACH), "{{severity}}")],
            counts=True,
            colors=SEVERITIES,
        ),
        ranked("Rules that fired", "Over this range.", f"sort_desc({found(AGENT, 'rule')} > 0)", "rule"),
        ranked(
            "Agents with alerts", "Over this range, the ten with most.", f"topk(10, {found(f'{AGENT}, {ALERTING}', 'agent')} > 0)", "agent"
        ),
        listing(
            "What was found",
            "A row for each rule and agent, over this range.",
            [Ask(f"{found(AGENT, 'severity, type, rule, agent')} > 0", "Findings")],
        ),
        traces("Newest traces with a critical finding", "A row opens the trace.", f'{{ span.{semconv.SEVERITY} = "critical" }}'),
    ]
    return page("otel-ext-silent-failures", "Silent failures", silent_failures.__doc__ or "", parts, {"agent": FINDINGS})


def llm_cost() -> Any:
    """What models cost, in dollars, tokens and seconds."""
    today, yesterday = f"sum(increase({COST}{{{MODEL}}}[1d]))", f"sum(increase({COST}{{{MODEL}}}[1d] offset 1d))"
    by = "model, operation"
    parts = [
        number("Cost", "In this range: as the spans state it, else by the price list.", grown(COST, MODEL), "currencyUSD"),
        number(
            "Cost a day at this rate", "The rate of the last hour, kept up.", f"{rate(COST, MODEL, window='1h')} * 86400", "currencyUSD"
        ),
        number("Tokens", "In this range.", grown(TOKENS, MODEL)),
        number("p95 of a call", "In this range.", quantile(0.95, REQUEST, MODEL, window="$__range"), "s"),
        lines(
            "Cost an hour by model",
            "Each dot leads to a call.",
            [Ask(f"{rate(COST, MODEL, 'model')} * 3600", "{{model}}")],
            "currencyUSD",
            stacked=True,
            exemplars=True,
        ),
        lines(
            "Cost of a day",
            "The 24 hours up to each moment, and the 24 before them.",
            [Ask(today, "last 24 h"), Ask(yesterday, "24 h before")],
            "currencyUSD",
        ),
        lines(
            "Tokens a second by kind", "Cached tokens are part of the input.", [Ask(rate(TOKENS, MODEL, "token_type"), "{{token_type}}")]
        ),
        lines("Tokens a second by model", "All kinds together.", [Ask(rate(TOKENS, MODEL, "model"), "{{model}}")], stacked=True),
        lines(
            "Duration of calls",
            "Percentiles; each dot leads to a call.",
            [Ask(quantile(share, REQUEST, MODEL), f"p{share * 100:g}") for share in (0.5, 0.95, 0.99)],
            "s",
            exemplars=True,
        ),
        lines("p95 by model", "A slow model among fast ones.", [Ask(quantile(0.95, REQUEST, MODEL, "model"), "{{model}}")], "s"),
        lines("Calls a second", "By model and operation.", [Ask(rate(f"{REQUEST}_count", MODEL, by), "{{model}} {{operation}}")], "reqps"),
        lines(
            "Cost of one call",
            "Dollars a call, by model: prompts that grow show here first.",
            [Ask(f"{rate(COST, MODEL, 'model')} / {rate(f'{REQUEST}_count', MODEL, 'model')}", "{{model}}")],
            "currencyUSD",
        ),
        lines(
            "Cost an hour by agent and tool",
            "An agent's model calls, as their spans name it, else by service; and what the spans of tool calls state as theirs.",
            [Ask(f"{rate(AGENT_COST, JOB, 'agent')} * 3600", "{{agent}}"), Ask(f"{rate(TOOL_COST, JOB, 'tool')} * 3600", "tool {{tool}}")],
            "currencyUSD",
            stacked=True,
        ),
        lines(
            "Cost of a trace",
            "Percentiles, once a trace has gone quiet; each dot leads to one.",
            [Ask(quantile(share, TRACE_COST, JOB), f"p{share * 100:g}") for share in (0.5, 0.95)],
            "currencyUSD",
            exemplars=True,
        ),
        listing(
            "Models",
            "Over this range.",
            [
                Ask(grown(f"{REQUEST}_count", MODEL, by), "Calls"),
                Ask(grown(TOKENS, f'{MODEL}, token_type="input"', by), "Input tokens"),
                Ask(grown(TOKENS, f'{MODEL}, token_type="output"', by), "Output tokens"),
                Ask(grown(COST, MODEL, by), "Cost"),
            ],
            units={"Cost": "currencyUSD"},
        ),
        listing(
            "Calls without a known cost",
            "Over this range: models without a price, and calls without token counts.",
            [Ask(f"{grown(UNPRICED, MODEL, 'model, reason')} > 0", "Calls")],
        ),
    ]
    return page("otel-ext-llm-cost", "LLM cost and tokens", llm_cost.__doc__ or "", parts, {"model": TOKENS})


def agents_and_tools() -> Any:
    """What agents call, how often it fails, and how long it takes."""
    calls, errors = f"{TOOL}_count", f'{CALLED}, status="error"'
    parts = [
        number("Tool calls", "In this range.", grown(calls, CALLED)),
        number(
            "Failed",
            "Share of tool calls in this range.",
            f"({grown(calls, errors)} or vector(0)) / {grown(calls, CALLED)}",
            "percentunit",
            bad_from=0.05,
        ),
        number("p95 of a tool call", "In this range.", quantile(0.95, TOOL, CALLED, window="$__range"), "s"),
        number("Loops", "Findings about loops in this range.", f'{found(f"""{AGENT}, type="loop" """.strip())} or vector(0)', bad_from=1),
        lines(
            "Tool calls a second",
            "By tool.",
            [Ask(rate(calls, CALLED, "tool"), "{{tool}}")],
            "reqps",
            stacked=True,
        ),
        lines(
            "Failed share by tool",
            "Of the calls of each.",
            [Ask(f"{rate(calls, errors, 'tool')} / {rate(calls, CALLED, 'tool')}", "{{tool}}")],
            "percentunit",
        ),
        lines("p95 by tool", "Each dot leads to a call.", [Ask(quantile(0.95, TOOL, CALLED, "tool"), "{{tool}}")], "s", exemplars=True),
        lines("Findings by agent", "All severities.", [Ask(found(AGENT, "agent", EACH), "{{agent}}")], counts=True, exemplars=True),
        listing(
            "Tools",
            "Over this range.",
            [
                Ask(grown(calls, CALLED, "tool"), "Calls"),
                Ask(grown(calls, errors, "tool"), "Failed"),
                Ask(quantile(0.5, TOOL, CALLED, "tool", "$__range"), "p50"),
                Ask(quantile(0.95, TOOL, CALLED, "tool", "$__range"), "p95"),
            ],
            units={"p50": "s", "p95": "s"},
        ),
        row("Traces"),
        traces(
            "Tool calls of traces that Langfuse has",
            "A row opens the trace.",
            f'{{ .{semconv.LANGFUSE_TRACE_ID} != "" && .{semconv.MCP_TOOL} != "" }}',
        ),
        traces(
            "One tool more than ten times in a trace", "Of the tools chosen above.", f'{{ .{semconv.MCP_TOOL} =~ "$tool" }} | count() > 10'
        ),
        traces("Slow tool calls", "Over a second.", f'{{ .{semconv.MCP_TOOL} =~ "$tool" && duration > 1s }}'),
    ]
    return page("otel-ext-agents", "Agents and tools", agents_and_tools.__doc__ or "", parts, {"agent": FINDINGS, "tool": f"{TOOL}_count"})


def pipeline_health() -> Any:
    """Whether otel_ext itself keeps up, and what it gave up."""
    here = f'{JOB}, instance=~"$instance"'
    lost = f'{here}, reason!="idle"'  # a trace that nothing more came for was not lost
    fill = f"{QUEUE}{{{here}}} / {CAPACITY}{{{here}}}"
    parts = [
        number("Running", "Sidecars that answer.", f"count({BUILD}{{{here}}}) or vector(0)"),
        number("Spans a second", "Taken.", rate(ACCEPTED, here)),
        number("Fullest queue", "Share of its bound; at 1 senders are refused.", f"max({fill})", "percentunit", bad_from=0.8),
        number("Given up", "Spans, findings, traces and requests in this range.", rare(DROPPED, lost), bad_from=1),
        lines(
            "Spans taken and refused",
            "A second, by transport.",
            [Ask(rate(ACCEPTED, here, "transport"), "taken {{transport}}"), Ask(rate(REFUSED, here, "transport"), "refused {{transport}}")],
        ),
        lines(
            "Spans delivered and lost",
            "A second, by destination.",
            [Ask(rate(SENT, here, "exporter"), "sent {{exporter}}"), Ask(rate(FAILED, here, "exporter"), "lost {{exporter}}")],
        ),
        lines(
            "Queues",
            "Share of their bound, by destination.",
            [Ask(f"max by (exporter, instance) ({fill})", "{{exporter}} {{instance}}")],
            "percentunit",
        ),
        lines(
            "Time to work on a batch",
            "Reading, judging, rewriting.",
            [Ask(quantile(share, PROCESS, here), f"p{share * 100:g}") for share in (0.5, 0.99)],
            "s",
        ),
        lines("Open traces", "By sidecar; bounded by traces.max_traces.", [Ask(f"sum by (instance) ({OPEN}{{{here}}})", "{{instance}}")]),
        lines(
            "Given up, by reason",
            "In each interval.",
            [Ask(rare(DROPPED, lost, "what, reason", EACH) + " > 0", "{{what}}: {{reason}}")],
            counts=True,
        ),
        lines(
            "Findings told",
            "A second: as scores and alerts, by destination, and those it did not take.",
            [
                Ask(rate(SCORES, here, "exporter"), "sent {{exporter}}"),
                Ask(rate(SCORES_FAILED, here, "exporter"), "lost {{exporter}}"),
            ],
        ),
        lines(
            "Passed on to Langfuse",
            "Requests a second that were no spans, by what became of them.",
            [Ask(rate(STAND_IN, here, "outcome"), "{{outcome}}")],
        ),
        lines(
            "Secrets masked",
            "Secrets a second that were masked before spans left, by what they were.",
            [Ask(rate(REDACTED, here, "exporter, kind"), "{{exporter}} {{kind}}")],
        ),
        lines(
            "Labels without room",
            "Observations that became __other__, a second.",
            [Ask(f"{rate(OVERFLOW, here, 'metric')} > 0", "{{metric}}")],
        ),
        lines("CPU", "Cores in use.", [Ask(f"sum by (instance) (rate(process_cpu_seconds_total{{{here}}}[{INTERVAL}]))", "{{instance}}")]),
        lines("Memory", "Resident.", [Ask(f"sum by (instance) (process_resident_memory_bytes{{{here}}})", "{{instance}}")], "bytes"),
        listing(
            "Instrumentation that is not known",
            "Steps over this range whose scope no dialect knows: read by the generic keys alone.",
            [Ask(f"{rare(UNKNOWN, here, 'scope')} > 0", "Steps")],
        ),
        listing(
            "Versions",
            "What runs where, and whether it took its configuration the last time it read it.",
            [
                Ask(f"max by (instance, version, codec) ({BUILD}{{{here}}})", "Running"),
                Ask(f"min by (instance) ({RELOADED}{{{here}}})", "Configuration taken"),
            ],
        ),
    ]
    return page("otel-ext-health", "Pipeline health", pipeline_health.__doc__ or "", parts, {"instance": BUILD})


PAGES: Final[Mapping[str, Callable[[], Any]]] = {
    "silent-failures.json": silent_failures,
    "llm-cost-and-tokens.json": llm_cost,
    "agents-and-tools.json": agents_and_tools,
    "pipeline-health.json": pipeline_health,
}
