"""`otel-ext doctor`: asks every part of a configuration whether it works, by using it, and says what to fix."""

from otel_ext.doctor.rows import Finding, State, Surroundings, told
from otel_ext.doctor.run import examine

__all__ = ["Finding", "State", "Surroundings", "examine", "told"]
