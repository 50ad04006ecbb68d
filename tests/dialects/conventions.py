"""Spans of the shared conventions and of the instrumentations that cover many frameworks."""

import json

from otel_ext.model import StepKind
from tests.dialects.kit import Case

LLM, TOOL, AGENT, CHAIN = StepKind.LLM, StepKind.TOOL, StepKind.AGENT, StepKind.CHAIN
HANDOFF, MCP, OTHER, GUARDRAIL = StepKind.HANDOFF, StepKind.MCP, StepKind.OTHER, StepKind.GUARDRAIL

ASKED = json.dumps(
    [
        {
            "role": "assistant",
            "parts": [{"type": "tool_call", "id": "c1", "name": "search", "arguments": {"q": "x"}}],
            "finish_reason": "tool_call",
        }
    ]
)
TOLD = json.dumps([{"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "129"}]}])
TOOLS = json.dumps([{"type": "function", "name": "search"}, {"type": "function", "name": "book"}])
NESTED_TOOLS = json.dumps([{"type": "function", "function": {"name": "search"}}])

CASES = [
    Case(
        "otel_genai",
        "chat gpt",
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "gpt",
            "gen_ai.response.model": "gpt-1",
            "gen_ai.conversation.id": "conv",
            "user.id": "u1",
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.output_tokens": 10,
            "gen_ai.usage.cache_read.input_tokens": 64,
            "gen_ai.usage.cache_write.input_tokens": 8,
            "gen_ai.usage.reasoning.output_tokens": 4,
            "gen_ai.output.messages": ASKED,
            "gen_ai.input.messages": TOLD,
            "gen_ai.tool.definitions": TOOLS,
            "gen_ai.response.finish_reasons": ["length"],
        },
        {
            "kind": LLM,
            "model": "gpt-1",
            "conversation": "conv",
            "user": "u1",
            "input_tokens": 100,
            "output_tokens": 10,
            "cached_tokens": 64,
            "cache_write_tokens": 8,
            "reasoning_tokens": 4,
            "requests": [("search", "c1")],
            "answers": [("c1", False)],
            "declared": ["search", "book"],
            "truncated": True,
        },
    ),
    Case(
        "otel_genai",
        "execute_tool search",
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.call.id": "c1",
            "gen_ai.tool.call.arguments": '{"q": "x"}',
            "gen_ai.tool.call.result": "129",
            "error.type": "ValueError",
        },
        {"kind": TOOL, "tool": "search", "call_id": "c1", "arguments": '{"q": "x"}', "result": "129", "error": True},
    ),
    # The agent's totals are its calls' tokens once more.
    Case(
        "otel_genai",
        "invoke_agent planner",
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 300, "gen_ai.usage.output_tokens": 30},
        {"kind": AGENT, "agent": "planner", "input_tokens": None, "output_tokens": None},
    ),
    Case("otel_genai", "create_agent planner", {"gen_ai.operation.name": "create_agent"}, {"kind": OTHER, "step": False}),
    # No operation: only a tool has a call id, only a model call a model that answered.
    Case("otel_genai", "x", {"gen_ai.tool.name": "search", "gen_ai.tool.call.id": "c1"}, {"kind": TOOL, "tool": "search"}),
    Case("otel_genai", "x", {"gen_ai.response.model": "gpt-1", "gen_ai.usage.input_tokens": 7}, {"kind": LLM, "input_tokens": 7}),
    Case(
        "otel_genai_legacy",
        "chat",
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.usage.prompt_tokens": 100,
            "gen_ai.usage.completion_tokens": 10,
            "gen_ai.usage.cache_read_input_tokens": 64,
            "gen_ai.usage.cache_creation_input_tokens": 8,
            "gen_ai.usage.reasoning_tokens": 4,
            "gen_ai.usage.cost": 0.5,
            "gen_ai.response.finish_reason": "max_tokens",
        },
        {
            "input_tokens": 100,
            "output_tokens": 10,
            "cached_tokens": 64,
            "cache_write_tokens": 8,
            "reasoning_tokens": 4,
            "cost": 0.5,
            "truncated": True,
        },
    ),
    Case(
        "otel_genai_legacy",
        "chat",
        {"gen_ai.operation.name": "chat"},
        {"requests": [("search", "c1")], "answers": [("c1", False)], "declared": ["search", "book"]},
        events=[
            (
                "gen_ai.client.inference.operation.details",
                {"gen_ai.output.messages": ASKED, "gen_ai.input.messages": TOLD, "gen_ai.tool.definitions": TOOLS},
            )
        ],
    ),
    # No call takes no tokens: where nothing was sent, some write zeros.
    Case(
        "openinference",
        "OpenAIChatCompletionClient.create",
        {"openinference.span.kind": "LLM", "llm.token_count.prompt": 0, "llm.token_count.completion": 0},
        {"kind": LLM, "input_tokens": None, "output_tokens": None},
        scope="openinference.instrumentation.autogen_agentchat",
    ),
    # Nothing sent stays unknown, it is no zero.
    Case(
        "otel_genai",
        "chat",
        {"gen_ai.operation.name": "chat"},
        {"input_tokens": None, "output_tokens": None, "cached_tokens": None, "cost": None, "user": ""},
    ),
    Case(
        "mcp",
        "MCP send tools/call search",
        {"mcp.method.name": "tools/call"},
        {"kind": MCP, "tool": "search", "step": True},
        scope="mcp-python-sdk",
        kind=3,
    ),
    Case(
        "mcp",
        "tools/call search",
        {"mcp.method.name": "tools/call", "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"},
        {"kind": MCP, "tool": "search", "step": True},
        scope="mcp-python-sdk",
        kind=2,
    ),
    Case("mcp", "tools/list", {"mcp.method.name": "tools/list"}, {"step": False}, scope="mcp-python-sdk", kind=3),
    Case(
        "openinference",
        "ChatCompletion",
        {
            "openinference.span.kind": "LLM",
            "llm.model_name": "gpt-1",
            "llm.token_count.prompt": 100,
            "llm.token_count.completion": 10,
            "llm.token_count.prompt_details.cache_read": 64,
            "llm.token_count.prompt_details.cache_write": 8,
            "llm.token_count.completion_details.reasoning": 4,
            "llm.cost.total": 0.25,
            "session.id": "s1",
            "user.id": "u1",
            "llm.output_messages.0.message.tool_calls.0.tool_call.id": "c1",
            "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "search",
            "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": "{}",
            "llm.input_messages.1.message.tool_call_id": "c0",
            "llm.input_messages.1.message.content": "Error: tool x is not a valid tool",
            "llm.tools.0.tool.json_schema": json.dumps({"type": "function", "function": {"name": "search"}}),
            "llm.tools.1.tool.json_schema": json.dumps({"name": "book", "input_schema": {}}),
            "llm.finish_reason": "length",
        },
        {
            "kind": LLM,
            "model": "gpt-1",
            "input_tokens": 100,
            "output_tokens": 10,
            "cached_tokens": 64,
            "cache_write_tokens": 8,
            "reasoning_tokens": 4,
            "cost": 0.25,
            "conversation": "s1",
            "user": "u1",
            "requests": [("search", "c1")],
            "answers": [("c0", True)],
            "declared": ["search", "book"],
            "truncated": True,
        },
        scope="openinference.instrumentation.openai",
    ),
    Case(
        "openinference",
        "search",
        {
            "openinference.span.kind": "TOOL",
            "tool.name": "search",
            "tool_call.id": "c1",
            "input.value": '{"q": "x"}',
            "output.value": "129",
            "metadata": '{"thread_id": "t1", "user_id": "u2", "lc_agent_name": "planner"}',
        },
        {
            "kind": TOOL,
            "tool": "search",
            "call_id": "c1",
            "arguments": '{"q": "x"}',
            "result": "129",
            "conversation": "t1",
            "user": "u2",
        },
        scope="openinference.instrumentation.langchain",
    ),
    Case(
        "openinference",
        "handoff to booking",
        {"openinference.span.kind": "TOOL"},
        {"kind": HANDOFF, "tool": "booking"},
        scope="openinference.instrumentation.openai_agents",
    ),
    # openai-agents: the span around all agents is none of them, whatever the application called the trace.
    Case(
        "openinference",
        "My trace",
        {"openinference.span.kind": "AGENT"},
        {"kind": CHAIN},
        scope="openinference.instrumentation.openai_agents",
    ),
    Case(
        "openinference",
        "planner",
        {"openinference.span.kind": "AGENT", "agent.name": "planner", "graph.node.id": "planner", "output.value": "done"},
        {"kind": AGENT, "agent": "planner", "output": "done"},
        scope="openinference.instrumentation.openai_agents",
    ),
    Case(
        "openinference",
        "FunctionTool.acall",
        {
            "openinference.span.kind": "TOOL",
            "tool.name": "search",
            "input.value": '{"kwargs": {"q": "x"}}',
            "output.value": '{"raw_output": "129"}',
        },
        {"kind": TOOL, "arguments": '{"q": "x"}', "result": "129"},
        scope="openinference.instrumentation.llama_index",
    ),
    Case(
        "openinference",
        "OpenAI._prepare_chat_with_tools",
        {"openinference.span.kind": "LLM"},
        {"kind": CHAIN},
        scope="openinference.instrumentation.llama_index",
    ),
    Case(
        "openinference",
        "FunctionAgent.run",
        {"openinference.span.kind": "CHAIN"},
        {"kind": AGENT, "agent": "Function"},
        scope="openinference.instrumentation.llama_index",
    ),
    Case(
        "smolagents",
        "travel_agent.run",
        {"openinference.span.kind": "AGENT", "llm.token_count.prompt": 300, "smolagents.tools_names": ["search", "final_answer"]},
        {"kind": AGENT, "agent": "travel_agent", "input_tokens": None, "declared": ["search", "final_answer"]},
        scope="openinference.instrumentation.smolagents",
    ),
    Case(
        "crewai",
        "Travel.kickoff",
        {"openinference.span.kind": "AGENT"},
        {"kind": CHAIN},
        scope="openinference.instrumentation.crewai",
    ),
    # claude-agent-sdk has its tokens nowhere else.
    Case(
        "openinference",
        "ClaudeAgentSDK.query",
        {"openinference.span.kind": "AGENT", "llm.token_count.prompt": 300, "llm.token_count.completion": 30, "llm.cost.total": 0.5},
        {"kind": AGENT, "input_tokens": 300, "output_tokens": 30, "cost": 0.5},
        scope="openinference.instrumentation.claude_agent_sdk",
    ),
    Case(
        "openllmetry",
        "openai.chat",
        {
            "llm.request.type": "chat",
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.completion.0.content": "",
            "gen_ai.completion.0.finish_reason": "tool_calls",
            "gen_ai.completion.0.tool_calls.0.id": "c1",
            "gen_ai.completion.0.tool_calls.0.name": "search",
            "gen_ai.completion.0.tool_calls.0.arguments": "{}",
            "gen_ai.prompt.2.role": "tool",
            "gen_ai.prompt.2.tool_call_id": "c0",
            "gen_ai.prompt.2.content": "129",
            "llm.request.functions.0.name": "search",
            "llm.request.functions.0.description": "searches",
            "traceloop.association.properties.session_id": "s1",
            "traceloop.association.properties.user_id": "u1",
        },
        {
            "kind": LLM,
            "input_tokens": 100,
            "requests": [("search", "c1")],
            "answers": [("c0", False)],
            "declared": ["search"],
            "conversation": "s1",
            "user": "u1",
        },
        scope="opentelemetry.instrumentation.openai.v1",
    ),
    Case(
        "openllmetry",
        "execute_tool search",
        {
            "gen_ai.operation.name": "execute_tool",
            "traceloop.span.kind": "tool",
            "gen_ai.tool.name": "search",
            "gen_ai.tool.call.arguments": json.dumps({"input_str": "{'q': 'x'}", "metadata": {"run": "7c1"}, "inputs": {"q": "x"}}),
            "gen_ai.tool.call.result": json.dumps(
                {"output": {"lc": 1, "kwargs": {"content": "129", "tool_call_id": "c1", "status": "error"}}}
            ),
            "traceloop.association.properties.lc_agent_name": "planner",
            "traceloop.association.properties.thread_id": "t1",
        },
        {
            "kind": TOOL,
            "call_id": "c1",
            "arguments": '{"q": "x"}',
            "result": "129",
            "error": True,
            "agent": "planner",
            "conversation": "t1",
        },
        scope="opentelemetry.instrumentation.langchain",
    ),
    Case(
        "openllmetry",
        "planner.workflow",
        {"gen_ai.operation.name": "invoke_agent", "traceloop.span.kind": "workflow"},
        {"kind": CHAIN},
        scope="opentelemetry.instrumentation.langchain",
    ),
    Case(
        "openllmetry",
        "search.tool",
        {"traceloop.span.kind": "tool", "traceloop.entity.input": "in", "traceloop.entity.output": "out"},
        {"kind": TOOL, "tool": "search", "arguments": "in", "result": "out"},
        scope="traceloop.tracer",
    ),
    Case(
        "openllmetry",
        "A → unknown.handoff",
        {
            "traceloop.span.kind": "handoff",
            "gen_ai.operation.name": "handoff",
            "gen_ai.handoff.to_agent": "B",
            "gen_ai.handoff.from_agent": "A",
        },
        {"kind": HANDOFF, "tool": "B", "agent": "A"},
        scope="opentelemetry.instrumentation.openai_agents",
    ),
    Case(
        "langfuse",
        "llm-call",
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.model.name": "gpt",
            "langfuse.observation.usage_details": '{"input": 56, "input_cached_tokens": 64, "output": 22, "total": 142}',
            "langfuse.observation.cost_details": '{"total": 0.5}',
            "langfuse.observation.output": json.dumps(
                {"role": "assistant", "tool_calls": [{"id": "c1", "function": {"name": "search", "arguments": "{}"}}]}
            ),
            "langfuse.observation.input": json.dumps([{"role": "tool", "tool_call_id": "c0", "content": "Blocked by policy"}]),
            "session.id": "s1",
            "user.id": "u1",
        },
        {
            "kind": LLM,
            "model": "gpt",
            "input_tokens": 120,
            "cached_tokens": 64,
            "output_tokens": 22,
            "cost": 0.5,
            "requests": [("search", "c1")],
            "answers": [("c0", True)],
            "conversation": "s1",
            "user": "u1",
        },
        scope="langfuse-sdk",
    ),
    # OpenAI's own counts, as the wrapped client hands them on, are with cached tokens.
    Case(
        "langfuse",
        "OpenAI-generation",
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.usage_details": json.dumps(
                {"prompt_tokens": 120, "completion_tokens": 22, "prompt_tokens_details": {"cached_tokens": 64}}
            ),
        },
        {"input_tokens": 120, "cached_tokens": 64, "output_tokens": 22},
        scope="langfuse-sdk",
    ),
    Case(
        "langfuse",
        "search",
        {
            "langfuse.observation.type": "tool",
            "langfuse.observation.input": "in",
            "langfuse.observation.output": "out",
            "langfuse.observation.level": "ERROR",
        },
        {"kind": TOOL, "tool": "search", "arguments": "in", "result": "out", "error": True},
        scope="langfuse-sdk",
    ),
]
