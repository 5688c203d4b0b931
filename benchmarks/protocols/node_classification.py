"""Semi-supervised node classification, full batch, on one graph."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.nodes import load
from benchmarks.rivals.nodes import build
from graphkit.train import NodeTask, seed_everything

__all__ = ["MAIN", "load", "run"]

MAIN = "test_accuracy"


def run(
    dataset: dict[str, Any], model: dict[str, Any], *, seed: int, fit: Fitter
) -> dict[str, float]:
    """Trains one model on one seed and returns its metrics at the best validation epoch."""
    data = load(**{**dataset, "seed": seed})
    seed_everything(seed)
    network = build(model, data.num_features, int(data.y.max()) + 1)
    with torch.no_grad():
        network(data.x, data.edge_index)
    result = fit(network, NodeTask(data))
    return {
        "test_accuracy": result.metrics["test_accuracy"],
        "val_accuracy": result.metrics["val_accuracy"],
        "epochs": float(result.epochs),
    }
