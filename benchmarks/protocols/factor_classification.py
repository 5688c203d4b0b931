"""Ten-fold graph classification as in ``graph_classification``, with the factors' objective."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch_geometric.data import Data

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.factors import FactorTask
from benchmarks.problems.folds import cross_validated
from benchmarks.problems.graphs import load
from graphkit.train import Result

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
    penalty: float = 0.5,
) -> dict[str, float]:
    """Both protocols for one seed; ``penalty`` weighs the objective of the factors."""

    def learn(network: nn.Module, train: list[Data], val: list[Data], tag: str) -> Result:
        return fit(network, FactorTask(penalty, train, val, [], batch_size), tag=tag)

    return cross_validated(dataset, model, seed, window, learn)
