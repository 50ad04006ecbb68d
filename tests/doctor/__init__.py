"""Tests of otel-ext doctor."""
