import pytest
import torch
from torch import nn
from torch_geometric.nn import NNConv

from graphkit.adapters import StyledPixelAdapter
from graphkit.testing import AdapterSuite
from graphkit.vision import DynamicInstanceNorm, instance_normalize


class Diagonal(nn.Module):
    def forward(self, edge_attr):
        return torch.diag_embed(edge_attr[:, -4:]).flatten(1)


def message_pass(graph):
    conv = NNConv(4, 4, Diagonal(), aggr="add", root_weight=False, bias=False)
    return conv(graph.x, graph.edge_index, graph.edge_attr) + graph.bias


class TestStyledPixelAdapter(AdapterSuite):
    not_claimed = {"no_edge": "every pixel is in its own window"}

    def make(self):
        return StyledPixelAdapter(DynamicInstanceNorm(4, 5, 3))

    def example(self):
        return torch.randn(2, 4, 5, 6), torch.randn(2, 5, 3, 3)

    def degenerate(self):
        style = torch.randn(1, 5, 2, 2)
        return {
            "no image": (torch.randn(0, 4, 3, 3), style),
            "one pixel": (torch.randn(1, 4, 1, 1), style),
            "one row": (torch.randn(1, 4, 1, 3), style),
        }

    def recovered(self, graph, content, style):
        adapter, _ = self.build()
        layer = DynamicInstanceNorm(4, 5, 3, padding="zeros")
        layer.load_state_dict(adapter.din.state_dict())
        out = layer(content, style).permute(0, 2, 3, 1).reshape(-1, 4)
        return {
            "the layer with zeros outside": (graph.y, out),
            "NNConv on the whole grid, borders too": (message_pass(graph), out),
            "content": (
                graph.x.view(2, 5, 6, 4).permute(0, 3, 1, 2),
                instance_normalize(content),
            ),
            "places": (graph.edge_attr[:, :9].sum(1), torch.ones(graph.num_edges)),
        }


@pytest.mark.parametrize("size", [1, 3, 5])
def test_edge_conditioned_convolution_is_the_layer(size):
    din = DynamicInstanceNorm(4, 5, size, padding="zeros")
    nn.init.normal_(din.weight_net[-1].weight)
    content, style = torch.randn(3, 4, 6, 4), torch.randn(3, 5, 3, 3)
    graph = StyledPixelAdapter(din)(content, style)
    out = din(content, style).permute(0, 2, 3, 1).reshape(-1, 4)
    assert (message_pass(graph) - out).abs().max() < 1e-5
    assert torch.allclose(graph.y, out, atol=1e-5)
    reflect = DynamicInstanceNorm(4, 5, size)
    reflect.load_state_dict(din.state_dict())
    inner = slice(size // 2, -(size // 2) or None)
    inside = reflect(content, style)[:, :, inner, inner]
    grid = message_pass(graph).view(3, 6, 4, 4).permute(0, 3, 1, 2)[:, :, inner, inner]
    assert torch.allclose(grid, inside, atol=1e-5)


def test_windows_end_at_the_border():
    graph = StyledPixelAdapter(DynamicInstanceNorm(4, 5, 3))(
        torch.randn(2, 4, 4, 5), torch.randn(1, 5, 2, 2)
    )
    distance = graph.pos[graph.edge_index[0]] - graph.pos[graph.edge_index[1]]
    assert distance.abs().max() == 1
    assert torch.equal(graph.image[graph.edge_index[0]], graph.image[graph.edge_index[1]])
    # Pairs that are at most one apart along both sides: 3 * 4 - 2 times 3 * 5 - 2, per image.
    assert graph.num_edges == 2 * 10 * 13


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="depthwise"):
        StyledPixelAdapter(DynamicInstanceNorm(4, 5, 3, "full"))
    adapter = StyledPixelAdapter(DynamicInstanceNorm(4, 5, 3))
    with pytest.raises(ValueError, match="'content'"):
        adapter(torch.randn(2, 3, 4, 4), torch.randn(1, 5, 2, 2))
    with pytest.raises(ValueError, match="'style'"):
        adapter(torch.randn(3, 4, 4, 4), torch.randn(2, 5, 2, 2))
