"""Inside an application: the same tables and rules, fed span by span, and context across every boundary.

processor ── reading (attributes -> step, by the codec) ── judging (the shared Verdicts, behind a lock) ── spans (what a span gains)
    └── scopes <── watching (watch), expecting (expect_tools)
carriers (traceparent and baggage in and out) · tools (instrument_mcp_tool) · correlation (two systems, two ids) · records (log lines)
"""
