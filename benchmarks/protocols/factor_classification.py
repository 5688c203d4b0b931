"""Ten-fold graph classification as in ``graph_classification``, with the factors' objective."""

from __future__ import annotations

from typing import Any

from torch import nn

from benchmarks.harness.fitting import Fitter
from benchmarks.protocols import graph_classification
from benchmarks.protocols.factor_graphs import FactorTask
from graphkit.train import GraphTask, Result

MAIN = graph_classification.MAIN
load = graph_classification.load


def run(
    dataset: dict[str, Any],
    model: dict[str, Any],
    train: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    batch_size: int = 32,
    window: int = 31,
    penalty: float = 0.5,
) -> dict[str, float]:
    """Both protocols for one seed; ``penalty`` weighs the objective of the factors."""

    def fit_factors(network: nn.Module, task: GraphTask, tag: str) -> Result:
        parts = (task.parts["train"], task.parts["val"], task.parts["test"])
        return fit(network, FactorTask(penalty, *parts, task.batch_size), tag=tag)

    return graph_classification.run(
        dataset,
        model,
        train,
        seed=seed,
        fit=fit_factors,  # type: ignore[arg-type]
        batch_size=batch_size,
        window=window,
    )
