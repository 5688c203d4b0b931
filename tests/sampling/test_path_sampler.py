import pytest
import torch
from torch.utils.data import DistributedSampler, WeightedRandomSampler
from torch_geometric.data import Data, HeteroData
from torch_geometric.sampler import NodeSamplerInput

from graphkit.nn import SPAGAN
from graphkit.ops import shortest_paths
from graphkit.sampling import PathLoader, PathSampler
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


def test_seeds_that_repeat_get_what_the_whole_graph_gives_them():
    """With seeds [0, 0] the first of both rows had no edges at all."""
    data = graph()
    loops = torch.tensor([[0, 0, 5], [0, 0, 5]])
    data.edge_index = torch.cat([data.edge_index, loops], 1)
    data.edge_attr = torch.rand(data.num_edges)
    data.x = data.x.double()
    whole = shortest_paths(data.edge_index.flip(0), num_nodes=40)
    model = SPAGAN(6, 4, 3, heads=2).double().eval()
    wanted = model(data.x, data.edge_index, whole)
    for num_layers in (2, 1):
        sampler = PathSampler(data, num_layers=num_layers)
        for seeds in ([0, 0], [5, 0, 5, 7, 0, 5, 11], list(range(40)) * 2):
            batch = next(iter(PathLoader(data, sampler, torch.tensor(seeds), batch_size=99)))
            assert batch.validate()
            assert batch.n_id[: batch.batch_size].tolist() == seeds
            assert torch.equal(batch.n_id[batch.edge_index], data.edge_index[:, batch.e_id])
            into = torch.bincount(batch.edge_index[1], minlength=batch.num_nodes)[: len(seeds)]
            assert torch.equal(into, torch.bincount(data.edge_index[1], minlength=40)[seeds])
            if num_layers == 2:
                out = model(batch.x, batch.edge_index, paths_of(batch))[: len(seeds)]
                torch.testing.assert_close(out, wanted[seeds])


def test_samplers_of_torch_choose_the_seeds():
    data = graph()
    paths = PathSampler(data)
    weights = torch.arange(40) % 4 == 0
    drawn = WeightedRandomSampler(weights.double(), 60, generator=torch.Generator().manual_seed(1))
    seeds = torch.cat([b.n_id[: b.batch_size] for b in PathLoader(data, paths, sampler=drawn)])
    assert len(seeds) == 60
    assert set((seeds % 4).tolist()) == {0}
    shares = []
    for rank in range(2):
        part = DistributedSampler(range(40), num_replicas=2, rank=rank, shuffle=False)
        loader = PathLoader(data, paths, sampler=part, batch_size=8)
        shares.append(torch.cat([batch.n_id[: batch.batch_size] for batch in loader]))
    assert torch.cat(shares).sort().values.tolist() == list(range(40))
    assert shares[0].tolist() == list(range(0, 40, 2))


def test_the_old_name_of_the_path_sampler_works_and_others_are_refused():
    data = graph()
    paths = PathSampler(data)
    old = next(iter(PathLoader(data, sampler=paths, input_nodes=torch.tensor([3]))))
    new = next(iter(PathLoader(data, paths, torch.tensor([3]))))
    assert torch.equal(old.edge_index, new.edge_index)
    for wrong in ({}, {"sampler": range(4)}, {"node_sampler": "paths"}):
        with pytest.raises(TypeError, match="'node_sampler' must be a PathSampler"):
            PathLoader(data, **wrong)


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
