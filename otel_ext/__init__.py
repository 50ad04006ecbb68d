"""otel_ext: the span path between LLM agents and the stack that observes them."""

__version__ = "0.1.0"
