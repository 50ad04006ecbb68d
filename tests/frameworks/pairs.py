"""Which framework runs under which instrumentation: the program, the interpreter that holds it, and what it cannot play."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.frameworks.scenarios import SCENARIOS

HERE = Path(__file__).parent
VENVS = HERE.parents[1] / ".venv-frameworks"
NODE = shutil.which("node") or ""
# Programs in which a call can be withheld for want of an approval.
WITHHOLD = (
    "anthropic_client.py",
    "google_adk_agent.py",
    "google_genai_client.py",
    "langchain_agent.py",
    "langfuse_app.py",
    "litellm_client.py",
    "mcp_client.py",
    "mlflow_app.py",
    "openai_agents.py",
    "openai_client.py",
    "pydantic_ai_agent.py",
    "strands_agent.py",
)
DEV = ""  # the interpreter that runs the tests


@dataclass(frozen=True)
class Pair:
    """A framework and its instrumentation. `program` is a file of `agents/`; `without` are scenarios that it has no way to play."""

    name: str
    group: str
    program: str
    without: Sequence[str] = ()

    @property
    def is_node(self) -> bool:
        return self.program.endswith(".cjs")

    @property
    def is_here(self) -> bool:
        """Whether what it needs is installed."""
        if self.is_node:
            return bool(NODE) and self.modules.is_dir()
        return not self.group or self.interpreter.exists()

    @property
    def interpreter(self) -> Path:
        if self.is_node:
            return Path(NODE)
        return VENVS / self.group / "bin" / "python" if self.group else Path(sys.executable)

    @property
    def modules(self) -> Path:
        """Where Node finds packages."""
        return VENVS / self.group / "node_modules"

    @property
    def scenarios(self) -> list[str]:
        without = (*self.without, *([] if self.program in WITHHOLD else ["withheld"]))
        return [name for name in SCENARIOS if name not in without]


PAIRS = (
    Pair("agent-framework", "agent_framework", "agent_framework_agent.py"),
    Pair("agent-framework+no-content", "agent_framework", "agent_framework_agent.py"),
    Pair("anthropic", "anthropic", "anthropic_client.py", ("handoff",)),
    Pair("anthropic+no-content", "anthropic", "anthropic_client.py", ("handoff",)),
    Pair("anthropic+openinference", "anthropic", "anthropic_client.py", ("handoff",)),
    Pair("anthropic+openllmetry", "anthropic", "anthropic_client.py", ("handoff",)),
    Pair("autogen", "autogen", "autogen_agent.py"),
    Pair("autogen+openinference", "autogen", "autogen_agent.py"),
    Pair("autogen+openinference-openai", "autogen", "autogen_agent.py"),
    Pair("claude-agent-sdk", "claude_agent", "claude_agent.py", ("handoff", "streaming")),
    Pair("claude-agent-sdk+openinference", "claude_agent", "claude_agent.py", ("handoff", "streaming")),
    Pair("crewai+openinference", "crewai", "crewai_crew.py", ("handoff",)),
    Pair("crewai+openinference-events", "crewai", "crewai_crew.py", ("handoff",)),
    Pair("crewai+openinference-openai", "crewai", "crewai_crew.py", ("handoff",)),
    Pair("crewai+openllmetry", "crewai_openllmetry", "crewai_crew.py", ("handoff",)),
    Pair("fastmcp+openinference", "mcp", "mcp_client.py", ("handoff", "streaming")),
    Pair("google-adk", "google_adk", "google_adk_agent.py"),
    Pair("google-adk+litellm", "google_adk", "google_adk_agent.py"),
    Pair("google-adk+openinference", "google_adk", "google_adk_agent.py"),
    Pair("google-adk-1", "google_adk_1", "google_adk_agent.py", ("failing", "unknown_tool")),
    Pair("google-genai+official", "google_genai", "google_genai_client.py", ("handoff",)),
    Pair("google-genai+official-content", "google_genai", "google_genai_client.py", ("handoff",)),
    Pair("haystack", "haystack", "haystack_agent.py", ("handoff",)),
    Pair("haystack+openinference", "haystack", "haystack_agent.py", ("handoff",)),
    Pair("langchain+langsmith", "langchain", "langchain_agent.py"),
    Pair("langchain+official", "langchain_official", "langchain_agent.py"),
    Pair("langchain+openinference", "langchain", "langchain_agent.py"),
    Pair("langchain+openinference-openai", "langchain", "langchain_agent.py"),
    Pair("langchain+openllmetry", "langchain", "langchain_agent.py"),
    Pair("langfuse+observe", DEV, "langfuse_app.py", ("handoff", "streaming")),
    Pair("langfuse-3", "langfuse_3", "langfuse_app.py", ("handoff", "streaming")),
    Pair("langfuse-4", "langfuse_4", "langfuse_app.py", ("handoff", "streaming")),
    Pair("litellm", "litellm", "litellm_client.py", ("handoff",)),
    Pair("litellm+openinference", "litellm", "litellm_client.py", ("handoff",)),
    Pair("livekit", "livekit", "livekit_agent.py", ("handoff",)),
    Pair("llama-index", "llama_index", "llama_index_agent.py"),
    Pair("llama-index+openinference", "llama_index", "llama_index_agent.py"),
    Pair("mastra", "mastra", "mastra_agent.cjs"),
    Pair("mcp", DEV, "mcp_client.py", ("handoff", "streaming")),
    Pair("mcp+openinference", "mcp", "mcp_client.py", ("handoff", "streaming")),
    Pair("mlflow", "mlflow", "mlflow_app.py", ("handoff", "streaming")),
    Pair("openai+official", "official_openai", "openai_client.py", ("handoff",)),
    Pair("openai+official-content", "official_openai", "openai_client.py", ("handoff",)),
    Pair("openai+openinference", "openinference_openai", "openai_client.py", ("handoff",)),
    Pair("openai+openlit", "openlit", "openai_client.py", ("handoff",)),
    Pair("openai+openllmetry", "openllmetry_openai", "openai_client.py", ("handoff",)),
    Pair("openai-agents+logfire", "pydantic_ai", "openai_agents.py"),
    Pair("openai-agents+official", "official_openai", "openai_agents.py"),
    Pair("openai-agents+openinference", "openinference_openai", "openai_agents.py"),
    Pair("openai-agents+openllmetry", "openllmetry_openai", "openai_agents.py"),
    Pair("pydantic-ai", DEV, "pydantic_ai_agent.py"),
    Pair("pydantic-ai+anthropic", "pydantic_ai", "pydantic_ai_agent.py"),
    Pair("pydantic-ai+logfire", "pydantic_ai", "pydantic_ai_agent.py"),
    Pair("pydantic-ai-responses", "pydantic_ai", "pydantic_ai_agent.py"),
    Pair("semantic-kernel", "semantic_kernel", "semantic_kernel_agent.py"),
    Pair("smolagents+openinference", "smolagents", "smolagents_agent.py"),
    Pair("strands", "strands", "strands_agent.py"),
    Pair("strands+latest", "strands", "strands_agent.py"),
    Pair("vercel-ai", "vercel", "vercel_ai.cjs"),
    Pair("vercel-ai-6", "vercel_6", "vercel_ai.cjs"),
)
