"""Sets of graphs with GIN's ten folds."""

from __future__ import annotations

import numpy as np
from torch_geometric.data import Data
from torch_geometric.transforms import OneHotDegree
from torch_geometric.utils import degree

from graphkit.datasets import gin_folds
from graphkit.datasets import load as load_dataset

__all__ = ["inner_split", "load", "pick"]


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

    learned, held = train_test_split(train, test_size=1 / 9, stratify=y[train], random_state=seed)
    return np.sort(learned), np.sort(held)


def pick(graphs: list[Data], index: np.ndarray) -> list[Data]:
    """The graphs at these positions."""
    return [graphs[int(i)] for i in index]
