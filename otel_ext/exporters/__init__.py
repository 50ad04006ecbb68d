"""Where spans, findings and numbers go: one destination a file."""
