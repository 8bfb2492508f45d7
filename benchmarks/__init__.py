"""Our parts beside their peers, and the runner's own cost: ``python -m benchmarks``."""
