"""The graph strategies draw valid graphs, and do draw the awkward ones."""

import pytest
import torch
from hypothesis import find, given, settings
from hypothesis.errors import NoSuchExample
from torch_geometric.nn import GraphConv

from graphkit.testing.strategies import datas, edge_indices, hetero_datas

FAST = settings(max_examples=40, deadline=None, derandomize=True, database=None)
SEARCH = settings(max_examples=500, deadline=None, derandomize=True, database=None)


def has_isolated(data):
    return data.num_nodes > data.edge_index.unique().numel()


def has_loop(data):
    return bool((data.edge_index[0] == data.edge_index[1]).any())


def has_duplicate(data):
    return data.edge_index.unique(dim=1).size(1) < data.edge_index.size(1)


AWKWARD = {
    "isolated": has_isolated,
    "loop": has_loop,
    "duplicate": has_duplicate,
    "no edges": lambda data: data.num_nodes > 1 and data.num_edges == 0,
    "no nodes": lambda data: data.num_nodes == 0,
    "one node": lambda data: data.num_nodes == 1,
}


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_graphs_are_drawn(name):
    assert AWKWARD[name](find(datas(), AWKWARD[name], settings=SEARCH))


def test_failures_shrink_to_small_graphs():
    data = find(datas(), lambda data: data.num_edges >= 2, settings=SEARCH)
    assert data.num_edges == 2
    assert data.num_nodes == 1


@pytest.mark.parametrize(
    ("switch", "found"), [("self_loops", has_loop), ("duplicates", has_duplicate)]
)
def test_switched_off_is_never_drawn(switch, found):
    with pytest.raises(NoSuchExample):
        find(datas(**{switch: False}), found, settings=SEARCH)


@FAST
@given(data=datas(num_features=3, edge_channels=2, dtype=torch.float64))
def test_datas_are_valid(data):
    assert data.validate()
    assert data.x.shape == (data.num_nodes, 3)
    assert data.x.dtype == torch.float64
    assert data.edge_attr.shape == (data.num_edges, 2)
    out = GraphConv(3, 2).double()(data.x, data.edge_index)
    assert out.isfinite().all()


@FAST
@given(data=datas(undirected=True, min_nodes=1, duplicates=False))
def test_undirected_graphs_hold_both_directions(data):
    assert data.is_undirected()
    assert not has_duplicate(data)


@FAST
@given(data=hetero_datas())
def test_hetero_datas_are_valid(data):
    assert data.validate()
    assert data.node_types == ["a", "b"]
    assert set(data.edge_types) == {("a", "to", "b"), ("b", "of", "a")}


@FAST
@given(edge_index=edge_indices((3, 5), max_edges=4))
def test_bipartite_edges_stay_in_range(edge_index):
    assert edge_index.dtype == torch.int64
    assert edge_index.size(1) <= 4
    assert (edge_index < torch.tensor([[3], [5]])).all()
