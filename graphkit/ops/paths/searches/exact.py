"""The exact search behind :func:`graphkit.ops.shortest_paths`: Dijkstra's algorithm by scipy."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from scipy.sparse.csgraph import dijkstra
from torch import Tensor

from graphkit.ops.paths.path_graph import PathGraph

DENSE_BYTES = 1 << 26


def search_sources(
    index: PathGraph, sources: Tensor, quota: Tensor, max_nodes: int
) -> list[Tensor]:
    """Paths of 3, 4, … nodes in the trees of Dijkstra's algorithm, a chunk of sources at a time."""
    graph = [array.cpu().numpy() for array in (index.cost, index.col, index.rowptr)]
    matrix = sp.csr_matrix(tuple(graph), shape=(index.num_nodes, index.num_nodes))
    rows = max(1, DENSE_BYTES // (24 * max(index.num_nodes, 1)))
    found: list[list[Tensor]] = [[] for _ in range(3, max_nodes + 1)]
    for start, kept in zip(sources.cpu().split(rows), quota.cpu().split(rows), strict=True):
        cost, before = dijkstra(matrix, indices=start.numpy(), return_predecessors=True)
        level = before == start.numpy()[:, None]
        for hops, parts in enumerate(found, start=2):
            level = (before >= 0) & np.take_along_axis(level, before.clip(0), axis=1)
            parts.append(cheapest_of_level(level, cost, before, hops, kept.numpy()))
    return [torch.cat(parts).to(sources.device) for parts in found]


def cheapest_of_level(
    level: np.ndarray, cost: np.ndarray, before: np.ndarray, hops: int, quota: np.ndarray
) -> Tensor:
    """Follows the predecessors of the cheapest nodes of one level of each row's tree."""
    row, end = level.nonzero()
    order = np.lexsort((end, cost[row, end], row))
    row, end = row[order], end[order]
    count = np.bincount(row, minlength=quota.size)
    kept = np.arange(row.size) - (count.cumsum() - count)[row] < quota[row]
    row, nodes = row[kept], [end[kept]]
    for _ in range(hops):
        nodes.append(before[row, nodes[-1]])
    return torch.from_numpy(np.stack(nodes[::-1], axis=1).astype(np.int64))
