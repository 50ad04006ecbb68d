"""Secrets are masked before anything leaves. `Redactor` takes a request and gives it back without them.

A secret is overwritten in its place by as many bytes, so that nothing moves: JSON stays JSON wherever the secret stood in it, and what
was read of the request before still holds. What was masked is counted by kind; it is never logged.
"""

from otel_ext.redact.build import make_redactor
from otel_ext.redact.redactor import Redactor
from otel_ext.redact.secrets import COMMON, COMMON_NAMES, Secret

__all__ = ["COMMON", "COMMON_NAMES", "Redactor", "Secret", "make_redactor"]
