import itertools
import math

import numpy as np
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


def test_a_level_is_followed_back_to_its_source():
    """Two sources of a tree each: 0 - 1 - 2 - 3 with 4 beside 2, and 5 - 4."""
    before = np.array([[-9, 0, 1, 2, 1, -9], [-9, -9, -9, -9, 5, -9]])
    cost = np.array([[0.0, 1, 2, 3, 1.5, np.inf], [np.inf] * 4 + [1.0, 0.0]])
    level = np.zeros((2, 6), bool)
    level[0, [2, 4]] = True
    for kept, wanted in ((0, []), (1, [[0, 1, 4]]), (5, [[0, 1, 4], [0, 1, 2]])):
        found = exact.cheapest_of_level(level, cost, before, 2, np.array([kept, 3]))
        assert found.view(-1, 3).tolist() == wanted
    cost[0, 4] = 2.0
    found = exact.cheapest_of_level(level, cost, before, 2, np.array([1, 3]))
    # Of equally cheap ends the smaller one comes first.
    assert found.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("rows", [1, 5, 12])
def test_longer_paths_and_their_quota(rows, monkeypatch):
    monkeypatch.setattr(exact, "DENSE_BYTES", 24 * 12 * rows)
    generator = torch.Generator().manual_seed(3)
    edges = torch.randint(12, (2, 30), generator=generator)
    cost = torch.rand(30, generator=generator, dtype=torch.float64)
    sources = torch.tensor([7, 0, 3, 11, 5, 2])
    everything = shortest_paths(edges, cost, 5, math.inf, "exact", 12, sources)
    matrix = torch.full((12, 12), math.inf, dtype=torch.float64)
    for u, v, each in zip(*edges.tolist(), cost.tolist(), strict=True):
        matrix[u, v] = min(matrix[u, v].item(), each)
    best = matrix.clone()
    for k in range(12):
        best = torch.minimum(best, best[:, k : k + 1] + best[k])
    for count in (3, 4, 5):
        for path in everything[count].tolist():
            walked = sum(matrix[u, v].item() for u, v in itertools.pairwise(path))
            assert walked == pytest.approx(best[path[0], path[-1]].item())
        own = [path[0] for path in everything[count].tolist()]
        assert own == sorted(own, key=sources.tolist().index)
    few = shortest_paths(edges, cost, 5, 0.5, "exact", 12, sources)
    degree = [len({v for u, v in edges.t().tolist() if u == s and v != s}) for s in range(12)]
    for count in (3, 4, 5):
        wanted = []
        for source in sources.tolist():
            paths = [path for path in everything[count].tolist() if path[0] == source]
            wanted += paths[: degree[source] // 2]
        assert few[count].tolist() == wanted
