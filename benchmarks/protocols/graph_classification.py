"""Graph classification by ten-fold cross-validation with GIN's folds, judged in two ways.

GIN's protocol trains on nine folds, averages the test curves of the ten folds over the
epochs and reports the best epoch of that average: the test folds choose the epoch.  The
honest protocol holds a ninth of the training graphs back, chooses each fold's epoch on
them, and only then looks at the test fold.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch_geometric.data import Data

from benchmarks.fitting import Fitter
from benchmarks.models import build
from graphkit.datasets import gin_folds
from graphkit.datasets import load as load_dataset
from graphkit.train import GraphTask, Result, seed_everything

MAIN = "test_accuracy"


def load(name: str) -> tuple[list[Data], list[tuple[np.ndarray, np.ndarray]]]:
    """The graphs and GIN's ten ``(train, test)`` index pairs."""
    return list(load_dataset(name)), gin_folds(name)


def inner_split(y: np.ndarray, train: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Holds a ninth of the training graphs back, class by class."""
    from sklearn.model_selection import train_test_split

    kept, held = train_test_split(train, test_size=1 / 9, stratify=y[train], random_state=seed)
    return np.sort(kept), np.sort(held)


def run(
    dataset: dict[str, Any],
    model: dict[str, Any],
    train: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    batch_size: int = 32,
    protocols: list[str] | None = None,
) -> dict[str, float]:
    """Both protocols for one seed; ``protocols: [gin]`` or ``[honest]`` runs one of them."""
    graphs, folds = load(**dataset)
    y = np.array([int(graph.y) for graph in graphs])
    metrics: dict[str, float] = {}
    for protocol in protocols or ["honest", "gin"]:
        results = []
        for fold, (train_index, test_index) in enumerate(folds):
            kept, held = train_index, test_index
            if protocol == "honest":
                kept, held = inner_split(y, train_index, seed)
            kept_graphs, held_graphs = pick(graphs, kept), pick(graphs, held)
            task = GraphTask(kept_graphs, held_graphs, pick(graphs, test_index), batch_size)
            seed_everything(seed)
            network = build(model, graphs[0].num_features, int(y.max()) + 1)
            results.append(fit(network, task, tag=f"{protocol}-{fold}"))
        metrics |= summary(protocol, results)
    return metrics


def pick(graphs: list[Data], index: np.ndarray) -> list[Data]:
    """The graphs at these positions."""
    return [graphs[int(i)] for i in index]


def summary(protocol: str, results: list[Result]) -> dict[str, float]:
    """Mean over the folds and the deviation between them."""
    if protocol == "gin":
        curves = torch.tensor([[e["test_accuracy"] for e in r.history] for r in results])
        best = int(curves.mean(dim=0).argmax())
        values = curves[:, best]
        return {
            "gin_test_accuracy": float(values.mean()),
            "gin_fold_std": float(values.std(unbiased=False)),
            "gin_epoch": float(best + 1),
        }
    values = torch.tensor([result.metrics["test_accuracy"] for result in results])
    return {
        "test_accuracy": float(values.mean()),
        "fold_std": float(values.std(unbiased=False)),
    }
