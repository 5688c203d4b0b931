"""What the fused convolutions without attention share: sums and means over neighbours."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn.aggr import MeanAggregation

from graphkit import ops
from graphkit.nn.edges import by_flow, count_targets, is_adjacency
from graphkit.nn.fast_path import FastPath
from graphkit.ops.checks import as_edge_index
from graphkit.ops.layout.rows import rows_of

__all__ = ["NeighbourSum"]


class NeighbourSum(FastPath):
    """Base of layers whose messages are the features of the sources, perhaps with a weight."""

    def can_fuse(self, edge_index: Any, *features: Any) -> bool:
        """Whether the kernel serves this call; else the PyG layer does."""
        for x in features:
            if x is None:
                continue
            if not isinstance(x, Tensor) or not x.is_floating_point() or x.dim() not in (2, 3):
                return False
            if x.layout != torch.strided:
                return False
        return not is_adjacency(edge_index) and self.may_be_fast()

    def neighbours(
        self, edge_index: Any, x: tuple[Tensor, Tensor | None], size: tuple[int, int] | None
    ) -> Tensor:
        """The sum or mean of the sources' features at each target, ``[*, M, F]``."""
        targets = None if x[1] is None else x[1].size(-2)
        num_dst = count_targets(x[0].size(-2), targets, size, self.flow)
        edges = by_flow(as_edge_index(edge_index), self.flow)
        total = summed(edges, x[0], num_dst)
        if type(self.aggr_module) is not MeanAggregation:
            return total
        counts = rows_of(edges, 1, num_dst).counts.clamp(min=1)
        return total / counts.to(total.dtype).unsqueeze(-1)


def summed(edges: Tensor, x: Tensor, num_nodes: int, weight: Tensor | None = None) -> Tensor:
    """Sums over neighbours of features ``[N, F]``, or of a static batch ``[B, N, F]``."""
    if x.dim() == 2:
        return ops.spmm(edges, weight, x, num_nodes)
    return ops.spmm(edges, weight, x.unsqueeze(-2), num_nodes).squeeze(-2)
