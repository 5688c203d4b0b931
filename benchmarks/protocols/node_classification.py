"""Semi-supervised node classification, full batch, on one graph."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch_geometric.data import Data
from torch_geometric.transforms import NormalizeFeatures

from benchmarks.harness.fitting import Fitter
from benchmarks.rivals.nodes import build
from graphkit.datasets import class_split
from graphkit.datasets import load as load_dataset
from graphkit.train import NodeTask, seed_everything

MAIN = "test_accuracy"


def load(
    name: str,
    split: str = "public",
    normalize_features: bool = True,
    train_per_class: int = 20,
    val_per_class: int = 30,
    sparse_features: bool = False,
    seed: int = 0,
) -> Data:
    """The graph of a recipe's ``dataset`` section.

    ``split: public`` takes the masks that come with the data; ``split: random`` draws
    ``train_per_class`` and ``val_per_class`` nodes of every class anew for each seed.
    ``sparse_features`` keeps bags of words as sparse CSR: the same mathematics, many times
    faster for models whose first step is linear.
    """
    data = load_dataset(name)[0]
    if normalize_features:
        data = NormalizeFeatures()(data)
    if sparse_features:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse CSR tensor support", UserWarning)
            data.x = data.x.to_sparse_csr()
    if split == "random":
        return class_split(data, train_per_class, val_per_class, seed=seed)
    if split != "public":
        raise ValueError(f"'split' must be 'public' or 'random', got '{split}'")
    return data


def run(
    dataset: dict[str, Any], model: dict[str, Any], train: dict[str, Any], *, seed: int, fit: Fitter
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
