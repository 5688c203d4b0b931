"""A question for every adapter's graph, with real data behind it, or why there is none."""

from benchmarks.problems.adapter_graphs.question import NUMBER, Question
from benchmarks.problems.adapter_graphs.sources import SOURCES, WITHOUT

__all__ = ["NUMBER", "SOURCES", "WITHOUT", "Question"]
