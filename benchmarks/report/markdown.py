"""Figures and tables as the pages in docs show them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmarks.harness.recipe import Recipe

__all__ = ["markdown_table", "measured", "percent"]


def percent(metric: dict[str, Any] | None) -> str:
    """``81.5 ± 0.4`` from a mean and a deviation in [0, 1]."""
    if not metric:
        return "–"
    mean = f"{100 * metric['mean']:.1f}"
    return f"{mean} ± {100 * metric['std']:.1f}" if metric.get("std") is not None else mean


def measured(recipe: Recipe, name: str) -> dict[str, Any] | None:
    """A recorded metric, without a deviation where one seed was run; nothing without a record."""
    metric = recipe.reproduced.get("metrics", {}).get(name)
    lone = metric and recipe.reproduced["seeds"] == 1
    return {**metric, "std": None} if lone else metric


def markdown_table(head: list[str], rows: Iterable[list[str]]) -> str:
    """A table in Markdown."""
    lines = ["| " + " | ".join(line) + " |" for line in [head, *rows]]
    lines.insert(1, "|" + "---|" * len(head))
    return "\n".join(lines)
