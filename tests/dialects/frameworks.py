"""Spans of single frameworks, by what their packages write."""

import json

from otel_ext.model import StepKind
from tests.dialects.conventions import ASKED, NESTED_TOOLS, TOOLS
from tests.dialects.kit import Case

LLM, TOOL, AGENT, CHAIN = StepKind.LLM, StepKind.TOOL, StepKind.AGENT, StepKind.CHAIN
HANDOFF, GUARDRAIL = StepKind.HANDOFF, StepKind.GUARDRAIL

CASES = [
    Case(
        "pydantic_ai",
        "running tool",
        {"tool_arguments": '{"q": "x"}', "tool_response": "129", "gen_ai.tool.name": "search", "gen_ai.tool.call.id": "c1"},
        {"kind": TOOL, "tool": "search", "call_id": "c1", "arguments": '{"q": "x"}', "result": "129"},
        scope="pydantic-ai",
    ),
    # A tool that the provider executed itself is none of the application's.
    Case(
        "pydantic_ai",
        "chat gpt",
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.output.messages": json.dumps(
                [
                    {
                        "role": "assistant",
                        "parts": [
                            {"type": "tool_call", "id": "c1", "name": "web_search", "builtin": True, "arguments": {"q": "x"}},
                            {"type": "tool_call_response", "id": "c1", "name": "web_search", "builtin": True, "result": "y"},
                            {"type": "tool_call", "id": "c2", "name": "search", "arguments": {"q": "x"}},
                        ],
                    }
                ]
            ),
        },
        {"requests": [("search", "c2")]},
        scope="pydantic-ai",
    ),
    Case("pydantic_ai", "running 2 tools", {"tools": ["a", "b"]}, {"kind": CHAIN, "step": False}, scope="pydantic-ai"),
    Case(
        "pydantic_ai",
        "agent run",
        {"agent_name": "planner", "final_result": "done", "gen_ai.usage.input_tokens": 300, "model_name": "gpt"},
        {"kind": AGENT, "agent": "planner", "output": "done", "input_tokens": None},
        scope="pydantic-ai",
    ),
    Case(
        "pydantic_ai",
        "chat gpt",
        {
            "gen_ai.operation.name": "chat",
            "operation.cost": 0.5,
            "gen_ai.tool.definitions": TOOLS,
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.details.reasoning_tokens": 6,
            "gen_ai.usage.details.cache_read_tokens": 64,
        },
        {"kind": LLM, "cost": 0.5, "declared": ["search", "book"], "reasoning_tokens": 6, "cached_tokens": 64},
        scope="pydantic-ai",
    ),
    Case(
        "logfire",
        "execute_tool search",
        {"gen_ai.operation.name": "execute_tool", "logfire.span_type": "pending_span"},
        {"kind": CHAIN, "step": False},
        scope="pydantic-ai",
    ),
    Case(
        "logfire",
        "Function: {name}",
        {"name": "search", "input": '{"q": "x"}', "output": "129"},
        {"kind": TOOL, "tool": "search", "arguments": '{"q": "x"}', "result": "129"},
        scope="logfire.openai_agents",
    ),
    Case(
        "logfire",
        "Handoff: {from_agent} → {to_agent}",
        {"from_agent": "a", "to_agent": "b"},
        {"kind": HANDOFF, "tool": "b", "agent": "a"},
        scope="logfire.openai_agents",
    ),
    Case("logfire", "Guardrail {name}", {"triggered": True}, {"kind": GUARDRAIL, "error": True}, scope="logfire.openai_agents"),
    # Bare words are keys in their own scope only.
    Case(
        "logfire",
        "GET /",
        {"name": "search", "input": "x", "model": "gpt", "input_tokens": 5},
        {"kind": StepKind.OTHER, "tool": "", "model": ""},
    ),
    Case(
        "openai_agents_v2",
        "handoff",
        {"gen_ai.operation.name": "agent_handoff", "gen_ai.handoff.from_agent": "a", "gen_ai.handoff.to_agent": "b"},
        {"kind": HANDOFF, "tool": "b", "agent": "a"},
        scope="opentelemetry.instrumentation.openai_agents",
    ),
    Case(
        "openai_agents_v2",
        "guardrail",
        {"gen_ai.operation.name": "guardrail_check", "gen_ai.guardrail.triggered": True},
        {"kind": GUARDRAIL, "error": True, "step": False},
        scope="opentelemetry.instrumentation.openai_agents",
    ),
    Case(
        "langsmith",
        "ChatOpenAI",
        {
            "langsmith.span.kind": "llm",
            "langsmith.metadata.langgraph_node": "model",
            "gen_ai.prompt": json.dumps({"messages": [[{"lc": 1, "kwargs": {"content": "129", "type": "tool", "tool_call_id": "c0"}}]]}),
            "gen_ai.completion": json.dumps(
                {
                    "generations": [
                        [
                            {
                                "message": {
                                    "lc": 1,
                                    "kwargs": {"content": "", "tool_calls": [{"name": "search", "args": {"q": "x"}, "id": "c1"}]},
                                }
                            }
                        ]
                    ]
                }
            ),
            "gen_ai.tool.definitions": NESTED_TOOLS,
            "gen_ai.usage.input_tokens": 100,
            "langsmith.metadata.usage_metadata": json.dumps(
                {"input_tokens": 100, "input_token_details": {"cache_read": 64}, "output_token_details": {"reasoning": 6}}
            ),
            "langsmith.metadata.thread_id": "t1",
            "langsmith.metadata.ls_model_name": "gpt",
        },
        {
            "kind": LLM,
            "model": "gpt",
            "input_tokens": 100,
            "cached_tokens": 64,
            "reasoning_tokens": 6,
            "requests": [("search", "c1")],
            "answers": [("c0", False)],
            "declared": ["search"],
            "conversation": "t1",
        },
        scope="langsmith",
    ),
    Case(
        "langsmith",
        "search",
        {
            "langsmith.span.kind": "tool",
            "gen_ai.operation.name": "execute_tool",
            "langsmith.metadata.ls_integration": "langchain_create_agent",
            "langsmith.metadata.langgraph_node": "tools",
            "gen_ai.prompt": '{"q":"x"}',
            "gen_ai.completion": '{"output":{"content":"129","tool_call_id":"c1","status":"error"}}',
        },
        {"kind": TOOL, "tool": "search", "call_id": "c1", "arguments": '{"q":"x"}', "result": "129", "error": True},
        scope="langsmith",
    ),
    Case(
        "langsmith",
        "planner",
        {"langsmith.span.kind": "chain", "gen_ai.operation.name": "chain", "langsmith.metadata.ls_integration": "langchain_create_agent"},
        {"kind": AGENT, "agent": "planner"},
        scope="langsmith",
    ),
    Case(
        "langsmith",
        "tools",
        {
            "langsmith.span.kind": "chain",
            "langsmith.metadata.ls_integration": "langchain_create_agent",
            "langsmith.metadata.langgraph_node": "tools",
        },
        {"kind": CHAIN},
        scope="langsmith",
    ),
    Case(
        "google_adk",
        "execute_tool search",
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.call.id": "c1",
            "gcp.vertex.agent.tool_call_args": '{"q": "x"}',
            "gcp.vertex.agent.tool_response": "129",
        },
        {"kind": TOOL, "tool": "search", "call_id": "c1", "arguments": '{"q": "x"}', "result": "129"},
        scope="gcp.vertex.agent",
    ),
    Case("google_adk", "execute_tool (merged tools)", {"gen_ai.operation.name": "execute_tool"}, {"step": False}, scope="gcp.vertex.agent"),
    Case(
        "google_adk",
        "execute_tool transfer_to_agent",
        {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "transfer_to_agent"},
        {"kind": HANDOFF, "tool": "transfer_to_agent"},
        scope="gcp.vertex.agent",
    ),
    # What OpenInference writes over an agent's span is one model call of several.
    Case(
        "google_adk",
        "invoke_agent planner",
        {"openinference.span.kind": "LLM", "llm.token_count.prompt": 100, "gen_ai.operation.name": "invoke_agent"},
        {"kind": AGENT, "agent": "planner", "input_tokens": None},
        scope="gcp.vertex.agent",
    ),
    Case(
        "google_adk",
        "call_llm",
        {
            "gcp.vertex.agent.llm_response": json.dumps(
                {"content": {"role": "model", "parts": [{"function_call": {"id": "c1", "name": "search", "args": {"q": "x"}}}]}}
            ),
            "gcp.vertex.agent.llm_request": json.dumps(
                {
                    "config": {"tools": [{"function_declarations": [{"name": "search"}, {"name": "book"}]}]},
                    "contents": [{"role": "user", "parts": [{"function_response": {"id": "c0", "name": "x", "response": {"result": 1}}}]}],
                }
            ),
            "gcp.vertex.agent.session_id": "s1",
        },
        {"kind": LLM, "requests": [("search", "c1")], "answers": [("c0", False)], "declared": ["search", "book"], "conversation": "s1"},
        scope="gcp.vertex.agent",
    ),
    Case(
        "strands",
        "chat",
        {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 100, "gen_ai.usage.prompt_tokens": 100, "session.id": "s1"},
        {
            "kind": LLM,
            "input_tokens": 100,
            "requests": [("search", "c2")],
            "answers": [("c0", False), ("c1", True)],
            "conversation": "s1",
            "truncated": False,
        },
        scope="strands.telemetry.tracer",
        events=[
            ("gen_ai.user.message", {"content": '[{"text": "How much?"}]'}),
            (
                "gen_ai.tool.message",
                {"content": '[{"toolResult": {"toolUseId": "c0", "status": "success", "content": [{"text": "129"}]}}]'},
            ),
            (
                "gen_ai.tool.message",
                {"content": '[{"toolResult": {"toolUseId": "c1", "status": "error", "content": [{"text": "blocked by policy"}]}}]'},
            ),
            (
                "gen_ai.choice",
                {"finish_reason": "tool_use", "message": '[{"toolUse": {"toolUseId": "c2", "name": "search", "input": {"q": "x"}}}]'},
            ),
        ],
    ),
    Case(
        "strands",
        "execute_tool search",
        {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search", "gen_ai.tool.status": "error"},
        {"kind": TOOL, "call_id": "c1", "arguments": '{"q": "x"}', "result": '[{"text": "129"}]', "error": True},
        scope="strands.telemetry.tracer",
        events=[
            ("gen_ai.tool.message", {"role": "tool", "content": '{"q": "x"}', "id": "c1"}),
            ("gen_ai.choice", {"message": '[{"text": "129"}]', "id": "c1"}),
        ],
    ),
    # There is no such tool: a span that says so is no call.
    Case(
        "strands",
        "execute_tool nosuch",
        {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "nosuch", "gen_ai.tool.call.arguments": "{}"},
        {"kind": TOOL, "refused": True, "error": True, "result": '[{"text": "Unknown tool: nosuch"}]'},
        scope="strands.telemetry.tracer",
        events=[
            (
                "gen_ai.client.inference.operation.details",
                {"gen_ai.output.messages": '[{"parts": [{"type": "tool_call_response", "response": [{"text": "Unknown tool: nosuch"}]}]}]'},
            )
        ],
    ),
    Case(
        "google_adk",
        "execute_tool nosuch",
        {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.type": "BaseTool"},
        {"kind": TOOL, "tool": "nosuch", "refused": True, "error": True},
        scope="gcp.vertex.agent",
    ),
    Case(
        "google_adk",
        "execute_tool search",
        {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.type": "FunctionTool"},
        {"kind": TOOL, "tool": "search", "refused": False, "error": False},
        scope="gcp.vertex.agent",
    ),
    Case(
        "strands",
        "invoke_agent planner",
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.tools": '["search", "book"]', "gen_ai.usage.input_tokens": 300},
        {"kind": AGENT, "agent": "planner", "declared": ["search", "book"], "output": "done", "input_tokens": None},
        scope="strands.telemetry.tracer",
        events=[("gen_ai.choice", {"message": "done", "finish_reason": "end_turn"})],
    ),
    Case(
        "microsoft_agent_framework",
        "chat gpt",
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.response.finish_reasons": '["length"]',
            "gen_ai.output.messages": ASKED,
            "gen_ai.tool.definitions": TOOLS,
        },
        {"kind": LLM, "truncated": True, "requests": [("search", "c1")], "declared": ["search", "book"]},
        scope="agent_framework",
    ),
    Case("microsoft_agent_framework", "message.send", {"message.type": "x"}, {"step": False}, scope="agent_framework"),
    Case(
        "semantic_kernel",
        "AutoFunctionInvocationLoop",
        {"sk.available_functions": "travel-search,travel-book"},
        {"kind": CHAIN, "declared": ["travel-search", "travel-book"]},
        scope="semantic_kernel.connectors.ai",
    ),
    Case("autogen", "autogen process planner", {"message": "{}"}, {"step": False}, scope="autogen SingleThreadedAgentRuntime"),
    Case(
        "crewai",
        "call tool",
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "search",
            "crewai.tool.failure.message": "no",
            "crewai.agent.role": "planner",
        },
        {"kind": TOOL, "tool": "search", "error": True, "agent": "planner"},
        scope="crewai.tracing",
    ),
    Case("crewai", "Tool Usage", {"tool_name": "search"}, {"step": False}, scope="crewai.telemetry"),
    Case(
        "haystack",
        "haystack.agent.step.llm",
        {
            "haystack.agent.step.llm.output": json.dumps(
                {
                    "replies": [
                        {
                            "role": "assistant",
                            "meta": {"model": "gpt", "usage": {"prompt_tokens": 100, "completion_tokens": 10}, "finish_reason": "length"},
                            "content": [{"tool_call": {"tool_name": "search", "arguments": {"q": "x"}, "id": "c1"}}],
                        }
                    ]
                }
            ),
            "haystack.agent.step.llm.input": json.dumps(
                {
                    "messages": [
                        {"role": "tool", "content": [{"tool_call_result": {"result": "129", "origin": {"id": "c0"}, "error": False}}]}
                    ]
                }
            ),
            "haystack.agent.tools": json.dumps([{"type": "haystack.tools.tool.Tool", "data": {"name": "search"}}]),
        },
        {
            "kind": LLM,
            "model": "gpt",
            "input_tokens": 100,
            "output_tokens": 10,
            "requests": [("search", "c1")],
            "answers": [("c0", False)],
            "declared": ["search"],
            "truncated": True,
        },
    ),
    Case(
        "haystack",
        "haystack.agent.step.tool",
        {
            "haystack.tool.name": "search",
            "haystack.agent.step.tool.input": "in",
            "haystack.agent.step.tool.output": "out",
            "haystack.tool.error": True,
        },
        {"kind": TOOL, "tool": "search", "arguments": "in", "result": "out", "error": True},
    ),
    Case(
        "llamaindex_otel",
        "FunctionTool.acall",
        {"llamaindex.step.input_summary": "ToolCall(tool_name='search', tool_kwargs={'q': 'x'}, tool_id='c1')"},
        {"kind": TOOL, "tool": "search", "call_id": "c1", "arguments": "{'q': 'x'}"},
        scope="llamaindex.opentelemetry.tracer",
    ),
    Case("llamaindex_otel", "OpenAI.achat", {"llamaindex.run_id": "r1"}, {"kind": CHAIN}, scope="llamaindex.opentelemetry.tracer"),
    Case(
        "llamaindex_otel",
        "OpenAI.achat",
        {"llamaindex.run_id": "r1"},
        {
            "kind": LLM,
            "model": "gpt",
            "input_tokens": 100,
            "cached_tokens": 64,
            "requests": [("search", "c1")],
            "answers": [("c0", False)],
            "declared": ["search"],
            "conversation": "r1",
        },
        scope="llamaindex.opentelemetry.tracer",
        events=[
            ("LLMChatStartEvent", {"class_name": "LLMChatStartEvent", "additional_kwargs.tools": NESTED_TOOLS}),
            (
                "LLMChatEndEvent",
                {
                    "class_name": "LLMChatEndEvent",
                    "response.raw.model": "gpt",
                    "response.raw.usage.prompt_tokens": 100,
                    "response.raw.usage.prompt_tokens_details.cached_tokens": 64,
                    "response.raw.choices": json.dumps(
                        [{"message": {"content": None, "tool_calls": [{"id": "c1", "function": {"name": "search", "arguments": "{}"}}]}}]
                    ),
                    "messages": json.dumps(
                        [
                            {
                                "role": "tool",
                                "additional_kwargs": {"tool_call_id": "c0"},
                                "blocks": [{"block_type": "text", "text": "129"}],
                            }
                        ]
                    ),
                },
            ),
        ],
    ),
]
