import inspect

import pytest
import torch
from torch_geometric.loader import NeighborLoader as PyGNeighborLoader
from torch_geometric.nn import GAT, GraphSAGE
from torch_geometric.utils import trim_to_layer

from graphkit.sampling import NeighborLoader, NeighborSampler, open_graph, write_graph
from tests.sampling.graphs import TYPES, check_homogeneous, graph, hetero


def test_arguments_are_those_of_pyg():
    ours, theirs = (
        inspect.signature(kind.__init__).parameters for kind in (NeighborLoader, PyGNeighborLoader)
    )
    assert list(ours) == list(theirs)
    assert all(ours[name].default == theirs[name].default for name in ours)


@pytest.mark.parametrize("counts", [[3, 2], [-1, 2], [4, 0], [2, 2, 2], []])
@pytest.mark.parametrize("options", [{}, {"replace": True}, {"disjoint": True}])
def test_batches_are_parts_of_the_graph(counts, options):
    data, seeds = graph(), torch.tensor([5, 5, 59, 0, 5, 31])
    torch.manual_seed(0)
    batch = next(iter(NeighborLoader(data, counts, seeds, batch_size=6, **options)))
    check_homogeneous(data, batch, seeds.tolist(), counts)
    if options.get("disjoint"):
        assert batch.batch[:6].tolist() == list(range(6))
        assert torch.equal(batch.batch[batch.edge_index[0]], batch.batch[batch.edge_index[1]])
        pairs = torch.stack([batch.batch, batch.n_id]).t()
        assert len(pairs.unique(dim=0)) == len(pairs)


@pytest.mark.parametrize("kind", [GraphSAGE, GAT])
@pytest.mark.parametrize("disjoint", [False, True])
def test_whole_neighbourhoods_give_what_the_whole_graph_gives(kind, disjoint):
    """Seeds that repeat have all their edges each time; trimmed layers see what they need."""
    data = graph()
    data.x = data.x.double()
    torch.manual_seed(0)
    model = kind(6, 8, 2, 3).double().eval()
    wanted = model(data.x, data.edge_index)
    seeds = torch.cat([torch.arange(60), torch.tensor([3, 3, 8])])
    for batch in NeighborLoader(data, [-1, -1], seeds, batch_size=21, disjoint=disjoint):
        ids = batch.n_id[: batch.batch_size]
        out = model(batch.x, batch.edge_index)[: batch.batch_size]
        torch.testing.assert_close(out, wanted[ids], rtol=0, atol=1e-10)
        x, edge_index = batch.x, batch.edge_index
        for i, conv in enumerate(model.convs):
            x, edge_index, _ = trim_to_layer(
                i, batch.num_sampled_nodes, batch.num_sampled_edges, x, edge_index
            )
            x = conv(x, edge_index)
            x = model.act(x) if i == 0 else x
        torch.testing.assert_close(x[: batch.batch_size], wanted[ids], rtol=0, atol=1e-10)


def test_types_of_subgraphs():
    data, seeds = graph(), torch.tensor([5, 5, 31])
    for disjoint in (False, True):
        torch.manual_seed(1)
        loader = NeighborLoader(
            data, [3, 2], seeds, batch_size=3, subgraph_type="induced", disjoint=disjoint
        )
        batch = next(iter(loader))
        tree = batch.batch if disjoint else torch.zeros_like(batch.n_id)
        rows = [(int(t), int(n)) for t, n in zip(tree, batch.n_id, strict=True)]
        # A neighbour that stands several times is met at the first of its places.
        wanted = [
            (rows.index((t, int(source))), centre)
            for centre, (t, n) in enumerate(rows)
            for source, target in data.edge_index.t().tolist()
            if target == n and (t, source) in rows
        ]
        assert sorted(map(tuple, batch.edge_index.t().tolist())) == sorted(wanted)
        assert torch.equal(batch.n_id[batch.edge_index], data.edge_index[:, batch.e_id])
    batch = next(
        iter(NeighborLoader(data, [3, 2], seeds, batch_size=3, subgraph_type="bidirectional"))
    )
    assert batch.is_undirected()


@pytest.mark.parametrize("by_node", [True, False])
@pytest.mark.parametrize("strategy", ["uniform", "last"])
@pytest.mark.parametrize("subgraph_type", ["directional", "induced"])
def test_nothing_is_later_than_its_seed(by_node, strategy, subgraph_type):
    data = graph()
    data.time = torch.randint(20, (60 if by_node else 400,))
    limits = torch.randint(20, (40,))
    seeds = torch.randint(60, (40,))
    loader = NeighborLoader(
        data,
        [4, 3],
        seeds,
        limits,
        batch_size=40,
        time_attr="time",
        temporal_strategy=strategy,
        subgraph_type=subgraph_type,
    )
    batch = next(iter(loader))
    assert torch.equal(batch.seed_time, limits)
    row, col = batch.edge_index
    times = data.time[batch.n_id[row]] if by_node else data.time[batch.e_id]
    bound = limits[batch.batch[col]]
    assert bool((times <= bound).all())
    if subgraph_type == "induced":
        return
    for i, seed in enumerate(seeds):
        into = (data.edge_index[1] == seed).nonzero().view(-1)
        past = data.time[data.edge_index[0, into]] if by_node else data.time[into]
        past = past[past <= limits[i]]
        assert int((col == i).sum()) == min(len(past), 4)
        if strategy == "last":
            assert sorted(times[col == i].tolist()) == past.sort().values[-4:].tolist()


def test_times_of_seeds_and_of_weighted_draws():
    data = graph()
    data.time, data.w = torch.rand(60), torch.rand(400)
    loader = NeighborLoader(data, [4, 3], batch_size=60, time_attr="time", weight_attr="w")
    batch = next(iter(loader))
    bound = data.time[batch.n_id[:60]][batch.batch[batch.edge_index[1]]]
    assert bool((data.time[batch.n_id[batch.edge_index[0]]] <= bound).all())
    with pytest.raises(ValueError, match="'input_time' is given, but 'time_attr' is not"):
        NeighborLoader(data, [1], input_time=torch.zeros(60))
    with pytest.raises(ValueError, match="seeds need times"):
        next(iter(NeighborLoader(data, [1], time_attr="w")))


def test_typed_graphs_come_as_from_pyg():
    data = hetero()
    seeds = torch.tensor([3, 1, 3])
    for options in ({}, {"disjoint": True}, {"subgraph_type": "induced"}, {"replace": True}):
        batch = next(iter(NeighborLoader(data, [3, 2], ("paper", seeds), batch_size=3, **options)))
        assert batch["paper"].batch_size == 3
        assert batch["paper"].n_id[:3].tolist() == [3, 1, 3]
        for kind in ("author", "paper"):
            assert torch.equal(batch[kind].x, data[kind].x[batch[kind].n_id])
        for key in TYPES:
            row, col = batch[key].edge_index
            ends = torch.stack([batch[key[0]].n_id[row], batch[key[2]].n_id[col]])
            assert torch.equal(ends, data[key].edge_index[:, batch[key].e_id])
            if options.get("disjoint"):
                assert torch.equal(batch[key[0]].batch[row], batch[key[2]].batch[col])
    data["paper"].time = torch.rand(25)
    limits = torch.rand(25)
    timed = NeighborLoader(data, [3, 2], "paper", limits, batch_size=25, time_attr="time")
    batch = next(iter(timed))
    late = data["paper"].time[batch["paper"].n_id] > limits[batch["paper"].batch]
    assert not late[25:].any()
    assert batch["author"].num_nodes > 0


def test_seeds_of_no_type_are_refused_and_make_none(tmp_path):
    data = hetero()
    for seeds in (None, "book", ("book", torch.arange(3)), torch.arange(3), ["paper"]):
        with pytest.raises(ValueError, match="'input_nodes' must"):
            NeighborLoader(data, [2], seeds)
    assert data.node_types == ["author", "paper"]
    assert len(NeighborLoader(data, [2], ["paper", torch.arange(3)])) == 3
    stores = open_graph(write_graph(tmp_path / "g", graph()))
    with pytest.raises(ValueError, match="only in a Data are all of them the default"):
        NeighborLoader(stores, [2])


def test_edges_that_pyg_takes_no_parts_of_are_refused():
    data = graph()
    data.adj_t = torch.sparse_coo_tensor(data.edge_index, torch.ones(400), (60, 60))
    del data.edge_index
    with pytest.raises(ValueError, match=r"edges are a torch\.sparse tensor.*'edge_index'"):
        NeighborLoader(data, [2])


@pytest.mark.parametrize("persistent", [False, True])
def test_passes_differ_and_workers_do_not_matter(persistent):
    data, passes = graph(), []
    for workers in (0, 1, 2):
        kept = persistent and workers > 0
        generator = torch.Generator().manual_seed(3)
        loader = NeighborLoader(
            data,
            [3, 2],
            batch_size=7,
            shuffle=True,
            num_workers=workers,
            generator=generator,
            persistent_workers=kept,
        )
        passes.append([[(b.n_id.tolist(), b.e_id.tolist()) for b in loader] for _ in range(2)])
    assert passes[0] == passes[1] == passes[2]
    fixed = NeighborLoader(data, [3, 2], batch_size=60)
    assert next(iter(fixed)).e_id.tolist() != next(iter(fixed)).e_id.tolist()
    torch.manual_seed(2)
    first = next(iter(fixed)).e_id
    torch.manual_seed(2)
    assert torch.equal(first, next(iter(fixed)).e_id)


def test_the_loader_as_a_function_and_a_sampler_of_ones_own():
    data = graph()
    loader = NeighborLoader(
        data,
        [2],
        neighbor_sampler=NeighborSampler(data, [1]),
        transform=lambda b: b.put_tensor(torch.ones(1), attr_name="t", index=None) and b,
    )
    batch = loader([3, 4])
    assert batch.batch_size == 2
    assert batch.num_edges <= 2
    collate = loader.collate_fn
    iter(loader)
    assert loader.collate_fn == collate
