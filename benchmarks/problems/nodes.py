"""Graphs whose nodes are to be classified, with a split."""

from __future__ import annotations

import warnings

from torch_geometric.data import Data
from torch_geometric.transforms import NormalizeFeatures

from graphkit.datasets import class_split
from graphkit.datasets import load as load_dataset

__all__ = ["load"]


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
