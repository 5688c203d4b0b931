"""Builders against dense enumeration, and on the smallest inputs."""

import networkx as nx
import numpy as np
import pytest
import torch
from sklearn.neighbors import kneighbors_graph
from torch_geometric.utils import coalesce, is_undirected

from graphkit.adapters import (
    bipartite_edges,
    builders,
    chain_edges,
    complete_edges,
    correlation_edges,
    grid_edges,
    knn_edges,
    lattice_edges,
)


def pairs(edge_index):
    return {tuple(pair) for pair in edge_index.t().tolist()}


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_knn_is_that_of_sklearn(metric):
    x = torch.randn(31, 4)
    rows, cols = kneighbors_graph(x.numpy(), 5, metric=metric).nonzero()
    expected = {(int(col), int(row)) for row, col in zip(rows, cols, strict=True)}
    assert pairs(knn_edges(x, 5, metric=metric, undirected=False)) == expected
    both = knn_edges(x, 5, metric=metric)
    assert pairs(both) == expected | {(b, a) for a, b in expected}


def test_knn_stays_within_sets_of_any_size():
    x, batch = torch.randn(12, 3), torch.tensor([2, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0])
    edges = knn_edges(x, 3, batch, undirected=False)
    assert (batch[edges[0]] == batch[edges[1]]).all()
    assert edges[1].bincount(minlength=12).tolist() == [0, 3, 3, 1, 3, 3, 3, 3, 1, 3, 3, 3]


def test_knn_with_k_of_all_is_complete():
    x = torch.randn(6, 2)
    for k in (5, 6, 100):
        assert pairs(knn_edges(x, k)) == pairs(complete_edges(torch.zeros(6, dtype=torch.long)))


def test_knn_of_equal_points_links_each():
    edges = knn_edges(torch.ones(4, 2), 1, undirected=False)
    assert sorted(edges[1].tolist()) == [0, 1, 2, 3]
    assert (edges[0] != edges[1]).all()


@pytest.mark.parametrize("count", [0, 1])
def test_too_little_gives_no_edge(count):
    group = torch.zeros(count, dtype=torch.long)
    found = [
        knn_edges(torch.rand(count, 3), 4),
        complete_edges(group),
        chain_edges(group),
        chain_edges(group, order=group),
        grid_edges(count, 1, diagonals=True),
        lattice_edges([count, 1, 1]),
        lattice_edges([]),
        bipartite_edges(torch.zeros(count, 3))[0],
    ]
    for edges in found:
        assert edges.shape == (2, 0)
        assert edges.dtype == torch.int64


@pytest.mark.parametrize("sizes", [(1, 5), (3, 4), (2, 2)])
def test_grid_is_that_of_networkx(sizes):
    height, width = sizes
    graph = nx.convert_node_labels_to_integers(nx.grid_2d_graph(height, width), ordering="sorted")
    expected = {pair for a, b in graph.edges for pair in ((a, b), (b, a))}
    assert pairs(grid_edges(height, width)) == expected


def test_diagonals_link_cells_one_step_apart():
    row, col = torch.arange(12) // 4, torch.arange(12) % 4
    step = torch.maximum((row[:, None] - row).abs(), (col[:, None] - col).abs())
    assert pairs(grid_edges(3, 4, diagonals=True)) == pairs((step == 1).nonzero().t())


def test_lattice_leads_forward_along_each_axis():
    cells = torch.cartesian_prod(torch.arange(2), torch.arange(3), torch.arange(2))
    step = cells[None] - cells[:, None]
    expected = (step.sum(2) == 1) & (step.abs().sum(2) == 1)
    edges = lattice_edges([2, 3, 2])
    assert pairs(edges) == pairs(expected.nonzero().t())
    assert nx.is_directed_acyclic_graph(nx.DiGraph(edges.t().tolist()))


def test_bipartite_keeps_weights_aligned_and_differentiable():
    weights = torch.tensor([[0.0, 2.0, 0.0], [3.0, 0.0, -1.0]], requires_grad=True)
    edges, weight = bipartite_edges(weights)
    assert pairs(edges) == {(0, 1), (1, 0), (1, 2)}
    dense = torch.zeros(2, 3)
    dense[edges[0], edges[1]] = weight
    assert torch.equal(dense, weights)
    weight.sum().backward()
    assert torch.equal(weights.grad, (weights != 0).float())
    assert bipartite_edges(weights > 0)[1].all()


def test_complete_links_all_within_groups():
    group = torch.tensor([3, 1, 3, 3, 0, 1])
    same = (group[:, None] == group) & ~torch.eye(6, dtype=torch.bool)
    assert pairs(complete_edges(group)) == pairs(same.nonzero().t())


def test_chain_follows_the_order_within_groups():
    group = torch.tensor([0, 1, 0, 1, 0, -1, -1])
    order = torch.tensor([2.0, 0.5, 0.0, 0.1, 1.0, 0.0, 1.0])
    assert pairs(chain_edges(group, order)) == {(2, 4), (4, 0), (3, 1)}
    assert is_undirected(chain_edges(group, order, undirected=True))
    assert pairs(chain_edges(group)) == {(0, 2), (2, 4), (1, 3)}


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: knn_edges(torch.rand(3), 1), "x"),
        (lambda: knn_edges(torch.full((3, 2), torch.nan), 1), "x"),
        (lambda: knn_edges(torch.rand(3, 2), 0), "k"),
        (lambda: knn_edges(torch.rand(3, 2), 1, metric="manhattan"), "metric"),
        (lambda: knn_edges(torch.rand(3, 2), 1, torch.zeros(2).long()), "batch"),
        (lambda: knn_edges(torch.rand(3, 2), 1, torch.zeros(3)), "batch"),
        (lambda: complete_edges(torch.zeros(3)), "group"),
        (lambda: chain_edges(torch.zeros(2, 2).long()), "group"),
        (lambda: chain_edges(torch.zeros(2).long(), torch.zeros(3)), "order"),
        (lambda: bipartite_edges(torch.zeros(3)), "weights"),
        (lambda: bipartite_edges(torch.full((2, 2), torch.nan)), "weights"),
        (lambda: lattice_edges([2, -1]), "sizes"),
    ],
)
def test_wrong_arguments_are_named(call, name):
    with pytest.raises(ValueError, match=name):
        call()


def test_channels_answer_with_the_mean_over_places():
    maps = torch.rand(5, 3, 2, 4)
    torch.testing.assert_close(builders.channel_responses(maps), maps.mean((2, 3)).t())
    rows = torch.rand(5, 3)
    assert torch.equal(builders.channel_responses(rows), rows.t())
    with pytest.raises(ValueError, match="'features'"):
        builders.channel_responses(torch.rand(5))
    with pytest.raises(ValueError, match="NaN"):
        builders.channel_responses(maps.fill_(torch.nan))


def test_edges_are_strong_correlations_as_numpy_has_them():
    a, b = torch.randn(6, 20).double(), torch.randn(4, 20).double()
    a[1], b[2] = -3 * a[0] + 1, a[2]
    whole = torch.from_numpy(np.corrcoef(a.numpy(), b.numpy()))
    edges, r = builders.correlation_edges(a, b, threshold=0.3)
    expected = whole[:6, 6:]
    assert torch.equal(edges.t(), (expected.abs() >= 0.3).nonzero())
    torch.testing.assert_close(r, expected[edges[0], edges[1]])
    inside, r = builders.correlation_edges(a, threshold=0.3)
    assert (inside[0] != inside[1]).all()
    assert r[(inside[0] == 0) & (inside[1] == 1)].item() == pytest.approx(-1)
    assert torch.equal(coalesce(inside.flip(0)), inside)


def test_constant_rows_are_correlated_with_none():
    a = torch.cat([torch.full((2, 9), 0.1), torch.randn(2, 9)])
    edges, r = builders.correlation_edges(a, threshold=1e-6)
    assert set(edges.flatten().tolist()) == {2, 3}
    assert r.isfinite().all()
    assert builders.correlation_edges(torch.zeros(3, 0))[0].shape == (2, 0)
    with pytest.raises(ValueError, match="'threshold'"):
        builders.correlation_edges(a, threshold=0.0)
    with pytest.raises(ValueError, match="do not compare"):
        builders.correlation_edges(a, torch.zeros(2, 3))


def test_correlations_of_large_doubles_and_of_nan():
    rows = torch.tensor([[1e6, 1e6 + 1, 1e6 + 2, 1e6 + 5], [0, 1, 2, 5.0]], dtype=torch.double)
    edges, r = correlation_edges(rows)
    assert edges.tolist() == [[0, 1], [1, 0]]
    assert torch.allclose(r, torch.ones_like(r))
    with pytest.raises(ValueError, match="'a' holds NaN"):
        correlation_edges(rows.log(), k=1)
