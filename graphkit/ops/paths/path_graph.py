"""The graph that searches for paths walk: rows of out-edges, cheapest first."""

from __future__ import annotations

import torch
from torch import Tensor


class PathGraph:
    """A weighted graph in CSR form; every row is sorted by (cost, target).

    Loops are dropped, and of parallel edges the cheapest stays: neither can be part of a
    cheapest path that repeats no node. Building it sorts the edges,
    :math:`\\mathcal{O}(E \\log E)`.

    Args:
        edge_index (torch.Tensor): Edges ``[2, E]``, int64, all within the graph.
        cost (torch.Tensor): Their costs ``[E]``, finite and not negative; kept in float64.
        num_nodes (int): Number of nodes.
    """

    def __init__(self, edge_index: Tensor, cost: Tensor, num_nodes: int) -> None:
        self.num_nodes = num_nodes
        proper = edge_index[0] != edge_index[1]
        # One key per (source, target), so that parallel edges are neighbours once sorted.
        key, order = (edge_index[0] * num_nodes + edge_index[1])[proper].sort()
        first = torch.ones_like(key, dtype=torch.bool)
        first[1:] = key[1:] != key[:-1]
        slot, key, cost = first.cumsum(0) - 1, key[first], cost[proper][order].double()
        cost = cost.new_empty(key.shape).scatter_reduce_(0, slot, cost, "amin", include_self=False)
        row = torch.div(key, max(num_nodes, 1), rounding_mode="floor")
        # Two stable sorts, the minor key first: by row, then by cost, then by target.
        order = torch.argsort(cost, stable=True)
        order = order[torch.argsort(row[order], stable=True)]
        self.col, self.cost = (key - row * num_nodes)[order], cost[order]
        self.degree = torch.bincount(row, minlength=num_nodes)
        self.rowptr = torch.cat([self.degree.new_zeros(1), self.degree.cumsum(0)])
