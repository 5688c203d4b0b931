import pytest
import torch

from graphkit.ops.paths.searches import portable
from graphkit.ops.paths.shortest_paths import PathIndex


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
