import pytest
import torch
from torch_geometric.data import Data, HeteroData
from torch_geometric.nn import GCNConv
from torch_geometric.utils import to_undirected

from graphkit.transforms import ContinuousDropEdge


def graph(**more):
    torch.manual_seed(0)
    edge_index = to_undirected(torch.randint(30, (2, 90)), num_nodes=30)
    return Data(x=torch.randn(30, 4), edge_index=edge_index, **more)


@pytest.mark.parametrize("noise", ["uniform", "gaussian", "bernoulli"])
def test_weights_are_what_they_were_on_average(noise):
    data = graph()
    data.edge_weight = torch.rand(data.num_edges) + 0.5
    drop = ContinuousDropEdge(noise, generator=torch.Generator().manual_seed(0))
    total = torch.stack([drop(data.clone()).edge_weight for _ in range(2000)])
    error = data.edge_weight * (drop.noise.relative_variance / 2000) ** 0.5
    assert ((total.mean(0) - data.edge_weight).abs() < 5 * error).all()


def test_both_directions_share_a_mask_only_if_asked_to():
    data = graph()
    dense = torch.zeros(30, 30)
    for undirected in (True, False):
        out = ContinuousDropEdge("uniform", undirected)(data.clone())
        dense[tuple(out.edge_index)] = out.edge_weight
        assert torch.equal(dense, dense.t()) == undirected
    assert out.edge_weight.unique().numel() > 0.9 * data.num_edges


def test_edges_stay_and_a_layer_takes_the_weights():
    data = graph()
    out = ContinuousDropEdge("bernoulli", p=0.5)(data)
    assert out is not data
    assert "edge_weight" not in data
    assert torch.equal(out.edge_index, data.edge_index)
    assert sorted(out.edge_weight.unique().tolist()) == [0.0, 2.0]
    assert GCNConv(4, 2)(out.x, out.edge_index, out.edge_weight).isfinite().all()


def test_every_edge_type_of_a_heterogeneous_graph():
    data = HeteroData()
    data["a"].x, data["b"].x = torch.rand(3, 2), torch.rand(4, 2)
    data["a", "to", "b"].edge_index = torch.tensor([[0, 1], [3, 2]])
    data["b", "in", "b"].edge_index = torch.tensor([[0, 1], [1, 0]])
    out = ContinuousDropEdge()(data)
    assert out["a", "to", "b"].edge_weight.shape == out["b", "in", "b"].edge_weight.shape == (2,)
    with pytest.raises(ValueError, match="undirected"):
        ContinuousDropEdge(undirected=True)(data)


def test_no_edges_and_no_features():
    data = Data(edge_index=torch.empty(2, 0, dtype=torch.long), num_nodes=3)
    assert ContinuousDropEdge(undirected=True)(data).edge_weight.shape == (0,)


def test_wrong_graphs_are_named():
    with pytest.raises(ValueError, match="edge_index"):
        ContinuousDropEdge()(Data(x=torch.ones(2, 1)))
    with pytest.raises(ValueError, match="edge_weight"):
        ContinuousDropEdge()(graph(edge_weight=torch.ones(3)))
    data = graph()
    data.edge_weight = torch.ones(data.num_edges, dtype=torch.long)
    with pytest.raises(ValueError, match="edge_weight"):
        ContinuousDropEdge()(data)
    with pytest.raises(ValueError, match="std"):
        ContinuousDropEdge("uniform", std=0.1)
    assert "uniform" in repr(ContinuousDropEdge())


def test_edges_that_share_an_end_have_masks_of_their_own():
    edges = torch.tensor([[0, 1, 0, 2, 1, 2], [1, 0, 2, 0, 2, 1]])
    out = ContinuousDropEdge(undirected=True)(Data(edge_index=edges, num_nodes=3))
    pairs = out.edge_weight.view(3, 2)
    assert torch.equal(pairs[:, 0], pairs[:, 1])
    assert pairs[:, 0].unique().numel() == 3
