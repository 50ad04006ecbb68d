"""Reading from Langfuse, and writing its model definitions: what correlation, `otel-ext doctor` and `otel-ext prices push` need.

    async with Api(host, public_key, secret_key) as api:
        async for observation in api.observations(trace_id=...):
            ...

Both generations of the server are served: the newer route is tried first, the older one where that answers 404, and which one it was is
remembered. A v4 server has no traces, only spans: `trace` is made of these there.
"""

from otel_ext.langfuse.client import Api
from otel_ext.langfuse.http import NotFound, Options, Unreadable
from otel_ext.langfuse.values import Health, ModelDefinition, Observation, PricingTier, Project, Score, Trace

__all__ = [
    "Api",
    "Health",
    "ModelDefinition",
    "NotFound",
    "Observation",
    "Options",
    "PricingTier",
    "Project",
    "Score",
    "Trace",
    "Unreadable",
]
