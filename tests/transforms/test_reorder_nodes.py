"""Another order of nodes: the same graph, undone at the output."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.nn import GCNConv
from torch_geometric.utils import grid

from graphkit.transforms import ReorderNodes, in_given_order


def shuffled_grid(side: int = 6) -> Data:
    torch.manual_seed(0)
    edge_index = torch.randperm(side**2)[grid(side, side)[0]]
    data = Data(torch.randn(side**2, 3), edge_index, torch.rand(edge_index.size(1), 2))
    data.y, data.train_mask = torch.arange(side**2), torch.rand(side**2) < 0.5
    data.edge_label_index, data.name = edge_index[:, :5].clone(), "grid"
    return data


@pytest.mark.parametrize("by", ["rcm", "degree"])
def test_it_is_the_same_graph(by: str) -> None:
    data, new = shuffled_grid(), ReorderNodes(by)(shuffled_grid())
    assert new.validate()
    assert not torch.equal(new.y, data.y)
    assert new.given_index.sort().values.equal(torch.arange(36))
    assert new.given_index[new.edge_index].equal(data.edge_index)
    assert new.given_index[new.edge_label_index].equal(data.edge_label_index)
    assert new.edge_attr.equal(data.edge_attr)
    assert new.name == "grid"
    for key in ("x", "y", "train_mask"):
        assert new[key].equal(data[key][new.given_index])
        assert in_given_order(new[key], new).equal(data[key])


def test_a_layer_gives_the_same_rows_and_gradients() -> None:
    data, layer = shuffled_grid(), GCNConv(3, 4).double()
    new = ReorderNodes()(data.clone())
    x = data.x.double().requires_grad_()
    expected = layer(x, data.edge_index)
    out = in_given_order(layer(x[new.given_index], new.edge_index), new)
    torch.testing.assert_close(out, expected)
    weight = torch.randn_like(out)
    grads = [torch.autograd.grad((v * weight).sum(), x)[0] for v in (out, expected)]
    torch.testing.assert_close(*grads)


def test_neighbours_come_close_to_each_other() -> None:
    """The bandwidth of a shuffled grid falls to about its side; nodes of most edges come first."""
    data = shuffled_grid(20)
    far = (data.edge_index[0] - data.edge_index[1]).abs().max()
    near = ReorderNodes()(data.clone()).edge_index.diff(dim=0).abs().max()
    assert near < 50 < far
    degrees = torch.bincount(ReorderNodes("degree")(data).edge_index[0])
    assert (degrees.diff() <= 0).all()


def test_directed_edges_and_nodes_without_any() -> None:
    data = ReorderNodes()(Data(edge_index=torch.tensor([[0], [4]]), num_nodes=6))
    assert data.num_nodes == 6
    assert data.given_index[data.edge_index].tolist() == [[0], [4]]
    empty = ReorderNodes()(Data(edge_index=torch.empty(2, 0, dtype=torch.long), num_nodes=2))
    assert empty.given_index.sort().values.tolist() == [0, 1]


def test_batches_of_reordered_graphs_are_undone_too() -> None:
    graphs = [shuffled_grid(3), shuffled_grid(4)]
    batch = Batch.from_data_list([ReorderNodes()(graph.clone()) for graph in graphs])
    assert in_given_order(batch.y, batch).equal(torch.cat([graph.y for graph in graphs]))


def test_what_cannot_be_reordered_is_refused() -> None:
    with pytest.raises(ValueError, match="'rcm' or 'degree'"):
        ReorderNodes("size")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="is a batch"):
        ReorderNodes()(Batch.from_data_list([shuffled_grid(3)]))
    with pytest.raises(ValueError, match="no edge_index"):
        ReorderNodes()(Data(x=torch.ones(3, 1)))
    once = ReorderNodes()(shuffled_grid(3))
    with pytest.raises(ValueError, match="another order already"):
        ReorderNodes()(once)
    with pytest.raises(ValueError, match="8 rows for 9 nodes"):
        in_given_order(torch.ones(8), once)
    assert ReorderNodes()(HeteroData()).to_dict() == HeteroData().to_dict()


def test_faces_move_along_and_numbers_of_no_node_stay() -> None:
    data = Data(
        pos=torch.arange(4.0).view(-1, 1),
        face=torch.tensor([[0, 1], [1, 2], [2, 3]]),
        edge_index=torch.tensor([[0, 3, 1, 2], [3, 1, 2, 0]]),
        parent_index=torch.tensor([-1, 0, 1, 2]),
    )
    new = ReorderNodes()(data)
    assert torch.equal(new.pos[new.face], data.pos[data.face])
    has_parent = data.parent_index >= 0
    assert new.parent_index[~has_parent].tolist() == [-1]
    assert torch.equal(
        new.pos[new.parent_index[has_parent]], data.pos[data.parent_index[has_parent]]
    )
