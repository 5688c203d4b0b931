import itertools
import math
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphkit.ops.paths.shortest_paths import PathIndex, shortest_paths

MODULE = sys.modules["graphkit.ops.paths.shortest_paths"]


def neighbours(edges, num_nodes):
    near = {node: {} for node in range(num_nodes)}
    for u, v, cost in edges:
        if u != v:
            near[u][v] = min(cost, near[u].get(v, math.inf))
    return near


def total(path, near):
    cost = 0.0
    for u, v in itertools.pairwise(path):
        cost += near[u][v]
    return cost


def rank(path, near):
    """Order of equally long paths: cost, then the prefix by this rule, then the end."""
    if len(path) == 1:
        return ()
    return (total(path, near), rank(path[:-1], near), path[-1])


def brute_force(edges, num_nodes, max_nodes, ratio):
    """All simple paths of every source, written out and compared."""
    near = neighbours(edges, num_nodes)
    found = {c: [] for c in range(2, max_nodes + 1)}
    for source in range(num_nodes):
        kept = math.floor(ratio * len(near[source]))
        walks, cheapest = [(source,)], {}
        for c in found:
            walks = [(*w, v) for w in walks for v in near[w[-1]] if v not in w]
            walks.sort(key=lambda w: rank(w, near))
            here = {}
            for walk in walks:
                if total(walk, near) < cheapest.get(walk[-1], math.inf):
                    here.setdefault(walk[-1], walk)
            for walk in walks:
                cost = total(walk, near)
                cheapest[walk[-1]] = min(cost, cheapest.get(walk[-1], math.inf))
            found[c] += [list(w) for w in here.values()][: None if c == 2 else kept]
    return found


@st.composite
def weighted_graphs(draw):
    num_nodes = draw(st.integers(1, 12))
    node = st.integers(0, num_nodes - 1)
    cost = draw(
        st.sampled_from([st.just(1.0), st.integers(0, 3).map(float), st.floats(0, 1, width=32)])
    )
    edges = draw(st.lists(st.tuples(node, node, cost), max_size=3 * num_nodes))
    return num_nodes, edges


def tensors(edges):
    edge_index = torch.tensor([[u, v] for u, v, _ in edges], dtype=torch.long).view(-1, 2).t()
    return edge_index, torch.tensor([cost for _, _, cost in edges], dtype=torch.float64)


@given(weighted_graphs(), st.integers(2, 5), st.sampled_from([0.0, 0.5, 1.0, 2.0, 99.0]))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_hop_mode_equals_brute_force(graph, max_nodes, ratio):
    num_nodes, edges = graph
    found = shortest_paths(*tensors(edges), max_nodes, ratio, num_nodes=num_nodes)
    wanted = brute_force(edges, num_nodes, max_nodes, ratio)
    assert {c: paths.tolist() for c, paths in found.items()} == wanted


def random_graph(seed, num_nodes=12, num_edges=40):
    generator = torch.Generator().manual_seed(seed)
    edge_index = torch.randint(num_nodes, (2, num_edges), generator=generator)
    return edge_index, torch.rand(num_edges, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("seed", range(10))
def test_exact_mode_equals_brute_force_over_all_lengths(seed):
    edge_index, cost = random_graph(seed, num_nodes=7, num_edges=16)
    edges = list(zip(*edge_index.tolist(), cost.tolist(), strict=True))
    near = neighbours(edges, 7)
    everything = brute_force(edges, 7, 7, 99.0)
    best = {}
    for paths in everything.values():
        for path in paths:
            pair, cost_of_path = (path[0], path[-1]), total(path, near)
            best[pair] = min(best.get(pair, (math.inf, [])), (cost_of_path, path))
    found = shortest_paths(edge_index, cost, 4, 99.0, "exact", num_nodes=7)
    for c in (3, 4):
        wanted = sorted(path for _, path in best.values() if len(path) == c)
        assert sorted(found[c].tolist()) == wanted
    assert found[2].tolist() == everything[2]


def test_long_hop_paths_are_the_exact_ones():
    edge_index, cost = random_graph(0)
    hop = shortest_paths(edge_index, cost, 12, math.inf)
    exact = shortest_paths(edge_index, cost, 12, math.inf, "exact")
    best = {}
    for c in sorted(hop):
        best |= {(path[0], path[-1]): c for path in hop[c].tolist()}
    for c in range(3, 13):
        wanted = [path for path in hop[c].tolist() if best[path[0], path[-1]] == c]
        assert sorted(wanted) == sorted(exact[c].tolist())


def test_a_detour_is_kept_only_if_it_is_cheaper():
    edge_index = torch.tensor([[0, 1, 0], [1, 2, 2]])
    found = shortest_paths(edge_index, torch.tensor([0.1, 0.1, 1.0]))
    assert found[2].tolist() == [[0, 1], [0, 2], [1, 2]]
    assert found[3].tolist() == [[0, 1, 2]]
    assert shortest_paths(edge_index, torch.tensor([0.1, 0.1, 0.15]))[3].shape == (0, 3)
    assert shortest_paths(edge_index, torch.tensor([0.5, 0.5, 1.0]))[3].shape == (0, 3)


@pytest.mark.parametrize("method", ["hop", "exact"])
@pytest.mark.parametrize("ratio", [0.0, 0.3, 0.5, 1.0])
def test_quota_is_respected_and_filled_cheapest_first(method, ratio):
    edge_index, cost = random_graph(3, 30, 200)
    near = neighbours(list(zip(*edge_index.tolist(), cost.tolist(), strict=True)), 30)
    kept = shortest_paths(edge_index, cost, 3, ratio, method)[3].tolist()
    everything = shortest_paths(edge_index, cost, 3, math.inf, method)[3].tolist()
    for source in range(30):
        quota = math.floor(ratio * len(near[source]))
        wanted = sorted((p for p in everything if p[0] == source), key=lambda p: total(p, near))
        assert [p for p in kept if p[0] == source] == wanted[:quota]


def test_sources_give_their_rows_of_the_whole_answer():
    edge_index, cost = random_graph(4, 50, 300)
    index = PathIndex(edge_index, cost, 50)
    whole = index.query(max_nodes=4)
    sources = torch.tensor([7, 3, 49])
    for method in ("hop", "exact"):
        whole = index.query(max_nodes=4, method=method)
        part = index.query(sources, max_nodes=4, method=method)
        for c, paths in whole.items():
            wanted = torch.cat([paths[paths[:, 0] == source] for source in sources])
            assert torch.equal(part[c], wanted)


def test_chunks_and_threads_change_nothing(monkeypatch):
    edge_index, cost = random_graph(5, 100, 600)
    wanted = shortest_paths(edge_index, cost, 4)
    monkeypatch.setattr(MODULE, "CHUNK", 7)
    found = shortest_paths(edge_index, cost, 4)
    assert all(torch.equal(found[c], wanted[c]) for c in wanted)


def test_self_paths_come_on_request_and_last():
    edge_index = torch.tensor([[0, 1], [1, 2]])
    found = shortest_paths(edge_index, ratio=1.0, num_nodes=4, self_paths=True)
    assert found[3].tolist() == [[0, 1, 2], [0, 0, 0], [1, 1, 1], [2, 2, 2], [3, 3, 3]]


def test_costs_of_attention_are_unchanged_by_a_constant_logit():
    from torch_geometric.utils import softmax

    edge_index, logit = random_graph(6, 20, 120)
    first, second = (1 - softmax(values, edge_index[1]) for values in (logit, logit + 5.0))
    found = [shortest_paths(edge_index, cost.float(), 3) for cost in (first, second)]
    assert torch.equal(found[0][3], found[1][3])


def test_empty_graphs_and_isolated_nodes():
    empty = torch.empty(2, 0, dtype=torch.long)
    for method in ("hop", "exact"):
        for num_nodes in (0, 3):
            found = shortest_paths(empty, method=method, num_nodes=num_nodes)
            assert {c: tuple(p.shape) for c, p in found.items()} == {2: (0, 2), 3: (0, 3)}
        loop = torch.tensor([[1], [1]])
        assert shortest_paths(loop, method=method, num_nodes=3)[2].shape == (0, 2)


def test_edge_index_class_and_gradient_costs_are_accepted():
    from torch_geometric import EdgeIndex

    edge_index, cost = random_graph(7)
    wanted = shortest_paths(edge_index, cost)
    given_class = EdgeIndex(edge_index, sparse_size=(12, 12))
    found = shortest_paths(given_class, cost.requires_grad_())
    assert all(torch.equal(found[c], wanted[c]) for c in wanted)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"edge_index": torch.tensor([[0.0], [1.0]])}, TypeError, "edge_index"),
        ({"edge_index": torch.tensor([0, 1])}, ValueError, r"\[2, E\]"),
        ({"num_nodes": 2}, IndexError, "0 … 1, got 0 to 2"),
        ({"cost": torch.tensor([1.0])}, ValueError, r"'cost' must have shape \[2\]"),
        ({"cost": torch.tensor([1.0, -1.0])}, ValueError, "not negative, got -1.0"),
        ({"cost": torch.tensor([1.0, float("nan")])}, ValueError, "finite"),
        ({"cost": torch.tensor([1.0, float("inf")])}, ValueError, "finite"),
        ({"max_nodes": 1}, ValueError, "max_nodes"),
        ({"ratio": -0.5}, ValueError, "ratio"),
        ({"ratio": float("nan")}, ValueError, "ratio"),
        ({"method": "greedy"}, ValueError, "greedy"),
        ({"sources": torch.tensor([3])}, IndexError, "sources"),
        ({"sources": torch.tensor([True, False, True])}, TypeError, "sources"),
    ],
)
def test_bad_input_is_refused_by_name(changes, error, message):
    arguments = {"edge_index": torch.tensor([[0, 1], [1, 2]])} | changes
    with pytest.raises(error, match=message):
        shortest_paths(**arguments)


def test_zero_costs_are_edges():
    edge_index = torch.tensor([[0, 1, 0], [1, 2, 2]])
    for method in ("hop", "exact"):
        found = shortest_paths(edge_index, torch.tensor([0.0, 0.0, 1.0]), method=method)
        np.testing.assert_array_equal(found[3].numpy(), [[0, 1, 2]])
