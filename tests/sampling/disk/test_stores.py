import io
import json
import pickle

import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.loader import NodeLoader

from graphkit.sampling import (
    DiskFeatureStore,
    DiskGraphStore,
    NeighborLoader,
    NeighborSampler,
    open_graph,
    write_graph,
)
from tests.sampling.graphs import TYPES, graph, hetero


def sorted_edges(data):
    """The graph with its edges in the order of the folder."""
    order = torch.argsort(data.edge_index[1], stable=True)
    return Data(
        x=data.x, y=data.y, edge_index=data.edge_index[:, order], edge_attr=data.edge_attr[order]
    )


def test_batches_from_disk_are_those_from_memory(tmp_path):
    data = graph()
    folder = write_graph(tmp_path / "g", data)
    ordered, seeds = sorted_edges(data), torch.tensor([5, 5, 59, 0])
    for options in ({}, {"replace": True}, {"subgraph_type": "induced"}):
        torch.manual_seed(0)
        wanted = next(
            iter(NeighborLoader(ordered, [4, 3], seeds, batch_size=4, is_sorted=True, **options))
        )
        torch.manual_seed(0)
        found = next(
            iter(NeighborLoader(open_graph(folder), [4, 3], seeds, batch_size=4, **options))
        )
        for name in ("n_id", "e_id", "edge_index", "x", "y", "input_id"):
            assert torch.equal(found[name], wanted[name])
    attrs = DiskFeatureStore(folder).get_tensor(("_", "_", "_"), "edge_attr", index=found.e_id)
    assert torch.equal(attrs, wanted.edge_attr)


def test_types_on_disk(tmp_path):
    data = hetero()
    data["paper"].time = torch.randint(9, (25,))
    stores = open_graph(write_graph(tmp_path / "g", data))
    loader = NeighborLoader(stores, [-1, -1], ("paper", torch.arange(25)), batch_size=25)
    batch = next(iter(loader))
    for kind in ("author", "paper"):
        assert torch.equal(batch[kind].x, data[kind].x[batch[kind].n_id])
    for key in TYPES:
        row, col = batch[key].edge_index
        pairs = torch.stack([batch[key[0]].n_id[row], batch[key[2]].n_id[col]])
        whole = data[key].edge_index
        assert (
            sorted(map(tuple, pairs.t().tolist()))
            == sorted(tuple(p) for p in whole.t().tolist() if p[1] in batch[key[2]].n_id.tolist())
            or key[2] == "author"
        )


def test_times_on_disk(tmp_path):
    data = graph()
    data.time = torch.randint(20, (60,))
    order = torch.argsort(data.time[data.edge_index[0]], stable=True)
    data.edge_index, data.edge_attr = data.edge_index[:, order], data.edge_attr[order]
    stores = open_graph(write_graph(tmp_path / "g", data))
    seeds = torch.arange(60)
    batch = next(
        iter(
            NodeLoader(
                stores, NeighborSampler(stores, [4, 3], time_attr="time"), seeds, batch_size=60
            )
        )
    )
    bound = data.time[batch.n_id[:60]][batch.batch[batch.edge_index[1]]]
    assert bool((data.time[batch.n_id[batch.edge_index[0]]] <= bound).all())
    assert batch.num_edges > 0


def test_workers_open_the_folder_anew(tmp_path):
    stores = open_graph(write_graph(tmp_path / "g", graph()))
    copies = pickle.loads(pickle.dumps(stores))
    assert len(pickle.dumps(stores)) < 2000
    assert torch.equal(copies[1].csc()[0], stores[1].csc()[0])
    seeds = torch.arange(60)
    passes = []
    for workers in (0, 2):
        torch.manual_seed(1)
        loader = NeighborLoader(stores, [3], seeds, batch_size=9, num_workers=workers)
        passes.append([b.x.sum().item() for b in loader])
    assert passes[0] == passes[1]


def test_stores_refuse_what_they_cannot(tmp_path):
    features, edges = open_graph(write_graph(tmp_path / "g", graph()))
    with pytest.raises(KeyError, match="has no z of None"):
        features.get_tensor(None, "z", index=None)
    with pytest.raises(IndexError, match="rows of x go from 0 to 59"):
        features.get_tensor(None, "x", index=torch.tensor([60]))
    with pytest.raises(io.UnsupportedOperation, match="read-only"):
        features.put_tensor(torch.zeros(60), None, "z", index=None)
    with pytest.raises(io.UnsupportedOperation, match="read-only"):
        edges.remove_edge_index(edges.get_all_edge_attrs()[0])
    assert features.get_tensor(None, "x", index=slice(2, 5)).shape == (3, 6)
    assert features.get_tensor_size(None, "x", index=None) == (60, 6)
    before = features.get_tensor(None, "y", index=None)
    before[0] = 77
    assert int(DiskFeatureStore(features.path).get_tensor(None, "y", index=None)[0]) == 0


@pytest.mark.parametrize(
    "name", ["graph.json", "edges/_/row.npy", "edges/_/colptr.npy", "nodes/_/attr-x.npy"]
)
def test_damaged_files_are_named(name, tmp_path):
    folder = write_graph(tmp_path / "g", graph())
    whole = (folder / name).read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"\x80\x04junk" + whole):
        (folder / name).write_bytes(damaged)
        with pytest.raises(ValueError, match=name.split("/")[-1].replace(".", r"\.")):
            open_graph(folder)
    (folder / name).unlink()
    with pytest.raises((ValueError, FileNotFoundError), match=name.split("/")[-1]):
        open_graph(folder)


def test_edges_that_lead_nowhere_are_seen(tmp_path):
    folder = write_graph(tmp_path / "g", graph())
    rows, bounds = (np.load(folder / "edges" / "_" / f"{n}.npy") for n in ("row", "colptr"))
    for wrong in (-1, 60):
        changed = rows.copy()
        changed[7] = wrong
        np.save(folder / "edges" / "_" / "row.npy", changed)
        with pytest.raises(ValueError, match=f"{wrong} is none of 60 nodes"):
            DiskGraphStore(folder)
        DiskGraphStore(folder, check=False)
    np.save(folder / "edges" / "_" / "row.npy", rows)
    bounds[3] = 390
    np.save(folder / "edges" / "_" / "colptr.npy", bounds)
    with pytest.raises(ValueError, match="bounds fall"):
        DiskGraphStore(folder)
    np.save(folder / "edges" / "_" / "row.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"row\.npy"):
        DiskGraphStore(folder)
    for wrong in (rows.astype(">i4"), rows.astype(np.longdouble), rows[:, None]):
        np.save(folder / "edges" / "_" / "row.npy", wrong)
        with pytest.raises(
            ValueError,
            match=r"row\.npy' (holds numbers of >i4|is damaged)|row\.npy is no plain list",
        ):
            DiskGraphStore(folder)


NODES = {"type": None, "num_nodes": 60, "attrs": ["x"]}
EDGES = {"type": None, "num_edges": 400, "attrs": []}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"graphkit_graph": 2}, "it is of version 2; .*later version"),
        ({"graphkit_graph": True}, "its version is True"),
        ({"nodes": [NODES, NODES]}, "a type stands twice"),
        ({"edges": [EDGES, EDGES]}, "a type stands twice"),
        ({"nodes": [{**NODES, "type": "a"}]}, "no nodes for the edges None"),
        ({"edges": [{**EDGES, "type": ["a", "to"]}]}, "not enough values"),
        ({"nodes": [{**NODES, "num_nodes": -1}]}, "negative size, or an attribute twice"),
        ({"nodes": [{**NODES, "attrs": ["x", "x"]}]}, "negative size, or an attribute twice"),
        ({"nodes": [{**NODES, "attrs": ["../x"]}]}, "cannot be the name of a file"),
        ({"nodes": [{**NODES, "num_nodes": 1.5}]}, "num_nodes is 1.5"),
        ({"nodes": 5}, "TypeError"),
    ],
)
def test_contents_that_are_no_graph_are_refused(changed, words, tmp_path):
    file = write_graph(tmp_path / "g", graph()) / "graph.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changed}))
    for store in (DiskGraphStore, DiskFeatureStore):
        with pytest.raises(ValueError, match=rf"graph\.json': .*{words}"):
            store(file.parent)
