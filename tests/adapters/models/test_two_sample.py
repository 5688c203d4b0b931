import pytest
import torch
from torch import nn
from torch_geometric.nn import SAGEConv

from graphkit.adapters import TwoSampleGraphAdapter
from graphkit.metrics import neighbour_test
from graphkit.testing import AdapterSuite


def make(k=3, layer="1"):
    return TwoSampleGraphAdapter(
        nn.Sequential(nn.Conv2d(1, 3, 2), nn.BatchNorm2d(3), nn.ReLU()), layer, k
    )


class TestTwoSampleGraphAdapter(AdapterSuite):
    def make(self):
        return make()

    def example(self):
        return torch.randn(6, 1, 3, 3), torch.randn(5, 1, 3, 3)

    def degenerate(self):
        x = torch.randn(2, 1, 3, 3)
        return {
            "nothing": (x[:0], x[:0]),
            "one real": (x[:1], x[:0]),
            "one fake": (x[:0], x[:1]),
            "fewer than k": (x[:1], x),
            "all the same": (x[:1], x[:1].clone()),
        }

    def recovered(self, graph, real, fake):
        """Features in their order, and kinds."""
        adapter, _ = self.build()
        net = adapter.network.eval()
        return {
            "real": (graph.x[: len(real)], net[:2](real).flatten(1)),
            "fake": (graph.x[len(real) :], net[:2](fake).flatten(1)),
            "kinds": (graph.y, torch.tensor([1] * len(real) + [0] * len(fake))),
        }


def test_halves_of_one_sample_are_not_told_apart_and_others_are():
    torch.manual_seed(0)
    adapter = TwoSampleGraphAdapter(nn.Identity(), k=5)
    x = torch.randn(200, 6)
    same = adapter(x[:100], x[100:])
    found = neighbour_test(same.edge_index, same.y)
    assert abs(found.share - found.expected) < 0.06
    assert found.p_value > 0.05
    apart = adapter(x[:100], x[100:] + 2)
    found = neighbour_test(apart.edge_index, apart.y)
    assert found.share > 0.7 > found.expected
    assert found.p_value < 0.01


def test_a_graph_network_tells_them_apart():
    torch.manual_seed(0)
    x = torch.randn(120, 4)
    graph = TwoSampleGraphAdapter(nn.Identity(), k=5)(x[:60], x[60:] + 1.5)
    conv = SAGEConv(4, 2)
    optimizer = torch.optim.Adam(conv.parameters(), 0.05)
    for _ in range(60):
        optimizer.zero_grad()
        out = conv(graph.x, graph.edge_index)
        nn.functional.cross_entropy(out[::2], graph.y[::2]).backward()
        optimizer.step()
    assert (conv(graph.x, graph.edge_index).argmax(1) == graph.y)[1::2].float().mean() > 0.9


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="'k'"):
        make(k=0)
    with pytest.raises(ValueError, match="no submodule 'head'"):
        make(layer="head")
    with pytest.raises(ValueError, match=r"shape \[1, 3, 3\], 'fake' of \[1, 4, 4\]"):
        make()(torch.rand(2, 1, 3, 3), torch.rand(2, 1, 4, 4))
