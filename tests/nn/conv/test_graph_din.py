import pytest
import torch
import torch.nn.functional as F
from torch_geometric.nn import InstanceNorm, global_mean_pool

from graphkit.adapters import StyledPixelAdapter
from graphkit.nn import GraphDIN
from graphkit.testing import LayerSuite
from graphkit.testing.graphs import disjoint_union
from graphkit.vision import DynamicInstanceNorm


def dense(layer, x, edge_index, style, edge_attr):
    """One graph, its edges as a dense table per attribute."""
    count = x.size(0)
    if count == 0:
        return x
    h = (x - x.mean(0)) / (x.var(0, correction=0) + 1e-5).sqrt()
    made = F.linear(style, layer.hidden.weight, layer.hidden.bias).relu()
    made = F.linear(made, layer.kernel.weight, layer.kernel.bias).view(-1, x.size(1))
    out = (1 + made[0]) * h + made[-1]
    for d in range(edge_attr.size(1)):
        table = x.new_zeros(count, count)
        table = table.index_put((edge_index[1], edge_index[0]), edge_attr[:, d], accumulate=True)
        out = out + made[1 + d] * (table @ h)
    return out


class TestGraphDIN(LayerSuite):
    hops = None
    not_claimed = {
        "batch_equals_loop": "statistics are of a graph, and 'batch' says which; tested below",
        "cross_graph_gradient": "statistics are of a graph, and 'batch' says which; tested below",
        "static_batch": "features are [N, F]; graphs of one batch are told apart by 'batch'",
        "attention": "the layer has no attention",
        "pair": "the check has no style to hand in; refused below",
        "two_sets": "the check has no style to hand in; refused below",
        "lazy_channels": "the width is that of the kernels a style makes",
    }

    def make(self):
        return GraphDIN(8, 5, edge_dim=3, hidden_channels=6)

    def edge_inputs(self, edge_index, dtype):
        generator = torch.Generator().manual_seed(edge_index.size(1))
        return {"edge_attr": torch.randn(edge_index.size(1), 3, generator=generator).to(dtype)}

    def style(self, x):
        return torch.linspace(-1, 2, 5, dtype=torch.double, device=x.device).to(x.dtype).view(1, 5)

    def call(self, layer, x, edge_index, edge_attr=None):
        style = self.style(x if isinstance(x, torch.Tensor) else torch.ones(0))
        return layer(x, edge_index, style, edge_attr)

    def dense_reference(self, layer, x, edge_index, edge_attr):
        return dense(layer, x, edge_index, self.style(x), edge_attr)


def graphs(sizes=(5, 1, 8)):
    torch.manual_seed(0)
    parts = [
        (torch.randn(n, 8).double(), torch.randint(n, (2, 3 * n)), torch.randn(3 * n, 2).double())
        for n in sizes
    ]
    x, edges, batch = disjoint_union([(x, e) for x, e, _ in parts])
    return parts, x, edges, batch, torch.cat([a for *_, a in parts])


def make():
    torch.manual_seed(1)
    layer = GraphDIN(8, 5, edge_dim=2).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return layer


@pytest.mark.parametrize("shared", [True, False])
def test_graphs_of_a_batch_have_statistics_and_styles_of_their_own(shared):
    parts, x, edges, batch, attr = graphs()
    layer, style = make(), torch.randn(1 if shared else 3, 5).double()
    x.requires_grad_()
    out = layer(x, edges, style, attr, batch)
    alone = [
        dense(layer, part, e, style[0 if shared else n], a) for n, (part, e, a) in enumerate(parts)
    ]
    assert torch.allclose(out, torch.cat(alone))
    (grad,) = torch.autograd.grad(out[batch == 0].square().sum(), x)
    assert (grad[batch != 0] == 0).all()
    assert grad[batch == 0].abs().sum() > 0


@pytest.mark.parametrize("styles", [1, 3])
def test_a_batch_compiles_in_one_graph(styles):
    _, x, edges, batch, attr = graphs()
    layer, style = make(), torch.randn(styles, 5).double()
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    out = compiled(x, edges, style, attr, batch)
    assert torch.allclose(out, layer(x, edges, style, attr, batch))


def test_on_a_grid_it_is_dynamic_instance_norm():
    """The paper's layer, with the offsets of a grid as edge attributes."""
    torch.manual_seed(0)
    din = DynamicInstanceNorm(4, 6, 3, padding="zeros")
    torch.nn.init.normal_(din.weight_net[-1].weight)
    content, maps = torch.randn(1, 4, 6, 5), torch.randn(1, 6, 3, 3)
    grid = StyledPixelAdapter(din)(content, maps)
    weight, bias = din.kernel(maps)
    layer = GraphDIN(4, 1, edge_dim=9, hidden_channels=1)
    with torch.no_grad():
        # A network that makes these kernels: of a style of one, from its bias alone.
        layer.hidden.weight.zero_()
        layer.hidden.bias.fill_(1)
        rows = [-torch.ones(1, 4), weight[0, :, 0].flatten(1).t(), bias]
        layer.kernel.weight.copy_(torch.cat(rows).flatten().unsqueeze(1))
        layer.kernel.bias.zero_()
    x = content.permute(0, 2, 3, 1).flatten(0, 2)
    out = layer(x, grid.edge_index, torch.zeros(1, 1), grid.edge_attr[:, :9])
    expected = din(content, maps).permute(0, 2, 3, 1).flatten(0, 2)
    assert (out - expected).abs().max() < 1e-5


def test_the_style_of_another_graph_trains_it():
    _, x, edges, batch, attr = graphs()
    layer = make()
    style = global_mean_pool(x[:, :5], batch).requires_grad_()
    layer(x, edges, style, attr, batch).square().sum().backward()
    assert style.grad.abs().sum() > 0
    assert all(p.grad.abs().sum() > 0 for p in layer.parameters())


def test_a_fresh_layer_is_near_instance_norm_and_forgets_scale():
    _, x, edges, batch, attr = graphs()
    layer = GraphDIN(8, 5, edge_dim=2).double()
    torch.nn.init.zeros_(layer.kernel.weight)
    torch.nn.init.zeros_(layer.kernel.bias)
    style = torch.zeros(1, 5).double()
    out = layer(x, edges, style, attr, batch)
    assert torch.allclose(out, InstanceNorm(8).double()(x, batch))
    scaled = make()(3 * x + 2, edges, style, attr, batch)
    assert torch.allclose(scaled, make()(x, edges, style, attr, batch), atol=1e-4)
    ones = make()(x, edges, style, torch.ones_like(attr), batch)
    assert torch.allclose(make()(x, edges, style, None, batch), ones)


def test_wrong_arguments_are_named():
    _, x, edges, batch, attr = graphs()
    layer, style = make(), torch.randn(3, 5).double()
    for wrong, named in (
        ((x, edges, style[:, :4], attr, batch), "'style'"),
        ((x, edges, style, attr[:, :1], batch), "'edge_attr'"),
        ((x, edges, style, attr, batch[:4]), "'batch'"),
        ((x, edges, style[:2], attr, batch), "'batch'"),
        ((x, edges, style, attr, batch - 1), "'batch'"),
        ((x, edges, style, attr), "'style'"),
    ):
        with pytest.raises((ValueError, IndexError), match=named):
            layer(*wrong)
    for pair in ((x, x), (x, None), [x, x]):
        with pytest.raises(TypeError, match="'x'"):
            layer(pair, edges, style[:1], attr)
    for option in ("in_channels", "style_channels", "edge_dim", "hidden_channels"):
        with pytest.raises(ValueError, match=option):
            GraphDIN(**{"in_channels": 2, "style_channels": 2, option: 0})
