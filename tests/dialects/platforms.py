"""Spans of frameworks in other languages, and of platforms: by their sources and documentation."""

import json

from otel_ext.model import StepKind
from tests.dialects.conventions import ASKED
from tests.dialects.kit import Case

LLM, TOOL, AGENT, CHAIN = StepKind.LLM, StepKind.TOOL, StepKind.AGENT, StepKind.CHAIN
HANDOFF = StepKind.HANDOFF

CASES = [
    Case(
        "litellm",
        "litellm_request",
        {
            "gen_ai.operation.name": "chat",
            "hidden_params": '{"response_cost": 0.5}',
            "gen_ai.completion.0.function_call.name": "search",
            "gen_ai.completion.0.function_call.arguments": "{}",
            "metadata.user_api_key_user_id": "u1",
            "llm.request.functions.0.name": "search",
        },
        {"kind": LLM, "cost": 0.5, "requests": [("search", "")], "user": "u1", "declared": ["search"]},
        scope="litellm",
    ),
    Case(
        "litellm", "raw_gen_ai_request", {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 1}, {"step": False}, scope="litellm"
    ),
    Case(
        "vercel_ai",
        "ai.generateText.doGenerate",
        {
            "ai.operationId": "ai.generateText.doGenerate",
            "ai.model.id": "gpt",
            "ai.usage.promptTokens": 100,
            "ai.usage.completionTokens": 10,
            "ai.usage.cachedInputTokens": 64,
            "ai.usage.reasoningTokens": 4,
            "ai.response.toolCalls": json.dumps([{"toolCallId": "c1", "toolName": "search", "input": {"q": "x"}}]),
            "ai.prompt.messages": json.dumps(
                [{"role": "tool", "content": [{"type": "tool-result", "toolCallId": "c0", "toolName": "x", "output": {"value": "129"}}]}]
            ),
            "ai.prompt.tools": [json.dumps({"type": "function", "name": "search"}), json.dumps({"type": "function", "name": "book"})],
            "ai.response.finishReason": "length",
            "ai.telemetry.functionId": "planner",
            "ai.telemetry.metadata.sessionId": "s1",
            "ai.telemetry.metadata.userId": "u1",
        },
        {
            "kind": LLM,
            "model": "gpt",
            "input_tokens": 100,
            "output_tokens": 10,
            "cached_tokens": 64,
            "reasoning_tokens": 4,
            "requests": [("search", "c1")],
            "answers": [("c0", False)],
            "declared": ["search", "book"],
            "truncated": True,
            "agent": "planner",
            "conversation": "s1",
            "user": "u1",
        },
        scope="ai",
    ),
    Case(
        "vercel_ai",
        "ai.generateText",
        {"ai.operationId": "ai.generateText", "ai.usage.promptTokens": 300, "ai.response.text": "done"},
        {"kind": AGENT, "input_tokens": None, "output": "done"},
        scope="ai",
    ),
    Case(
        "vercel_ai",
        "ai.toolCall",
        {
            "ai.operationId": "ai.toolCall",
            "ai.toolCall.name": "search",
            "ai.toolCall.id": "c1",
            "ai.toolCall.args": "{}",
            "ai.toolCall.result": "129",
        },
        {"kind": TOOL, "tool": "search", "call_id": "c1", "arguments": "{}", "result": "129"},
        scope="ai",
    ),
    # The name is the model's, not the agent's.
    Case("vercel_ai", "invoke_agent gpt", {"gen_ai.operation.name": "invoke_agent"}, {"kind": AGENT, "agent": ""}, scope="gen_ai"),
    Case(
        "mastra",
        "tool: search",
        {"mastra.span.type": "tool_call", "gen_ai.tool.name": "search", "mastra.tool_call.input": "in", "mastra.tool_call.output": "out"},
        {"kind": TOOL, "tool": "search", "arguments": "in", "result": "out"},
        scope="@mastra/otel-exporter",
    ),
    Case(
        "mastra",
        "invoke_agent planner",
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.tool.definitions": '["search","book"]'},
        {"kind": AGENT, "agent": "planner", "declared": ["search", "book"]},
        scope="@mastra/otel-exporter",
    ),
    Case(
        "mastra",
        "model_generation gpt-4o",
        {"mastra.span.type": "model_generation", "gen_ai.operation.name": "model_generation"},
        {"kind": CHAIN},
        scope="@mastra/otel-exporter",
    ),
    Case(
        "mastra",
        "chat gpt-4o within a generation",
        {"mastra.span.type": "model_inference", "gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 7},
        {"kind": LLM, "input_tokens": 7},
        scope="@mastra/otel-exporter",
    ),
    Case(
        "mastra",
        "chat gpt-4o without inferences",
        {"mastra.span.type": "model_generation", "gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 7},
        {"kind": LLM, "input_tokens": 7},
        scope="@mastra/otel-exporter",
    ),
    Case(
        "mastra",
        "step",
        {"mastra.span.type": "model_step", "gen_ai.operation.name": "chat"},
        {"kind": CHAIN},
        scope="@mastra/otel-exporter",
    ),
    Case(
        "livekit",
        "function_tool",
        {
            "lk.function_tool.name": "search",
            "lk.function_tool.id": "c1",
            "lk.pii.function_tool.arguments": "{}",
            "lk.pii.function_tool.output": "no",
            "lk.function_tool.is_error": True,
        },
        {"kind": TOOL, "tool": "search", "call_id": "c1", "arguments": "{}", "result": "no", "error": True},
        scope="livekit-agents",
    ),
    Case(
        "livekit",
        "llm_node",
        {"lk.function_tools": ["search", "book"]},
        {"kind": CHAIN, "declared": ["search", "book"]},
        scope="livekit-agents",
    ),
    Case(
        "livekit",
        "llm_request",
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.usage.input_cached_tokens": 64,
            "lk.pii.response.function_calls": json.dumps([{"id": "i", "call_id": "c1", "name": "search", "arguments": "{}"}]),
            "lk.pii.chat_ctx": json.dumps(
                {"items": [{"type": "function_call_output", "call_id": "c0", "output": "129", "is_error": False}]}
            ),
        },
        {"kind": LLM, "cached_tokens": 64, "requests": [("search", "c1")], "answers": [("c0", False)]},
        scope="livekit-agents",
    ),
    Case(
        "mlflow",
        "search",
        {"mlflow.spanType": '"TOOL"', "mlflow.spanInputs": '{"q": "x"}', "mlflow.spanOutputs": '"129"'},
        {"kind": TOOL, "tool": "search", "arguments": '{"q": "x"}'},
        scope="mlflow.tracing",
    ),
    Case(
        "mlflow",
        "Completions",
        {
            "mlflow.spanType": '"CHAT_MODEL"',
            "mlflow.llm.model": '"gpt"',
            "mlflow.chat.tokenUsage": '{"input_tokens": 100, "output_tokens": 10, "cache_read_input_tokens": 64}',
            "mlflow.llm.cost": '{"total_cost": 0.5}',
            "mlflow.trace.session": '"s1"',
            "mlflow.trace.user": '"u1"',
            "mlflow.spanOutputs": json.dumps(
                {
                    "choices": [
                        {"message": {"content": None, "tool_calls": [{"id": "c1", "function": {"name": "search", "arguments": "{}"}}]}}
                    ]
                }
            ),
            "mlflow.spanInputs": json.dumps({"messages": [{"role": "tool", "tool_call_id": "c0", "content": "129"}]}),
            "mlflow.chat.tools": json.dumps([{"type": "function", "function": {"name": "search"}}]),
        },
        {
            "kind": LLM,
            "model": "gpt",
            "input_tokens": 100,
            "output_tokens": 10,
            "cached_tokens": 64,
            "cost": 0.5,
            "conversation": "s1",
            "user": "u1",
            "requests": [("search", "c1")],
            "answers": [("c0", False)],
            "declared": ["search"],
        },
        scope="mlflow.tracing",
    ),
    Case(
        "claude_code",
        "claude_code.llm_request",
        {
            "model": "claude",
            "input_tokens": 48,
            "cache_read_tokens": 64,
            "cache_creation_tokens": 8,
            "output_tokens": 22,
            "stop_reason": "max_tokens",
        },
        {
            "kind": LLM,
            "model": "claude",
            "input_tokens": 120,
            "cached_tokens": 64,
            "cache_write_tokens": 8,
            "output_tokens": 22,
            "truncated": True,
        },
        scope="com.anthropic.claude_code.tracing",
    ),
    Case(
        "claude_code",
        "claude_code.tool",
        {"tool_name": "Bash", "tool_use_id": "c1", "tool_input": "ls", "success": False},
        {"kind": TOOL, "tool": "Bash", "call_id": "c1", "arguments": "ls", "result": "no", "error": True},
        scope="com.anthropic.claude_code.tracing",
        events=[("tool.output", {"output": "no"})],
    ),
    Case("claude_code", "claude_code.tool.execution", {"tool_name": "Bash"}, {"step": False}, scope="com.anthropic.claude_code.tracing"),
    Case("claude_code", "claude_code.interaction", {}, {"kind": AGENT}, scope="com.anthropic.claude_code.tracing"),
    Case(
        "anthropic_native",
        "anthropic.messages.create",
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.usage.input_tokens": 120,
            "gen_ai.usage.cache_read.input_tokens": 64,
            "anthropic.message.stop_reason": "max_tokens",
            "gen_ai.output.messages": ASKED,
        },
        {"kind": LLM, "input_tokens": 120, "truncated": True, "requests": [("search", "c1")]},
        scope="com.anthropic.sdk.python",
    ),
    # What the provider executed itself was asked for, but not of the application.
    Case(
        "anthropic_native",
        "anthropic.messages.create",
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.output.messages": json.dumps(
                [
                    {
                        "role": "assistant",
                        "parts": [{"type": "server_tool_call", "id": "srvtoolu_1", "name": "web_search", "server_tool_call": {}}],
                    }
                ]
            ),
        },
        {"requests": []},
        scope="com.anthropic.sdk.python",
    ),
    Case(
        "anthropic_native",
        "anthropic.custom_tool_use search",
        {"anthropic.tool_result.content": "129", "gen_ai.tool.call.id": "c1"},
        {"kind": TOOL, "tool": "search", "call_id": "c1", "result": "129"},
        scope="com.anthropic.sdk.python",
    ),
    Case(
        "dify",
        "LLM node",
        {"gen_ai.span.kind": "LLM", "gen_ai.usage.input_tokens": 100, "gen_ai.user.id": "u1"},
        {"kind": LLM, "input_tokens": 100, "user": "u1"},
        scope="dify",
    ),
    Case(
        "openlit",
        "openai.chat",
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.usage.cost": 0.5,
            "gen_ai.response.tool_calls": json.dumps([{"id": "c1", "type": "function", "function": {"name": "search", "arguments": "{}"}}]),
            "gen_ai.agent.tools": '["search"]',
        },
        {"kind": LLM, "cost": 0.5, "declared": ["search"], "requests": [("search", "c1")]},
        scope="openlit.otel",
    ),
    Case(
        "agentops",
        "openai.chat.completion",
        {
            "agentops.span.kind": "llm",
            "gen_ai.usage.prompt_tokens": 100,
            "gen_ai.usage.total_cost": 0.5,
            "gen_ai.completion.0.tool_calls.0.id": "c1",
            "gen_ai.completion.0.tool_calls.0.name": "search",
            "gen_ai.request.tools.0.name": "search",
            "gen_ai.request.tools.0.description": "searches",
        },
        {"kind": LLM, "input_tokens": 100, "cost": 0.5, "requests": [("search", "c1")], "declared": ["search"]},
        scope="agentops",
    ),
    Case(
        "agentops",
        "search.tool",
        {"agentops.span.kind": "tool", "tool.parameters": "in", "tool.result": "out"},
        {"kind": TOOL, "tool": "search", "arguments": "in", "result": "out"},
        scope="agentops",
    ),
    Case(
        "laminar",
        "search",
        {"lmnr.span.type": "TOOL", "lmnr.span.input": "in"},
        {"kind": TOOL, "tool": "search", "arguments": "in"},
        scope="lmnr",
    ),
    Case(
        "genkit",
        "search",
        {"genkit:metadata:subtype": "tool", "genkit:input": "in", "genkit:output": "out"},
        {"kind": TOOL, "tool": "search", "arguments": "in", "result": "out"},
        scope="genkit-tracer",
    ),
]
