"""Node classification in stages: graph attention first, then rounds of shortest paths.

The first stage is a graph attention network trained by the same loop on the same seed, so
every run is a paired comparison: ``gat_test_accuracy`` and ``gain`` stand beside
``test_accuracy``.  Paths that need no attention (``costs: uniform`` or ``random``) are there
from the start, and the first stage falls away; the path network starts from the same weights.
A stage whose validation accuracy stays below ``COLLAPSE`` counts as collapsed.
"""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.nodes import load
from benchmarks.rivals.nodes import build
from graphkit.train import NodeTask, PathRounds, Result, seed_everything

__all__ = ["MAIN", "load", "run"]

MAIN = "test_accuracy"
COLLAPSE = 0.6


def run(
    dataset: dict[str, Any],
    model: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    rounds: int = 1,
) -> dict[str, float]:
    """Trains one model on one seed and returns the metrics of its first and last stage."""
    data = load(**{**dataset, "seed": seed})
    seed_everything(seed)
    network: Any = build(model, data.num_features, int(data.y.max()) + 1)
    with torch.no_grad():
        network(data.x, data.edge_index)
    if network.costs != "attention":
        network.next_round(data.x, data.edge_index)
        rounds -= 1
    result = fit(network, NodeTask(data), callbacks=[PathRounds(rounds)])
    metrics = {
        "test_accuracy": result.metrics["test_accuracy"],
        "val_accuracy": result.metrics["val_accuracy"],
        "collapsed": float(result.metrics["val_accuracy"] < COLLAPSE),
        "epochs": float(result.epochs),
    }
    if network.costs == "attention":
        first = best_of_first_stage(result)
        metrics["gat_test_accuracy"] = first["test_accuracy"]
        metrics["gat_collapsed"] = float(first["val_accuracy"] < COLLAPSE)
        metrics["gain"] = metrics["test_accuracy"] - first["test_accuracy"]
    return metrics


def best_of_first_stage(result: Result) -> dict[str, float]:
    """The evaluation of the first stage at its lowest validation loss."""
    stage = [epoch for epoch in result.history if epoch["stage"] == 0]
    return min(stage, key=lambda epoch: epoch["val_loss"])
