"""Graphs of proteins whose nodes have several labels each (PPI)."""

from __future__ import annotations

from torch import Tensor, nn
from torch_geometric.data import Data

from graphkit.datasets import load as load_dataset

__all__ = ["load", "node_scores"]


def load(name: str) -> dict[str, list[Data]]:
    """The graphs of the parts ``train``, ``val`` and ``test``."""
    return {split: list(load_dataset(name, split=split)) for split in ("train", "val", "test")}


def node_scores(model: nn.Module, batch: Data) -> Tensor:
    """The scores of every node of a batch of graphs."""
    return model(batch.x, batch.edge_index)
