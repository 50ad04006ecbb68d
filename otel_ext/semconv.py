"""Every attribute, event and metric name that is not a dialect's: what we add, what we measure. One place, once.

What instrumentations emit is in `otel_ext.dialects`, as tables.
"""

from typing import Final

# Links, on spans (design 1.4)
LANGFUSE_TRACE_ID: Final = "langfuse.trace_id"
LANGFUSE_TRACE_URL: Final = "langfuse.trace_url"
LANGFUSE_MODEL: Final = "langfuse.model"
MCP_TOOL: Final = "mcp.tool"

# Findings, on spans
FINDINGS: Final = "otel_ext.findings"
SEVERITY: Final = "otel_ext.severity"
EXPECTED_TOOLS: Final = "otel_ext.expected_tools"
FINDING_EVENT: Final = "otel_ext.finding"
FINDING_SPAN_PREFIX: Final = "otel_ext finding "
FINDING_TYPE: Final = "type"
FINDING_RULE: Final = "rule"
FINDING_SEVERITY: Final = "severity"
FINDING_MESSAGE: Final = "message"

# What the Langfuse projection carries
OBSERVATION_TYPE: Final = "langfuse.observation.type"
OBSERVATION_LEVEL: Final = "langfuse.observation.level"
OBSERVATION_STATUS: Final = "langfuse.observation.status_message"
OBSERVATION_METADATA: Final = "langfuse.observation.metadata."
TEMPO_SPAN_ID: Final = "langfuse.observation.metadata.tempo_span_id"
TEMPO_TRACE_ID: Final = "langfuse.trace.metadata.tempo_trace_id"
TEMPO_URL: Final = "langfuse.trace.metadata.tempo_url"
IS_APP_ROOT: Final = "langfuse.internal.is_app_root"

# Metrics (design 1.6)
TOKENS: Final = "llm_tokens_used"
COST: Final = "llm_cost_dollars"
AGENT_COST: Final = "otel_ext_agent_cost_dollars"
TOOL_COST: Final = "otel_ext_tool_cost_dollars"
TRACE_COST: Final = "otel_ext_trace_cost_dollars"
UNPRICED: Final = "otel_ext_unpriced_calls"
REQUEST_SECONDS: Final = "llm_request_duration_seconds"
TOOL_SECONDS: Final = "mcp_tool_duration_seconds"
FINDINGS_TOTAL: Final = "otel_ext_findings"
OPEN_TRACES: Final = "otel_ext_open_traces"
PROCESS_SECONDS: Final = "otel_ext_process_seconds"
DROPPED: Final = "otel_ext_dropped"
UNKNOWN_SCOPE_SPANS: Final = "otel_ext_unknown_scope_spans"
ACCEPTED_SPANS: Final = "otelcol_receiver_accepted_spans"
REFUSED_SPANS: Final = "otelcol_receiver_refused_spans"
SENT_SPANS: Final = "otelcol_exporter_sent_spans"
SEND_FAILED_SPANS: Final = "otelcol_exporter_send_failed_spans"
SENT_SCORES: Final = "otel_ext_scores_sent"
SEND_FAILED_SCORES: Final = "otel_ext_scores_send_failed"
REDACTED: Final = "otel_ext_redacted"
STAND_IN_REQUESTS: Final = "otel_ext_stand_in_requests"
QUEUE_SIZE: Final = "otelcol_exporter_queue_size"
QUEUE_CAPACITY: Final = "otelcol_exporter_queue_capacity"

SCOPE: Final = "otel_ext"
OTHER_LABEL: Final = "__other__"
SERIES_OVERFLOW: Final = "otel_ext_series_overflow"
RELOADED: Final = "otel_ext_config_last_reload_successful"
BUILD: Final = "otel_ext_build"
