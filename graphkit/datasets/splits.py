"""Random splits with the same number of labelled nodes in every class."""

from __future__ import annotations

import copy

import torch
from torch_geometric.data import Data

__all__ = ["class_split"]


def class_split(
    data: Data, train_per_class: int = 20, val_per_class: int = 30, seed: int = 0
) -> Data:
    r"""Draws the split of the `"Pitfalls of Graph Neural Network Evaluation"
    <https://arxiv.org/abs/1811.05868>`_ paper: a fixed number of nodes per class for training
    and validation, all the others for testing.

    .. math::
        |\mathcal{T}_c| = t, \quad |\mathcal{V}_c| = v, \quad
        \mathcal{S} = \mathcal{N} \setminus \bigcup_c (\mathcal{T}_c \cup \mathcal{V}_c)

    The draw is that of ``torch.randperm`` per class on the CPU, so that a seed means the same
    nodes on every device. Nodes with a negative label are in no part.

    Args:
        data (Data): A graph with integer labels :obj:`y`; it stays as it is.
        train_per_class (int, optional): Training nodes per class. (default: :obj:`20`)
        val_per_class (int, optional): Validation nodes per class. (default: :obj:`30`)
        seed (int, optional): Seed of the draw. (default: :obj:`0`)

    Shapes:
        - **input:** labels :math:`(|\mathcal{V}|)`
        - **output:** a shallow copy of :obj:`data` with boolean :obj:`train_mask`,
          :obj:`val_mask` and :obj:`test_mask` :math:`(|\mathcal{V}|)`

    Raises:
        ValueError: If a class has too few nodes, no node is left for testing, or :obj:`y` does
            not hold one integer per node.

    Example:
        >>> from graphkit.datasets import class_split, load
        >>> data = class_split(load("KarateClub")[0], train_per_class=1, val_per_class=2, seed=3)
        >>> [int(data[f"{part}_mask"].sum()) for part in ("train", "val", "test")]
        [4, 8, 22]
    """
    y = data.y
    if not isinstance(y, torch.Tensor) or y.is_floating_point() or y.shape != (data.num_nodes,):
        shape = list(y.shape) if isinstance(y, torch.Tensor) else y
        raise ValueError(f"'data.y' must hold one integer per node, got {shape}")
    if train_per_class < 1 or val_per_class < 0:
        raise ValueError(
            f"'train_per_class' must be at least 1 and 'val_per_class' at least 0, "
            f"got {train_per_class} and {val_per_class}"
        )
    generator = torch.Generator().manual_seed(seed)
    labels = y.cpu()
    part = torch.full_like(labels, 2)
    for label in labels[labels >= 0].unique().tolist():
        nodes = (labels == label).nonzero().view(-1)
        if len(nodes) < train_per_class + val_per_class:
            raise ValueError(
                f"class {label} has {len(nodes)} nodes, fewer than 'train_per_class' + "
                f"'val_per_class' = {train_per_class + val_per_class}"
            )
        nodes = nodes[torch.randperm(len(nodes), generator=generator)]
        part[nodes[:train_per_class]] = 0
        part[nodes[train_per_class : train_per_class + val_per_class]] = 1
    part[labels < 0] = 3
    if not (part == 2).any():
        raise ValueError("no node is left for testing; lower 'train_per_class' or 'val_per_class'")
    out = copy.copy(data)
    for number, name in enumerate(("train_mask", "val_mask", "test_mask")):
        out[name] = (part == number).to(y.device)
    return out
