"""Graph classification by ten-fold cross-validation with GIN's folds, judged in two ways.

GIN's protocol trains on nine folds, averages the test curves of the ten folds over the
epochs and reports the best epoch of that average: the test folds choose the epoch.

The honest protocol holds a ninth of the training graphs back, trains on the rest, and takes
each fold's epoch where the held-back accuracy, averaged over a window of epochs because so
few graphs are held back, is highest.  A model trained on all nine folds is then read at that
epoch: the very run that GIN's protocol judges by its test fold.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch_geometric.data import Data
from torch_geometric.transforms import OneHotDegree
from torch_geometric.utils import degree

from benchmarks.harness.fitting import Fitter
from benchmarks.rivals.nodes import build
from graphkit.datasets import gin_folds
from graphkit.datasets import load as load_dataset
from graphkit.train import GraphTask, Result, seed_everything

MAIN = "test_accuracy"


def load(name: str) -> tuple[list[Data], list[tuple[np.ndarray, np.ndarray]]]:
    """The graphs and GIN's ten ``(train, test)`` index pairs.

    Nodes of graphs without features get their degree, one-hot, as in GIN.
    """
    graphs: list[Data] = list(load_dataset(name))
    if graphs[0].x is None:
        largest = max(int(degree(graph.edge_index[1]).max()) for graph in graphs)
        graphs = [OneHotDegree(largest, in_degree=True)(graph) for graph in graphs]
    return graphs, gin_folds(name)


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
    window: int = 31,
) -> dict[str, float]:
    """Both protocols for one seed, on the same ten final models.

    ``window`` is the number of epochs that the held-back accuracy is averaged over.
    """
    graphs, folds = load(**dataset)
    y = np.array([int(graph.y) for graph in graphs])

    def curves(fold: int, kept: np.ndarray, held: np.ndarray, tag: str) -> Result:
        task = GraphTask(pick(graphs, kept), pick(graphs, held), [], batch_size)
        seed_everything(seed)
        network = build(model, graphs[0].num_features, int(y.max()) + 1)
        return fit(network, task, tag=f"{tag}-{fold}")

    inner, outer = [], []
    for fold, (train_index, test_index) in enumerate(folds):
        inner.append(curves(fold, *inner_split(y, train_index, seed), tag="inner"))
        outer.append(curves(fold, train_index, test_index, tag="outer"))
    return summary(accuracies(inner), accuracies(outer), window)


def pick(graphs: list[Data], index: np.ndarray) -> list[Data]:
    """The graphs at these positions."""
    return [graphs[int(i)] for i in index]


def accuracies(results: list[Result]) -> np.ndarray:
    """Accuracy on the held-out part, one row per fold and one column per epoch."""
    return np.array([[epoch["val_accuracy"] for epoch in r.history] for r in results])


def summary(inner: np.ndarray, outer: np.ndarray, window: int) -> dict[str, float]:
    """Mean over the folds and the deviation between them, for both protocols.

    Args:
        inner (np.ndarray): Accuracy on the held-back graphs, ``[folds, epochs]``.
        outer (np.ndarray): Accuracy on the test folds of the models trained on nine folds.
        window (int): Epochs to average the inner curves over.
    """
    from scipy.ndimage import uniform_filter1d

    chosen = uniform_filter1d(inner, window, axis=1, mode="nearest").argmax(axis=1)
    honest = outer[np.arange(len(outer)), chosen]
    best = int(outer.mean(axis=0).argmax())
    return {
        "test_accuracy": float(honest.mean()),
        "fold_std": float(honest.std()),
        "gin_test_accuracy": float(outer[:, best].mean()),
        "gin_fold_std": float(outer[:, best].std()),
        "gin_epoch": float(best + 1),
    }
