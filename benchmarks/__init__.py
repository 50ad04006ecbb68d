"""What the sidecar costs beside the floor and rotel, in one run on one payload: `python -m benchmarks.run`."""
