"""Random graphs of a given size and skew."""

from __future__ import annotations

import torch
from torch import Tensor

SKEWS = ("uniform", "power", "hub", "sorted")


def random_edges(num_nodes: int, num_edges: int, skew: str = "uniform", seed: int = 0) -> Tensor:
    """Edges in random order; ``"power"`` draws targets by a power law, ``"hub"`` gives half of
    all edges to one target, ``"sorted"`` keeps uniform edges in the order of their targets."""
    generator = torch.Generator().manual_seed(seed)
    edge_index = torch.randint(0, num_nodes, (2, num_edges), generator=generator)
    if skew == "power":
        draws = torch.rand(num_edges, generator=generator)
        edge_index[1] = (num_nodes * draws.pow(4)).long().clamp(max=num_nodes - 1)
    elif skew == "hub":
        edge_index[1, ::2] = num_nodes // 2
    elif skew == "sorted":
        edge_index = edge_index[:, edge_index[1].argsort()]
    elif skew != "uniform":
        raise ValueError(f"skew must be one of {SKEWS}, got {skew!r}")
    return edge_index
