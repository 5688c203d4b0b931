import pytest
import torch
from torch import nn
from torch_geometric.utils import to_torch_coo_tensor

from graphkit.nn import FactorConv
from graphkit.nn.conv.factor_conv import in_degree
from graphkit.testing import LayerSuite, dense_adjacency
from graphkit.testing.asserts import assert_close


def dense_gates(layer, h):
    """Every factor's gate between every pair of nodes, [target, source, factor]."""
    source, target = layer.att.split(layer.num_factors)
    score = (h @ source.t())[None] + (h @ target.t())[:, None]
    if layer.gate_bias is not None:
        score = score + layer.gate_bias
    return (layer.slope * score).sigmoid()


def dense_layer(layer, x, edge_index):
    """The layer written with dense matrices, one factor after another."""
    h = x @ layer.lin.weight.t() + layer.lin.bias
    adj = dense_adjacency(edge_index, x.size(0), dtype=x.dtype)
    degree = adj.sum(1).clamp(min=1)
    if layer.single:
        degree = degree.float()
    power = {"none": (0.0, 0.0), "source": (0.0, -0.5), "sym": (-0.5, -0.5)}[layer.norm]
    left, right = ((degree**p).to(x.dtype) for p in power)
    scaled = left[:, None] * adj * right
    gates = dense_gates(layer, h)
    blocks = [(scaled * gates[..., k]) @ h for k in range(layer.num_factors)]
    return torch.cat(blocks, 1) if layer.concat else torch.stack(blocks).mean(0)


class TestPaper(LayerSuite):
    def make(self):
        return FactorConv(8, 6, 3)

    def dense_reference(self, layer, x, edge_index):
        return dense_layer(layer, x, edge_index)

    def dense_attention(self, layer, x, edge_index):
        return dense_gates(layer, x @ layer.lin.weight.t() + layer.lin.bias)


class TestReleasedMean(TestPaper):
    def make(self):
        return FactorConv(8, 5, 3, concat=False, variant="released")


class TestWithoutNormAndBias(TestPaper):
    def make(self):
        return FactorConv(8, 6, 3, norm="none", gate_bias=False)


def graph(num_nodes=30, num_edges=120, channels=8, dtype=torch.float64):
    edge_index = torch.randint(num_nodes, (2, num_edges))
    return torch.randn(num_nodes, channels, dtype=dtype), edge_index


def test_variants_set_slope_and_norm():
    paper, released = FactorConv(4, 4, 2), FactorConv(4, 4, 2, variant="released")
    assert (paper.slope, paper.norm) == (1.0, "sym")
    assert (released.slope, released.norm) == (6.0, "source")
    assert FactorConv(4, 4, 2, slope=3, norm="none", variant="released").slope == 3.0


def test_one_factor_closed_form():
    layer = FactorConv(1, 1, 1, variant="released").double()
    with torch.no_grad():
        layer.lin.weight.fill_(1.0), layer.lin.bias.zero_()
        layer.att.fill_(0.1), layer.gate_bias.fill_(0.05)
    x = torch.tensor([[1.0], [2.0], [4.0]], dtype=torch.float64)
    path = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])

    def gate(j, i):
        return 1 / (1 + torch.exp(-6 * (0.1 * x[j] + 0.1 * x[i] + 0.05)))

    half = torch.tensor(2.0).pow(-0.5).double()
    expected = torch.stack(
        [gate(1, 0) * half * 2, gate(0, 1) * 1 + gate(2, 1) * 4, gate(1, 2) * half * 2]
    )
    assert_close(layer(x, path), expected)


def test_permuting_factors_permutes_blocks():
    layer, (x, edge_index) = FactorConv(8, 12, 4).double(), graph()
    order = torch.tensor([2, 0, 3, 1])
    other = FactorConv(8, 12, 4).double()
    other.load_state_dict(layer.state_dict())
    with torch.no_grad():
        other.att.copy_(layer.att.view(2, 4, -1)[:, order].flatten(0, 1))
        other.gate_bias.copy_(layer.gate_bias[order])
    blocks = layer(x, edge_index).view(-1, 4, 3)
    assert torch.equal(other(x, edge_index).view(-1, 4, 3), blocks[:, order])


def test_flat_gates_give_equal_blocks():
    layer, (x, edge_index) = FactorConv(8, 12, 4, slope=0.0, norm="none").double(), graph()
    out, (_, gate) = layer(x, edge_index, return_attention_weights=True)
    blocks = out.view(-1, 4, 3)
    assert torch.equal(gate, torch.full_like(gate, 0.5))
    assert torch.equal(blocks, blocks[:, :1].expand_as(blocks))


def naive(layer, x, edge_index):
    """A loop over factors that writes every message out."""
    h, (source, target) = layer.lin(x), edge_index
    degree = torch.bincount(target, minlength=x.size(0)).clamp(min=1).to(x.dtype)
    blocks = []
    for k in range(layer.num_factors):
        a, b = layer.att[k], layer.att[layer.num_factors + k]
        score = h[source] @ a + h[target] @ b + layer.gate_bias[k]
        weight = (layer.slope * score).sigmoid() / (degree[source] * degree[target]).sqrt()
        blocks.append(torch.zeros_like(h).index_add(0, target, weight[:, None] * h[source]))
    return torch.cat(blocks, 1)


def test_equals_naive_loop_in_float32():
    layer, (x, edge_index) = FactorConv(8, 32, 8), graph(dtype=torch.float32)
    out = layer(x, edge_index)
    assert (out - naive(layer, x, edge_index)).abs().max() <= 1e-6 * out.abs().max()


def test_memory_never_holds_edges_times_channels():
    layer, (x, edge_index) = FactorConv(8, 64, 4), graph(10, 5000, dtype=torch.float32)
    sizes = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: (sizes.append(t.numel()), t)[1], lambda t: t
    ):
        layer(x, edge_index).sum().backward()
    assert max(sizes) <= 5000 * 4


def test_return_factors():
    x, edge_index = graph()
    out, gate = FactorConv(8, 12, 4, return_factors=True).double()(x, edge_index)
    assert out.shape == (30, 12)
    assert gate.shape == (120, 4)
    assert 0 < gate.min() < gate.max() < 1


def test_scores_are_gates_before_the_sigmoid():
    layer, (x, edge_index) = FactorConv(8, 12, 4, variant="released").double(), graph()
    _, (_, gate) = layer(x, edge_index, True)
    assert_close(layer.score(layer.project(x), edge_index).sigmoid(), gate)


def test_degree_counts_views_of_one_tensor_apart():
    both = torch.tensor([[0, 1, 2, 2], [1, 1, 0, 1]])
    first, second = both[:, :2], both[:, 2:]
    assert in_degree(first, 3).tolist() == [0, 2, 0]
    assert in_degree(second, 3).tolist() == [1, 1, 0]


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"num_factors": 3}, "out_channels"),
        ({"num_factors": 0}, "num_factors"),
        ({"norm": "both"}, "norm"),
        ({"variant": "theirs"}, "variant"),
    ],
)
def test_refuses_wrong_options(options, name):
    with pytest.raises(ValueError, match=name):
        FactorConv(4, 8, **{"num_factors": 2, **options})


def test_repr_shows_factors():
    assert repr(FactorConv(4, 8, 2)).startswith("FactorConv(4, 8, num_factors=2")


def test_is_a_drop_in_for_a_gat_layer():
    x, edge_index = graph(dtype=torch.float32)
    model = nn.ModuleList([FactorConv(-1, 16, 4), FactorConv(-1, 3, 3)])
    out = model[1](model[0](x, edge_index).relu(), edge_index)
    assert out.shape == (30, 3)


def test_two_sets_of_nodes_by_the_formula():
    layer = FactorConv((5, 3), 6, 3).double()
    first, second = graph(7, channels=5)[0], graph(4, channels=3)[0]
    edges = torch.tensor([[0, 0, 1, 5, 6, 6], [0, 3, 1, 1, 0, 3]])
    h, c = layer.lin(first), layer.lin_dst(second)
    a, b = layer.att.split(3)
    out = torch.zeros(4, 3, 2, dtype=torch.float64)
    for j, i in edges.t().tolist():
        degrees = ((edges[0] == j).sum() * (edges[1] == i).sum()).double()
        gate = (a @ h[j] + b @ c[i] + layer.gate_bias).sigmoid()
        out[i] += gate[:, None] * h[j] / degrees.sqrt()
    assert_close(layer((first, second), edges), out.flatten(1))
    assert repr(layer).startswith("FactorConv((5, 3), 6")


def test_what_a_pair_must_hold_is_said_by_name():
    layer, (x, edge_index) = FactorConv(8, 6, 3).double(), graph()
    with pytest.raises(ValueError, match=r"'x'\[1\] is missing"):
        layer((x, None), edge_index)
    with pytest.raises(TypeError, match="'x' must be a tensor, or a pair"):
        layer([x, "y"], edge_index)
    with pytest.raises(ValueError, match="'size'"):
        layer((x, x[:5]), edge_index % 5, size=(30, 6))
    with pytest.raises(ValueError, match="'decomposed_layers'"):
        FactorConv(8, 6, 3, decomposed_layers=2)
    with pytest.raises(ValueError, match="'aggr'"):
        FactorConv(8, 6, 3, aggr=["add", "max"])
    sparse = to_torch_coo_tensor(edge_index, size=30)
    with pytest.raises(ValueError, match="'flow'"):
        FactorConv(8, 6, 3, flow="target_to_source").double()(x, sparse)


def test_the_maximum_is_over_weighted_neighbours():
    layer, (x, edge_index) = FactorConv(8, 6, 3, norm="none", aggr="max").double(), graph()
    out, (_, gate) = layer(x, edge_index, True)
    h = layer.project(x)
    for i in range(x.size(0)):
        into = edge_index[1] == i
        if into.any():
            sent = gate[into][..., None] * h[edge_index[0, into]][:, None]
            assert_close(out[i], sent.amax(0).flatten())
