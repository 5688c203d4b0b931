"""Runs :mod:`benchmarks.cli`."""

from benchmarks.cli import main
from benchmarks.harness.environment import keep_freed_memory

if __name__ == "__main__":
    keep_freed_memory()
    main()
