"""The search behind :func:`graphkit.ops.shortest_paths` in plain torch, for any device."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.ops.paths.path_graph import PathGraph

CANDIDATES = 1 << 22


def search_sources(
    index: PathGraph, sources: Tensor, quota: Tensor, max_nodes: int, budget: int = CANDIDATES
) -> list[Tensor]:
    r"""Expands all paths by one edge at a time and keeps the cheapest per source and end.

    Memory is bounded by :obj:`budget` candidate walks: sources are halved until they fit.
    In the last expansion a source with quota :math:`k` and :math:`m` nodes within reach
    reads only the first :math:`k + m + 1` edges of every row, because rows are sorted by
    cost and no later edge can be among the :math:`k` cheapest.
    """
    position = torch.arange(sources.numel(), device=sources.device)
    nodes, cost = sources.view(-1, 1), index.cost.new_zeros(sources.numel())
    reached, reached_cost = position * index.num_nodes + sources, cost
    paths = []
    for hops in range(1, max_nodes):
        start = index.rowptr[nodes[:, -1]]
        degree = index.rowptr[nodes[:, -1] + 1] - start
        if hops == max_nodes - 1:
            owner = torch.div(reached, max(index.num_nodes, 1), rounding_mode="floor")
            limit = torch.bincount(owner, minlength=sources.numel()) + quota + 1
            degree = torch.minimum(degree, limit[position])
        if int(degree.sum()) > budget and sources.numel() > 1:
            halves = zip(sources.tensor_split(2), quota.tensor_split(2), strict=True)
            parts = [search_sources(index, *half, max_nodes, budget) for half in halves]
            return [torch.cat(pair) for pair in zip(*parts, strict=True)]
        prefix = torch.repeat_interleave(degree)
        offset = torch.arange(prefix.numel(), device=prefix.device)
        edge = offset + (start - degree.cumsum(0) + degree)[prefix]
        cost = cost[prefix] + index.cost[edge]
        key = position[prefix] * index.num_nodes + index.col[edge]
        chosen = cheapest(key, cost, reached, reached_cost)
        chosen = chosen[torch.argsort(cost[chosen], stable=True)]
        chosen = chosen[torch.argsort(position[prefix[chosen]], stable=True)]
        cost, key, prefix, edge = cost[chosen], key[chosen], prefix[chosen], edge[chosen]
        position = position[prefix]
        nodes = torch.cat([nodes[prefix], index.col[edge].view(-1, 1)], dim=1)
        reached, reached_cost = merge(reached, reached_cost, key, cost)
        if hops > 1:
            paths.append(nodes[rank_in_group(position, sources.numel()) < quota[position]])
    return paths


def cheapest(key: Tensor, cost: Tensor, reached: Tensor, reached_cost: Tensor) -> Tensor:
    """Positions, ascending, of the first cheapest candidate per key, if cheaper than before."""
    order = torch.argsort(cost, stable=True)
    order = order[torch.argsort(key[order], stable=True)]
    order = order[first_of_group(key[order])]
    slot = torch.searchsorted(reached, key[order]).clamp(max=reached.numel() - 1)
    worse = (reached[slot] == key[order]) & (reached_cost[slot] <= cost[order])
    return order[~worse].sort().values


def merge(key: Tensor, cost: Tensor, new_key: Tensor, new_cost: Tensor) -> tuple[Tensor, Tensor]:
    """Sorted keys with the least cost of each; new costs are below the old ones."""
    key, order = torch.cat([new_key, key]).sort(stable=True)
    first = first_of_group(key)
    return key[first], torch.cat([new_cost, cost])[order][first]


def first_of_group(key: Tensor) -> Tensor:
    """Mask of the first entry of every run of equal keys."""
    first = torch.ones_like(key, dtype=torch.bool)
    first[1:] = key[1:] != key[:-1]
    return first


def rank_in_group(group: Tensor, num_groups: int) -> Tensor:
    """Position of each entry within its group; groups are sorted."""
    count = torch.bincount(group, minlength=num_groups)
    return torch.arange(group.numel(), device=group.device) - (count.cumsum(0) - count)[group]
