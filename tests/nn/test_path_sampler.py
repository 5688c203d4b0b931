import pytest
import torch
from torch_geometric.data import Data, HeteroData
from torch_geometric.sampler import NodeSamplerInput

from graphkit.nn import SPAGAN, PathLoader, PathSampler
from graphkit.ops import shortest_paths
from graphkit.transforms import paths_of


def graph(num_nodes=40, num_edges=120):
    edge_index = torch.randint(num_nodes, (2, num_edges))
    return Data(
        x=torch.randn(num_nodes, 6),
        edge_index=edge_index,
        edge_attr=torch.rand(num_edges),
        y=torch.arange(num_nodes),
    )


@pytest.mark.parametrize("lengths", [(2, 3), (2, 3, 4)])
def test_seeds_get_what_the_whole_graph_gives_them(lengths):
    data = graph()
    cost = torch.rand(data.num_edges)
    whole = shortest_paths(data.edge_index.flip(0), cost, max(lengths), num_nodes=40)
    model = SPAGAN(6, 4, 3, heads=2, lengths=lengths).double().eval()
    data.x = data.x.double()
    wanted = model(data.x, data.edge_index, whole)
    sampler = PathSampler(data, cost, max(lengths))
    seen = []
    for batch in PathLoader(data, sampler, batch_size=7, shuffle=True):
        assert batch.validate()
        seeds = batch.n_id[: batch.batch_size]
        found = model(batch.x, batch.edge_index, paths_of(batch))[: batch.batch_size]
        torch.testing.assert_close(found, wanted[seeds])
        assert torch.equal(batch.y, batch.n_id)
        assert torch.equal(batch.n_id[batch.edge_index], data.edge_index[:, batch.e_id])
        assert torch.equal(batch.edge_attr, data.edge_attr[batch.e_id])
        seen.append(seeds)
    assert torch.cat(seen).sort().values.tolist() == list(range(40))


def test_number_of_neighbours_is_bounded_and_drawn_at_random():
    data = graph(20, 300)
    sampler = PathSampler(data, ratio=1.0, num_neighbors=2, num_layers=1)
    whole = shortest_paths(data.edge_index.flip(0), ratio=1.0, num_nodes=20)[3].tolist()
    seeds = NodeSamplerInput(None, torch.tensor([3, 11, 5]))
    drawn = set()
    for _ in range(10):
        out = sampler.sample_from_nodes(seeds)
        assert out.node[:3].tolist() == [3, 11, 5]
        assert out.node.unique().numel() == out.node.numel()
        assert torch.bincount(out.col).tolist() == [2, 2, 2]
        assert torch.equal(out.node[out.row], data.edge_index[0, out.edge])
        assert torch.equal(out.node[out.col], data.edge_index[1, out.edge])
        rows = out.node[out.metadata[2][3]]
        assert torch.bincount(rows[:, 0]).max() <= 2
        assert all(row in whole for row in rows.tolist())
        drawn.add(tuple(sorted(out.edge.tolist())))
    assert len(drawn) > 1


def test_seeds_are_taken_from_a_mask():
    data = graph()
    mask = data.y % 3 == 0
    loader = PathLoader(data, PathSampler(data), mask, batch_size=100)
    batch = next(iter(loader))
    assert batch.n_id[: batch.batch_size].tolist() == mask.nonzero().view(-1).tolist()


def test_nodes_without_edges_come_alone():
    data = Data(x=torch.randn(3, 6), edge_index=torch.empty(2, 0, dtype=torch.long))
    for batch in PathLoader(data, PathSampler(data, num_neighbors=1), batch_size=1):
        assert batch.num_nodes == 1
        assert SPAGAN(6, 4, 3)(batch.x, batch.edge_index, paths_of(batch)).shape == (1, 3)


def test_wrong_graphs_and_options_are_refused():
    with pytest.raises(ValueError, match="'data'"):
        PathSampler(HeteroData())
    with pytest.raises(ValueError, match="'num_layers'"):
        PathSampler(graph(), num_layers=0)
    with pytest.raises(NotImplementedError, match="ends as seeds"):
        PathSampler(graph()).sample_from_edges(None)
