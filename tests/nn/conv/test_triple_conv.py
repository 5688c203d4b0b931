import pytest
import torch
from torch import nn

from graphkit.nn import TripleConv
from graphkit.nn.conv.triple_conv import from_sg2im
from graphkit.testing import LayerSuite
from graphkit.testing.asserts import assert_close


def loop(layer, x, edge_index, edge_attr):
    """The layer written out triple by triple, with the weights of the concatenation."""
    weight = torch.cat([lin.weight for lin in layer.inputs], dim=1)
    hidden, width = layer.hidden_channels, layer.out_channels
    got = [[] for _ in x]
    predicates = []
    for t, (s, o) in enumerate(edge_index.t().tolist()):
        joined = torch.cat([x[s], edge_attr[t], x[o]])
        vector = (weight @ joined + layer.lin_predicate.bias).relu()
        vector = (layer.lin_triple.weight @ vector + layer.lin_triple.bias).relu()
        got[s].append(vector[:hidden])
        predicates.append(vector[hidden : hidden + width])
        got[o].append(vector[hidden + width :])
    rows = []
    for vectors in got:
        pooled = sum(vectors) if vectors else x.new_zeros(hidden)
        if vectors and layer.pooling == "mean":
            pooled = pooled / len(vectors)
        pooled = (layer.lin_pooled.weight @ pooled + layer.lin_pooled.bias).relu()
        rows.append((layer.lin_out.weight @ pooled + layer.lin_out.bias).relu())
    out = torch.stack(rows) if rows else x.new_zeros(0, width)
    return out, torch.stack(predicates) if predicates else x.new_zeros(0, width)


class TestTripleConv(LayerSuite):
    """Both directions of every edge are given, as a subject hears its object, too.

    The mask of a triple acts on its subject as well, so masks reach one edge further.
    """

    directed = False
    hops = 2
    not_claimed = {
        "attention": "the layer has no attention",
    }

    def make(self):
        return TripleConv(8, 6, hidden_channels=10, edge_channels=5)

    def make_lazy(self):
        return TripleConv(-1, 6, hidden_channels=10, edge_channels=-1)

    def edge_inputs(self, edge_index, dtype):
        generator = torch.Generator().manual_seed(edge_index.size(1))
        return {"edge_attr": torch.randn(edge_index.size(1), 5, generator=generator).to(dtype)}

    def graph(self, name):
        edge_index, num_nodes = super().graph(name)
        return edge_index.contiguous(), num_nodes

    def call(self, layer, x, edge_index, edge_attr=None):
        if edge_attr is None:
            edge_attr = self.edge_inputs(edge_index, x.dtype)["edge_attr"]
        return layer(x, edge_index, edge_attr)[0]

    def dense_reference(self, layer, x, edge_index, edge_attr):
        return loop(layer, x, edge_index, edge_attr)[0]


class TestSum(TestTripleConv):
    def make(self):
        return TripleConv(8, 6, hidden_channels=10, edge_channels=5, pooling="sum")

    def make_lazy(self):
        return TripleConv(-1, 6, hidden_channels=10, edge_channels=-1, pooling="sum")


def graph(triples=40, nodes=12, width=8, dtype=torch.float64):
    edge_index = torch.randint(nodes - 1, (2, triples))
    return torch.randn(nodes, width).to(dtype), edge_index, torch.randn(triples, width).to(dtype)


@pytest.mark.parametrize("pooling", ["mean", "sum"])
def test_objects_and_predicates_equal_the_loop(pooling):
    layer = TripleConv(8, 6, 16, pooling=pooling).double()
    inputs = graph()
    for found, expected in zip(layer(*inputs), loop(layer, *inputs), strict=True):
        assert_close(found, expected)


def test_an_object_without_triples_gets_the_second_network_of_zero():
    layer = TripleConv(8, 6, 16).double()
    x, edge_index, edge_attr = graph()
    alone = layer.lin_out(layer.lin_pooled(torch.zeros(16).double()).relu()).relu()
    assert_close(layer(x, edge_index, edge_attr)[0][-1], alone)


def test_a_repeated_triple_counts_again_in_the_mean():
    layer = TripleConv(8, 6, 16).double()
    x, edge_attr = torch.randn(3, 8).double(), torch.randn(2, 8).double()
    twice = torch.tensor([[0, 0, 0], [1, 1, 2]])
    out, _ = layer(x, twice, edge_attr[[0, 0, 1]])
    once, _ = layer(x, twice[:, 1:], edge_attr)
    assert_close(out[1:], once[1:])
    assert not torch.allclose(out[0], once[0])


def test_each_object_hears_its_triples_and_nobody_else():
    layer = TripleConv(8, 6, 16).double()
    edge_index = torch.tensor([[0, 1, 3], [1, 2, 2]])
    edge_attr = torch.randn(3, 8).double()

    def sums(x):
        return layer(x, edge_index, edge_attr)[0].sum(1)

    heard = torch.autograd.functional.jacobian(sums, torch.randn(4, 8).double()).abs().sum(2) > 0
    assert heard.int().tolist() == [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1]]


class Released(nn.Module):
    """The released layer's two networks, by the names of its checkpoints."""

    def __init__(self, width, hidden):
        super().__init__()
        self.width, self.hidden = width, hidden
        self.net1 = nn.Sequential(
            nn.Linear(3 * width, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 2 * hidden + width),
            nn.ReLU(),
        )
        self.net2 = nn.Sequential(
            nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, width), nn.ReLU()
        )

    def forward(self, x, edge_index, edge_attr):
        s, o = edge_index
        vectors = self.net1(torch.cat([x[s], edge_attr, x[o]], 1))
        us, p, uo = vectors.split([self.hidden, self.width, self.hidden], 1)
        total = x.new_zeros(len(x), self.hidden).index_add(0, s, us).index_add(0, o, uo)
        count = edge_index.flatten().bincount(minlength=len(x)).clamp(min=1)
        return self.net2(total / count[:, None]), p


def test_released_weights_give_the_released_output():
    released, layer = Released(8, 16).double(), TripleConv(8, 8, 16).double()
    layer.load_state_dict(from_sg2im(released.state_dict()))
    inputs = graph()
    for found, expected in zip(layer(*inputs), released(*inputs), strict=True):
        assert_close(found, expected)


def test_predicates_of_a_static_batch_may_differ():
    layer = TripleConv(8, 6, 16).double()
    x, edge_index, edge_attr = graph()
    xs, attrs = torch.stack([x, 2 * x]), torch.stack([edge_attr, -edge_attr])
    out, predicates = layer(xs, edge_index, attrs)
    for i in range(2):
        one, links = layer(xs[i], edge_index, attrs[i])
        assert_close(out[i], one)
        assert_close(predicates[i], links)


def test_initial_scale_is_that_of_the_concatenation():
    layer = TripleConv(64, 8, 512)
    weight = torch.cat([lin.weight.detach() for lin in layer.inputs], 1)
    assert float(weight.std()) == pytest.approx((2 / 192) ** 0.5, rel=0.02)
    lazy = TripleConv(-1, 8, 512)
    lazy(torch.rand(2, 64), torch.tensor([[0], [1]]), torch.rand(1, 64))
    weight = torch.cat([lin.weight.detach() for lin in lazy.inputs], 1)
    assert float(weight.std()) == pytest.approx((2 / 192) ** 0.5, rel=0.02)


@pytest.mark.parametrize(
    ("options", "name"),
    [({"pooling": "max"}, "pooling"), ({"hidden_channels": 0}, "hidden_channels")],
)
def test_refuses_wrong_options(options, name):
    with pytest.raises(ValueError, match=f"'{name}' must be"):
        TripleConv(4, 4, **options)


def test_refuses_predicates_that_do_not_fit():
    x, edge_index, edge_attr = graph()
    layer = TripleConv(8, 6, 16).double()
    with pytest.raises(ValueError, match="'edge_attr' must have a row for each of the 40"):
        layer(x, edge_index, edge_attr[:-1])
    with pytest.raises(ValueError, match="'edge_attr' must have 8 channels"):
        layer(x, edge_index, edge_attr[:, :-1])
