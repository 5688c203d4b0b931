import numpy as np
import pytest
import torch

from graphkit.ops.paths.path_graph import PathGraph
from graphkit.ops.paths.searches import compiled as search
from tests.ops.paths.test_shortest_paths import brute_force, random_graph


def star(leaves):
    """A hub 0 whose leaves are joined to it both ways, the i-th leaf at cost i."""
    rowptr = np.concatenate([[0], leaves + np.arange(leaves + 1)])
    col = np.concatenate([np.arange(1, leaves + 1), np.zeros(leaves, np.int64)])
    cost = np.concatenate([np.arange(1.0, leaves + 1), np.arange(1.0, leaves + 1)])
    return rowptr, col, cost


def test_arrays_grow_beyond_their_first_size():
    leaves = 3000
    quota, best = np.array([leaves]), np.zeros(leaves + 1, np.int32)
    nodes, hops = search.search_sources(*star(leaves), np.array([5]), quota, 3, best)
    ends = np.delete(np.arange(1, leaves + 1), 4)
    np.testing.assert_array_equal(nodes[:, 2], ends)
    assert (nodes[:, :2] == [5, 0]).all()
    assert (hops == 2).all()


def test_the_shared_table_is_left_clean():
    best = np.zeros(11, np.int32)
    sources = np.arange(11)
    search.search_sources(*star(10), sources, np.full(11, 2), 4, best)
    assert not best.any()


def test_compiled_and_plain_python_agree():
    arguments = (*star(6), np.arange(7), np.full(7, 3), 3)
    compiled = search.search_sources(*arguments, np.zeros(7, np.int32))
    plain = search.search_sources.py_func(*arguments, np.zeros(7, np.int32))
    np.testing.assert_array_equal(compiled[0][:, :3], plain[0][:, :3])
    np.testing.assert_array_equal(compiled[1], plain[1])


@pytest.mark.parametrize("costs", ["real", "tied", "none"])
@pytest.mark.parametrize("ratio", [0.5, 1.0, 99.0])
@pytest.mark.parametrize("max_nodes", [2, 3, 4, 6])
def test_paths_are_those_of_brute_force(max_nodes, ratio, costs):
    edges, cost = random_graph(3, num_nodes=9, num_edges=24)
    cost = {"real": cost, "tied": (3 * cost).floor(), "none": 0 * cost}[costs]
    graph = PathGraph(edges, cost, 9)
    arrays = [array.numpy() for array in (graph.rowptr, graph.col, graph.cost)]
    quota = (graph.degree * min(ratio, 9.0)).floor().long().numpy()
    best = np.zeros(9, np.int32)
    nodes, hops = search.search_sources(*arrays, np.arange(9), quota, max_nodes, best)
    wanted = brute_force(
        list(zip(*edges.tolist(), cost.tolist(), strict=True)), 9, max_nodes, ratio
    )
    for count in range(3, max_nodes + 1):
        assert nodes[hops == count - 1, :count].tolist() == wanted[count]
    assert ((hops >= 2) & (hops < max_nodes)).all()
    assert not best.any()


def test_labels_grow_beyond_their_first_size():
    """A hub of 1,500 leaves has that many labels, and no path of three nodes."""
    leaves = 1500
    best = np.zeros(leaves + 1, np.int32)
    nodes, hops = search.search_sources(*star(leaves), np.array([0]), np.array([3]), 3, best)
    assert nodes.shape == (0, 3)
    assert hops.size == 0
    grown = search.grown.py_func(np.arange(6).reshape(3, 2))
    assert grown.shape == (6, 2)
    assert grown[:3].tolist() == [[0, 1], [2, 3], [4, 5]]


def test_a_source_of_no_quota_has_no_paths():
    quota = np.array([0, 2, 0])
    nodes, _ = search.search_sources(*star(5), np.array([1, 2, 3]), quota, 3, np.zeros(6, np.int32))
    assert nodes.tolist() == [[2, 0, 1], [2, 0, 3]]
    assert torch.from_numpy(nodes).dtype == torch.int64
