"""Handwritten digits as a graph: real data that ships with scikit-learn."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.utils import to_undirected

from graphkit.datasets.splits import class_split

__all__ = ["DigitsGraph"]


class DigitsGraph(InMemoryDataset):
    r"""The 1,797 handwritten digits of scikit-learn, each linked with its nearest neighbours,
    with a semi-supervised split: the protocol of the `"Semi-Supervised Learning Using Gaussian
    Fields and Harmonic Functions" <https://mlg.eng.cam.ac.uk/zoubin/papers/zgl.pdf>`_ paper.

    .. math::
        \mathcal{E} = \{(i, j) : j \in \mathrm{kNN}(i) \lor i \in \mathrm{kNN}(j)\}

    The paper weights its edges; these have none. Building takes about 0.1 s, needs no file and
    grows with the square of the number of digits.

    Args:
        k (int, optional): Neighbours per digit, by Euclidean distance of the pixels.
            (default: :obj:`10`)
        train_per_class (int, optional): Labelled digits per class. (default: :obj:`5`)
        val_per_class (int, optional): Validation digits per class. (default: :obj:`10`)
        seed (int, optional): Seed of the split. (default: :obj:`0`)
        transform (callable, optional): Applied at every access. (default: :obj:`None`)

    Shapes:
        - **output:** pixels :obj:`x` :math:`(1797, 64)` in :math:`[0, 1]`, undirected
          :obj:`edge_index` :math:`(2, |\mathcal{E}|)`, labels :obj:`y` :math:`(1797)`, masks
          :math:`(1797)`

    Raises:
        ValueError: If :obj:`k` is not between 1 and 1796, or the split asks for too much.

    Example:
        >>> from graphkit.datasets import DigitsGraph
        >>> dataset = DigitsGraph(k=5, seed=1)
        >>> data = dataset[0]
        >>> data.num_nodes, data.num_features, dataset.num_classes, int(data.train_mask.sum())
        (1797, 64, 10, 50)
    """

    def __init__(
        self,
        k: int = 10,
        train_per_class: int = 5,
        val_per_class: int = 10,
        seed: int = 0,
        transform: Callable[[Data], Data] | None = None,
    ) -> None:
        from sklearn.datasets import load_digits
        from sklearn.neighbors import kneighbors_graph

        super().__init__(None, transform)
        pixels, labels = load_digits(return_X_y=True)
        if not 1 <= k < len(pixels):
            raise ValueError(f"'k' must be between 1 and {len(pixels) - 1}, got {k}")
        links = kneighbors_graph(pixels, k, mode="connectivity").tocoo()
        row, col = torch.from_numpy(links.row).long(), torch.from_numpy(links.col).long()
        data = Data(
            x=torch.from_numpy(pixels).float() / 16.0,
            edge_index=to_undirected(torch.stack([row, col]), num_nodes=len(pixels)),
            y=torch.from_numpy(labels).long(),
        )
        data = class_split(data, train_per_class, val_per_class, seed)
        self.data, self.slices = self.collate([data])

    def __repr__(self) -> str:
        return "digits()"
