"""Figures and tables as the pages in docs show them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmarks.harness.recipe import Recipe

__all__ = ["gain_interval", "markdown_table", "measured", "percent"]


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


def gain_interval(recipe: Recipe, name: str, overlap: float = 0.0) -> tuple[float, float]:
    """The 95 % interval of a recorded difference within a seed; of one seed, its value twice.

    Args:
        recipe (Recipe): A recipe with a result.
        name (str): A metric that is a difference within a seed.
        overlap (float, optional): What folds that share training data add to the variance of the
            mean, test over training size; Nadeau and Bengio's correction. (default: seeds are
            independent)
    """
    from scipy.stats import t

    metric, seeds = recipe.reproduced["metrics"][name], recipe.reproduced["seeds"]
    half = 0.0
    if seeds > 1:
        half = float(t.ppf(0.975, seeds - 1)) * metric["std"] * (1 / seeds + overlap) ** 0.5
    return metric["mean"] - half, metric["mean"] + half
