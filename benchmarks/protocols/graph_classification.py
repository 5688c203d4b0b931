"""Graph classification by ten-fold cross-validation with GIN's folds, judged in two ways.

See :mod:`benchmarks.problems.folds` for what the two ways are.
"""

from __future__ import annotations

from typing import Any

from torch import nn
from torch_geometric.data import Data

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.folds import cross_validated
from benchmarks.problems.graphs import load
from graphkit.train import GraphTask, Result

__all__ = ["MAIN", "load", "run"]

MAIN = "test_accuracy"


def run(
    dataset: dict[str, Any],
    model: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    batch_size: int = 32,
    window: int = 31,
) -> dict[str, float]:
    """Both protocols for one seed; ``window`` epochs smooth the honest one's choice."""

    def learn(network: nn.Module, train: list[Data], val: list[Data], tag: str) -> Result:
        return fit(network, GraphTask(train, val, [], batch_size), tag=tag)

    return cross_validated(dataset, model, seed, window, learn)
