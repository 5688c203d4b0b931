"""Ten-fold cross-validation of graph classification, judged in GIN's way and in an honest one.

GIN's protocol trains on nine folds, averages the test curves of the ten folds over the
epochs and reports the best epoch of that average: the test folds choose the epoch.

The honest protocol holds a ninth of the training graphs back, trains on the rest, and takes
each fold's epoch where the held-back accuracy, averaged over a window of epochs because so
few graphs are held back, is highest.  A model trained on all nine folds is then read at that
epoch: the very run that GIN's protocol judges by its test fold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import nn
from torch_geometric.data import Data

from benchmarks.problems.graphs import inner_split, load, pick
from benchmarks.rivals.nodes import build
from graphkit.train import Result, seed_everything

__all__ = ["cross_validated", "summary"]

Learn = Callable[[nn.Module, list[Data], list[Data], str], Result]


def cross_validated(
    dataset: dict[str, Any], model: dict[str, Any], seed: int, window: int, learn: Learn
) -> dict[str, float]:
    """Both protocols for one seed, on the same ten final models.

    Args:
        dataset (dict): The recipe's section, for :func:`~benchmarks.problems.graphs.load`.
        model (dict): The recipe's section, for :func:`~benchmarks.rivals.nodes.build`.
        seed (int): Of the networks and of the graphs held back.
        window (int): Epochs that the held-back accuracy is averaged over.
        learn (callable): ``(network, train, val, tag)`` trains a network on some graphs and
            follows its accuracy on others.
    """
    graphs, folds = load(**dataset)
    y = np.array([int(graph.y) for graph in graphs])

    def curves(fold: int, learned: np.ndarray, held: np.ndarray, tag: str) -> Result:
        seed_everything(seed)
        network = build(model, graphs[0].num_features, int(y.max()) + 1)
        return learn(network, pick(graphs, learned), pick(graphs, held), f"{tag}-{fold}")

    inner, outer = [], []
    for fold, (train_index, test_index) in enumerate(folds):
        inner.append(curves(fold, *inner_split(y, train_index, seed), tag="inner"))
        outer.append(curves(fold, train_index, test_index, tag="outer"))
    return summary(accuracies(inner), accuracies(outer), window)


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

    epochs = uniform_filter1d(inner, window, axis=1, mode="nearest").argmax(axis=1)
    honest = outer[np.arange(len(outer)), epochs]
    best = int(outer.mean(axis=0).argmax())
    return {
        "test_accuracy": float(honest.mean()),
        "fold_std": float(honest.std()),
        "gin_test_accuracy": float(outer[:, best].mean()),
        "gin_fold_std": float(outer[:, best].std()),
        "gin_epoch": float(best + 1),
    }
