"""AttributionGraph: a PyG graph of probes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GCN

from graphkit.testing.asserts import assert_no_trace
from graphkit.transfer import AttributionGraph, attribute, depara_similarity


def cnn() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5))


def test_nodes_edges_and_features_are_those_of_the_paper() -> None:
    model, x = cnn(), torch.rand(6, 3, 8, 8)
    with assert_no_trace(model):
        graph = AttributionGraph.build(model, x, layer="1")
    maps = attribute(model, x, layer="1")
    torch.testing.assert_close(graph.x, maps.mean(1).flatten(1))
    feature = model[:2](x).detach().flatten(1)
    feature = feature - feature.mean(0)
    for (k, l), weight in zip(graph.edge_index.T.tolist(), graph.edge_weight, strict=True):
        torch.testing.assert_close(weight, F.cosine_similarity(feature[k], feature[l], dim=0))
    assert graph.num_edges == 30
    assert graph.validate()
    assert graph.is_undirected()
    assert graph.is_coalesced()
    assert not graph.has_self_loops()


def test_what_attribute_is_asked_for_reaches_it() -> None:
    """Target, method, batches and further settings are its own."""
    model, x = cnn(), torch.rand(4, 3, 8, 8)
    graph = AttributionGraph.build(
        model, x, "integrated_gradients", target=2, batch_size=3, steps=3, channels="all"
    )
    maps = attribute(model, x, "integrated_gradients", target=2, batch_size=3, steps=3)
    torch.testing.assert_close(graph.x, maps.flatten(1))
    for other in ({"target": 1}, {"steps": 5}):
        options = {"target": 2, "steps": 3, **other}
        changed = attribute(model, x, "integrated_gradients", **options)
        assert not torch.allclose(changed.flatten(1), graph.x)


def test_channels_and_centring() -> None:
    model, x = cnn(), torch.rand(4, 3, 8, 8)
    maps = attribute(model, x)
    absolute = AttributionGraph.build(model, x, channels="absolute", centre=False)
    torch.testing.assert_close(absolute.x, maps.abs().mean(1).flatten(1))
    torch.testing.assert_close(absolute.feature, model(x).detach())
    assert AttributionGraph.build(model, x, channels="all").x.shape == (4, 192)


def test_nearest_neighbours_only() -> None:
    graph = AttributionGraph.build(cnn(), torch.rand(9, 3, 8, 8))
    complete = torch.full((9, 9), -torch.inf)
    complete[graph.edge_index[0], graph.edge_index[1]] = graph.edge_weight
    sparse = graph.clone().connect(2)
    near = {(k, int(l)) for k in range(9) for l in complete[k].topk(2).indices}
    assert {tuple(e) for e in sparse.edge_index.T.tolist()} == near | {(l, k) for k, l in near}
    assert graph.clone().connect(0).num_edges == 0
    with pytest.raises(ValueError, match="'neighbors' must lie between 0 and 8, got 9"):
        graph.connect(9)


def test_it_is_a_pyg_graph() -> None:
    graph = AttributionGraph.build(cnn(), torch.rand(5, 3, 8, 8))
    batch = Batch.from_data_list([graph, graph])
    torch.testing.assert_close(batch[1].x, graph.x)
    out = GCN(graph.num_features, 4, 1, 2)(graph.x, graph.edge_index, graph.edge_weight.abs())
    assert out.shape == (5, 2)


def test_nodes_of_a_graph_are_probes() -> None:
    edges = torch.tensor([[0, 1, 2, 3, 4], [1, 2, 3, 4, 0]])
    data, model = Data(x=torch.randn(6, 8), edge_index=edges), GCN(8, 4, 2, 3)
    graph = AttributionGraph.build(model, data, nodes=torch.tensor([5, 0, 2]))
    torch.testing.assert_close(graph.x, attribute(model, data)[[5, 0, 2]])
    feature = model(data.x, edges).detach()[[5, 0, 2]]
    torch.testing.assert_close(graph.feature, feature - feature.mean(0))
    inner = AttributionGraph.build(model, data, layer="convs.0", neighbors=0)
    assert inner.feature.shape == (6, 4)


def test_a_tuned_child_is_nearer_than_a_stranger() -> None:
    """Two networks of one parent rank above an independent one, whatever the seed."""
    x = torch.rand(24, 3, 8, 8)
    wins = 0
    for seed in range(20):
        torch.manual_seed(seed)
        parent, child, stranger = cnn(), cnn(), cnn()
        child.load_state_dict(parent.state_dict())
        y = torch.randint(5, (24,))
        optimizer = torch.optim.SGD(child.parameters(), 0.05)
        for _ in range(5):
            optimizer.zero_grad()
            F.cross_entropy(child(x), y).backward()
            optimizer.step()
        graphs = [AttributionGraph.build(m, x, neighbors=0) for m in (parent, child, stranger)]
        near, far = (depara_similarity(graphs[0], other) for other in graphs[1:])
        wins += near > far
    assert wins == 20


def test_faults_are_named() -> None:
    with pytest.raises(ValueError, match="'channels' must be one of"):
        AttributionGraph.build(cnn(), torch.rand(2, 3, 8, 8), channels="max")


def test_edges_are_cosines_in_the_type_and_at_any_scale_of_features() -> None:
    torch.manual_seed(0)
    feature = torch.randn(5, 3)
    plain = AttributionGraph(x=feature, feature=feature).connect().edge_weight
    rows = feature / feature.norm(dim=1, keepdim=True)
    torch.testing.assert_close(plain, (rows @ rows.T)[~torch.eye(5, dtype=torch.bool)])
    for scale in (1e-30, 1e-13, 1e25):
        scaled = AttributionGraph(x=feature, feature=scale * feature).connect().edge_weight
        torch.testing.assert_close(scaled, plain)
    for neighbors in (None, 0):
        graph = AttributionGraph(x=feature, feature=feature.double()).connect(neighbors)
        assert graph.edge_weight.dtype == torch.float64
