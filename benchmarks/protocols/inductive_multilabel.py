"""Several labels per node, on graphs that were not seen in training (PPI)."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data

from benchmarks.harness.fitting import Fitter
from benchmarks.rivals.nodes import build
from graphkit.datasets import load as load_dataset
from graphkit.metrics import micro_f1
from graphkit.train import GraphTask, seed_everything

MAIN = "test_micro_f1"


def load(name: str) -> dict[str, list[Data]]:
    """The graphs of the parts ``train``, ``val`` and ``test``."""
    return {split: list(load_dataset(name, split=split)) for split in ("train", "val", "test")}


def run(
    dataset: dict[str, Any],
    model: dict[str, Any],
    train: dict[str, Any],
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


def node_scores(model: nn.Module, batch: Data) -> Tensor:
    """The scores of every node of a batch of graphs."""
    return model(batch.x, batch.edge_index)
