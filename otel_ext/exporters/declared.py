"""Every metric we expose, in one table: the code, the documentation and the tests of dashboards read it."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from otel_ext import semconv

Labels = tuple[str, ...]


class Declared(NamedTuple):
    """One metric: name without the suffix of its type, label names in order, and upper bucket bounds in its unit."""

    name: str
    type: Literal["counter", "gauge", "histogram", "info"]
    unit: str
    labels: Labels
    help: str
    buckets: tuple[float, ...] = ()

    @property
    def exposed(self) -> str:
        """The name that a query uses; of a histogram the family's."""
        return self.name + SUFFIX.get(self.type, "")


MODEL_LABELS: Final = ("model", "operation")
_RECEIVER_LABELS: Final = ("receiver", "transport")
_REQUEST_BUCKETS: Final = (0.5, 1, 2, 5, 10, 20, 30)
_TOOL_BUCKETS: Final = (0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30)
_COST_BUCKETS: Final = (0.0001, 0.001, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 50)
_PROCESS_BUCKETS: Final = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)

METRICS: Final = (
    Declared(
        semconv.TOKENS, "counter", "tokens", (*MODEL_LABELS, "token_type"), "Tokens of model and embedding calls, as the spans state them."
    ),
    Declared(
        semconv.COST,
        "counter",
        "dollars",
        MODEL_LABELS,
        "Cost of model and embedding calls in US dollars: as the spans state it, else by the price list.",
    ),
    Declared(
        semconv.AGENT_COST,
        "counter",
        "dollars",
        ("agent",),
        "The same by agent, as the calls' spans name it, else by service.",
    ),
    Declared(semconv.TOOL_COST, "counter", "dollars", ("tool",), "Cost that the spans of tool calls state themselves, in US dollars."),
    Declared(
        semconv.TRACE_COST,
        "histogram",
        "dollars",
        (),
        "Known cost of the model and embedding calls of a trace, once it has gone quiet.",
        _COST_BUCKETS,
    ),
    Declared(
        semconv.UNPRICED,
        "counter",
        "calls",
        ("model", "reason"),
        "Model and embedding calls without a known cost: unknown_model has no price, no_tokens has a price and no token counts.",
    ),
    Declared(semconv.REQUEST_SECONDS, "histogram", "seconds", MODEL_LABELS, "Duration of model and embedding calls.", _REQUEST_BUCKETS),
    Declared(
        semconv.TOOL_SECONDS, "histogram", "seconds", ("tool", "status"), "Duration of tool calls; status is ok or error.", _TOOL_BUCKETS
    ),
    Declared(semconv.FINDINGS_TOTAL, "counter", "findings", ("type", "rule", "severity", "agent"), "Findings about agent traces."),
    Declared(semconv.OPEN_TRACES, "gauge", "traces", (), "Traces that may still get spans."),
    Declared(semconv.PROCESS_SECONDS, "histogram", "seconds", (), "Time to read, judge and rewrite one batch.", _PROCESS_BUCKETS),
    Declared(semconv.DROPPED, "counter", "items", ("what", "reason"), "What was given up, and why."),
    Declared(
        semconv.UNKNOWN_SCOPE_SPANS,
        "counter",
        "spans",
        ("scope",),
        "Steps of instrumentation that no dialect knows, by scope name.",
    ),
    Declared(
        semconv.SERIES_OVERFLOW,
        "counter",
        "observations",
        ("metric",),
        "Observations whose labels became __other__: the metric had no room.",
    ),
    Declared(semconv.BUILD, "info", "", ("version", "codec"), "The version that runs, and the codec it reads spans with."),
    Declared(
        semconv.RELOADED,
        "gauge",
        "",
        (),
        "1 where the last reading of the configuration went well, 0 where the one before stayed in force.",
    ),
    Declared(semconv.ACCEPTED_SPANS, "counter", "spans", _RECEIVER_LABELS, "Spans taken."),
    Declared(semconv.REFUSED_SPANS, "counter", "spans", _RECEIVER_LABELS, "Spans refused."),
    Declared(semconv.SENT_SPANS, "counter", "spans", ("exporter",), "Spans that the destination took."),
    Declared(semconv.SEND_FAILED_SPANS, "counter", "spans", ("exporter",), "Spans that the destination did not take."),
    Declared(semconv.SENT_SCORES, "counter", "scores", ("exporter",), "Scores that the destination took."),
    Declared(semconv.SEND_FAILED_SCORES, "counter", "scores", ("exporter",), "Scores given up: refused, or the lane was full."),
    Declared(semconv.REDACTED, "counter", "secrets", ("exporter", "kind"), "Secrets masked before spans left, by what they were."),
    Declared(
        semconv.STAND_IN_REQUESTS,
        "counter",
        "requests",
        ("outcome",),
        "Requests passed on to the Langfuse server, by the class of its status or by why there was none.",
    ),
    Declared(semconv.QUEUE_SIZE, "gauge", "batches", ("exporter",), "Batches that wait for the destination."),
    Declared(semconv.QUEUE_CAPACITY, "gauge", "batches", ("exporter",), "Batches that may wait for the destination."),
)
DECLARED: Final = {metric.name: metric for metric in METRICS}
SUFFIX: Final = {"counter": "_total", "info": "_info"}


def metrics_table() -> str:
    """METRICS as a Markdown table."""
    lines = ["| metric | type | unit | labels | buckets | meaning |", "|---|---|---|---|---|---|"]
    for m in METRICS:
        labels = ", ".join(f"`{name}`" for name in m.labels)
        buckets = ", ".join(f"{bound:g}" for bound in m.buckets)
        lines.append(f"| `{m.exposed}` | {m.type} | {m.unit} | {labels} | {buckets} | {m.help} |")
    return "\n".join(lines) + "\n"
