import pytest
import torch
from torch_geometric.utils import grid, stochastic_blockmodel_graph

from graphkit.sampling import partition

BLOCKS = 8


def cut(edge_index, part):
    return float((part[edge_index[0]] != part[edge_index[1]]).float().mean())


@pytest.fixture(scope="module")
def communities():
    torch.manual_seed(0)
    probability = torch.full((BLOCKS, BLOCKS), 0.002) + 0.1 * torch.eye(BLOCKS)
    edge_index = stochastic_blockmodel_graph([100] * BLOCKS, probability)
    names = torch.randperm(100 * BLOCKS)
    return names[edge_index]


@pytest.mark.parametrize("algorithm", ["greedy", "metis"])
def test_parts_are_balanced_and_cut_few_edges(algorithm, communities):
    if algorithm == "metis":
        pytest.importorskip("pymetis", reason="the extra 'metis' is not installed")
    for edge_index, num_nodes, most in (
        (communities, 800, 0.4),
        (grid(30, 30)[0], 900, 0.25),
    ):
        part = partition(edge_index, num_nodes, BLOCKS, algorithm=algorithm)
        sizes = torch.bincount(part, minlength=BLOCKS)
        assert int(sizes.min()) > 0.7 * num_nodes / BLOCKS
        assert int(sizes.max()) <= 1.06 * num_nodes / BLOCKS + 1
        # Parts by chance would cut seven of eight edges.
        assert cut(edge_index, part) < most
        assert torch.equal(part, partition(edge_index, num_nodes, BLOCKS, algorithm=algorithm))


def test_directions_loops_and_copies_of_edges_do_not_matter():
    edge_index = torch.randint(50, (2, 150), generator=torch.Generator().manual_seed(0))
    loops = torch.arange(50).repeat(2, 1)
    same = torch.cat([edge_index.flip(0), loops, edge_index], 1)
    first = partition(edge_index, 50, 4, algorithm="greedy")
    assert torch.equal(first, partition(same, 50, 4, algorithm="greedy"))


@pytest.mark.parametrize("algorithm", ["greedy", "metis"])
@pytest.mark.parametrize(("num_nodes", "num_parts"), [(1, 1), (5, 5), (7, 3), (20, 1)])
def test_no_part_is_empty(algorithm, num_nodes, num_parts):
    if algorithm == "metis":
        pytest.importorskip("pymetis", reason="the extra 'metis' is not installed")
    empty = torch.empty(2, 0, dtype=torch.long)
    star = torch.stack([torch.zeros(num_nodes, dtype=torch.long), torch.arange(num_nodes)])
    for edge_index in (empty, star):
        part = partition(edge_index, num_nodes, num_parts, algorithm=algorithm)
        assert part.unique().tolist() == list(range(num_parts))


def test_what_is_wrong_is_refused_by_name():
    edge_index = torch.tensor([[0], [1]])
    for options, words in (
        ({"num_parts": 3}, "'num_parts'"),
        ({"num_parts": 0}, "'num_parts'"),
        ({"algorithm": "louvain"}, "'algorithm'"),
        ({"algorithm": "greedy", "recursive": True}, "'recursive'"),
    ):
        with pytest.raises(ValueError, match=words):
            partition(edge_index, 2, **{"num_parts": 2, **options})
    with pytest.raises(ValueError, match="'edge_index'"):
        partition(edge_index, 1, 1)
