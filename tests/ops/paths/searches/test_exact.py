import math

import pytest
import scipy.sparse as sp
import torch
from scipy.sparse.csgraph import dijkstra

from graphkit.ops.paths.searches import exact
from graphkit.ops.paths.shortest_paths import shortest_paths


@pytest.mark.parametrize("seed", range(5))
def test_exact_mode_follows_scipy_predecessors(seed, monkeypatch):
    edge_index = torch.stack(torch.ones(12, 12).nonzero(as_tuple=True))
    keep = torch.rand(edge_index.size(1)) < 0.25
    edge_index, cost = edge_index[:, keep], torch.rand(int(keep.sum()), dtype=torch.float64)
    monkeypatch.setattr(exact, "DENSE_BYTES", 24 * 12 * 5)
    found = shortest_paths(edge_index, cost, 3, math.inf, "exact", num_nodes=12)[3]
    matrix = sp.csr_matrix((cost.numpy(), edge_index.numpy()), shape=(12, 12))
    _, before = dijkstra(matrix, return_predecessors=True)
    tree = {
        (i, int(before[i, j]), j)
        for i in range(12)
        for j in range(12)
        if before[i, j] >= 0 and before[i, before[i, j]] == i
    }
    assert {tuple(path) for path in found.tolist()} == tree
