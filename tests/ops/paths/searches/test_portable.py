import pytest
import torch

from graphkit.ops.paths.searches import portable
from graphkit.ops.paths.shortest_paths import PathIndex
from tests.ops.paths.test_shortest_paths import brute_force, random_graph


@pytest.mark.parametrize("budget", [1, 50, 1 << 20])
@pytest.mark.parametrize("costs", ["real", "integer"])
def test_torch_and_numba_find_the_same_paths_in_the_same_order(budget, costs):
    edge_index = torch.randint(60, (2, 300))
    cost = torch.rand(300) if costs == "real" else torch.randint(3, (300,)).float()
    index = PathIndex(edge_index, cost, 60)
    sources = torch.randperm(60)[:40]
    quota = index.degree[sources] // 2
    for max_nodes in (3, 4, 5):
        wanted = index.query(sources, max_nodes)
        found = portable.search_sources(index, sources, quota, max_nodes, budget)
        assert len(found) == max_nodes - 2
        for paths in found:
            assert torch.equal(paths, wanted[paths.size(1)])


def test_rank_in_group():
    rank = portable.rank_in_group(torch.tensor([0, 0, 2, 2, 2]), 3)
    assert rank.tolist() == [0, 1, 0, 1, 2]


@pytest.mark.parametrize("budget", [1, 30, 1 << 20])
@pytest.mark.parametrize("costs", ["real", "tied", "none"])
@pytest.mark.parametrize("ratio", [0.5, 1.0, 99.0])
def test_paths_are_those_of_brute_force(ratio, costs, budget):
    edges, cost = random_graph(3, num_nodes=9, num_edges=24)
    cost = {"real": cost, "tied": (3 * cost).floor(), "none": 0 * cost}[costs]
    index = PathIndex(edges, cost, 9)
    quota = (index.degree * min(ratio, 9.0)).floor().long()
    wanted = brute_force(list(zip(*edges.tolist(), cost.tolist(), strict=True)), 9, 5, ratio)
    found = portable.search_sources(index, torch.arange(9), quota, 5, budget)
    assert [paths.tolist() for paths in found] == [wanted[count] for count in (3, 4, 5)]
    assert portable.search_sources(index, torch.arange(9), quota, 2, budget) == []


def test_first_of_group():
    found = portable.first_of_group(torch.tensor([3, 3, 4, 4, 4, 7]))
    assert found.tolist() == [True, False, True, False, False, True]
    assert portable.first_of_group(torch.empty(0)).tolist() == []


def test_the_first_cheapest_of_each_key_that_is_better_than_before():
    key, cost = torch.tensor([5, 2, 5, 2, 9, 11]), torch.tensor([1.0, 3, 1, 2, 4, 1])
    reached, before = torch.tensor([2, 9]), torch.tensor([2.0, 5.0])
    assert portable.cheapest(key, cost, reached, before).tolist() == [0, 4, 5]
    assert portable.cheapest(key, cost, reached, before - 1.5).tolist() == [0, 5]


def test_new_costs_replace_old_ones():
    old, new = (torch.tensor([2, 9]), torch.tensor([2.0, 5.0])), torch.tensor([0, 9, 12])
    keys, costs = portable.merge(*old, new, torch.tensor([1.0, 4.0, 7.0]))
    assert keys.tolist() == [0, 2, 9, 12]
    assert costs.tolist() == [1, 2, 4, 7]
