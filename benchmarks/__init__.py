"""The benchmark runner: ``python -m benchmarks``."""
