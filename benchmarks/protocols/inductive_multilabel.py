"""Several labels per node, on graphs that were not seen in training (PPI)."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.protein_graphs import load, node_scores
from benchmarks.rivals.nodes import build
from graphkit.metrics import micro_f1
from graphkit.train import GraphTask, seed_everything

__all__ = ["MAIN", "load", "run"]

MAIN = "test_micro_f1"


def run(
    dataset: dict[str, Any],
    model: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    batch_size: int = 2,
) -> dict[str, float]:
    """Trains one model on one seed, ``batch_size`` graphs per step."""
    parts = load(**dataset)
    seed_everything(seed)
    first = parts["train"][0]
    task = GraphTask(
        **parts,
        batch_size=batch_size,
        criterion=F.binary_cross_entropy_with_logits,
        metric=micro_f1,
        metric_name="micro_f1",
        forward=node_scores,
    )
    result = fit(build(model, first.num_features, first.y.shape[1]), task)
    return {
        "test_micro_f1": result.metrics["test_micro_f1"],
        "val_micro_f1": result.metrics["val_micro_f1"],
        "epochs": float(result.epochs),
    }
