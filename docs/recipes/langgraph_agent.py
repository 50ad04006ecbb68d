"""A LangGraph agent that stops its own loop: `python docs/recipes/langgraph_agent.py`.

LangGraph makes no spans by itself: `instrument_mcp_tool` on each tool is enough for loops. The edge after the tools looks at the run, so
that the graph takes its fallback branch instead of running into the recursion limit. The model is a script.
"""

from __future__ import annotations

from typing import Any

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from opentelemetry.sdk.trace import TracerProvider

from otel_ext import AgentSpanProcessor, instrument_mcp_tool, watch

provider = TracerProvider()
provider.add_span_processor(AgentSpanProcessor())

CALLS: list[str] = []


@tool
@instrument_mcp_tool(tracer_provider=provider)
def search(q: str) -> str:
    """Look things up."""
    CALLS.append(q)
    return "no results"


def scripted_model() -> GenericFakeChatModel:
    """Asks for the same search for ever."""
    calls = (AIMessage("", tool_calls=[{"name": "search", "args": {"q": "hotel"}, "id": f"call_{number}"}]) for number in range(100))
    return GenericFakeChatModel(messages=calls)


def build(model: Any, run: watch) -> Any:
    """Agent -> tools -> agent, or the fallback once the run is found to loop."""

    def agent(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    def fallback(_state: MessagesState) -> dict[str, Any]:
        finding = run.found("loop")
        return {"messages": [AIMessage(f"I could not find that. ({finding.message if finding else ''})")]}

    def after_agent(state: MessagesState) -> str:
        return "tools" if getattr(state["messages"][-1], "tool_calls", None) else END

    graph = StateGraph(MessagesState)
    graph.add_node("agent", agent)
    graph.add_node("tools", ToolNode([search]))
    graph.add_node("fallback", fallback)
    graph.add_edge(START, "agent")
    graph.add_conditional_edges("agent", after_agent, ["tools", END])
    graph.add_conditional_edges("tools", lambda _: "fallback" if run.found("loop") else "agent", ["fallback", "agent"])
    graph.add_edge("fallback", END)
    return graph.compile()


def main() -> tuple[int, str]:
    """How many calls were made, and the answer."""
    CALLS.clear()
    with watch(max_identical_calls=3) as run:
        state = build(scripted_model(), run).invoke({"messages": [HumanMessage("Find me a hotel.")]})
    return len(CALLS), state["messages"][-1].content


if __name__ == "__main__":
    print(main())
