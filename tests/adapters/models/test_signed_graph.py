import pytest
import torch
from torch import nn
from torch_geometric.nn import GCN, SignedConv, SimpleConv

from graphkit.adapters import SignedGraphAdapter
from graphkit.compress import QuantizationNetwork
from graphkit.testing import AdapterSuite


def network():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.Conv2d(4, 6, 3, groups=2), nn.Flatten(), nn.Linear(24, 3)
    )


class TestSignedGraphAdapter(AdapterSuite):
    not_claimed = {
        "no_node": "a layer has channels",
        "single_node": "the number of channels is the network's",
        "no_edge": "the edges are the network's weights",
    }

    def make(self):
        return SignedGraphAdapter(QuantizationNetwork(network(), layers=["0", "1", "3"]))

    def example(self):
        return (torch.randn(5, 1, 6, 6),)

    def degenerate(self):
        x = torch.randn(1, 1, 6, 6)
        return {"no image": (x[:0],), "one image": (x,)}

    def recovered(self, graph, x):
        """The weights of the last layer and the kernels of the grouped one."""
        adapter, _ = self.build()
        plain = adapter.network.harden()
        found = torch.zeros(3, 24)
        source, target = graph.edge_index
        last = source >= 5 + 10
        found[target[last] - 15 - 24, source[last] - 15] = graph.edge_weight[last]
        middle, sums = (source >= 5) & (source < 9), torch.zeros(6, 4)
        sums[target[middle] - 9, source[middle] - 5] = graph.edge_attr[middle].sum(1)
        weight = (plain[1].weight != 0).sum((2, 3)).float()
        expected = torch.zeros(6, 4)
        expected[:3, :2], expected[3:, 2:] = weight[:3], weight[3:]
        zero = (plain[1].weight == 0).float()
        return {
            "linear": (found, plain[3].weight),
            "kernels": (sums, expected),
            "responses": (graph.x[39:, 3], plain(x).mean(0)),
            "zeros of outputs": (graph.x[9:15, 4], zero.mean((1, 2, 3))),
            "zeros of inputs": (graph.x[5:7, 4], zero[:3].mean((0, 2, 3))),
        }


def test_signed_message_passing_is_the_ternary_layer():
    net = QuantizationNetwork(GCN(9, 16, 2, 3), layers=["convs.0.lin"]).eval()
    x, edge_index = torch.randn(7, 9), torch.randint(7, (2, 20))
    graph = SignedGraphAdapter(net)(x, edge_index)
    layer = net.model.convs[0].lin
    alpha = layer.parametrizations.weight[0].alpha
    # Channels are nodes and samples are their features.
    signals = torch.cat([x.t(), torch.zeros(16, 7)])
    total = SimpleConv(aggr="sum")
    sums = [total(signals, edges) for edges in (graph.pos_edge_index, graph.neg_edge_index)]
    assert torch.allclose(alpha * (sums[0] - sums[1])[9:].t(), layer(x), atol=1e-5)
    assert graph.pos_edge_index.size(1) + graph.neg_edge_index.size(1) == graph.num_edges
    assert (layer.weight != 0).sum() == graph.num_edges < layer.weight.numel()
    assert torch.allclose(graph.edge_weight.abs(), alpha.expand(graph.num_edges))


def test_signed_layers_of_pyg_read_the_graph():
    net = QuantizationNetwork(network(), layers=["1", "3"])
    graph = SignedGraphAdapter(net, ["3"])(torch.randn(2, 1, 6, 6))
    out = SignedConv(5, 4, first_aggr=True)(graph.x, graph.pos_edge_index, graph.neg_edge_index)
    assert out.shape == (27, 8)


def test_wrong_layers_are_named():
    net = QuantizationNetwork(network(), layers=["3"])
    with pytest.raises(ValueError, match="no quantised layer is '1'"):
        SignedGraphAdapter(net, ["1"])
    attention = QuantizationNetwork(nn.Bilinear(2, 2, 2), layers=["weight"])
    with pytest.raises(ValueError, match="no quantised linear"):
        SignedGraphAdapter(attention)
