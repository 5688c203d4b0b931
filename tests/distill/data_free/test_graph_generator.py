"""Graphs from noise: what they are, that gates change nothing but the gradient, layers."""

import pytest
import torch
from torch import nn
from torch_geometric.nn import GAT, GCN, GIN, GCNConv, GINConv, MeanAggregation, TransformerConv
from torch_geometric.utils import contains_self_loops, is_undirected

from graphkit.distill import DFAD, GraphGenerator
from graphkit.distill.data_free.graph_generator import gated
from graphkit.nn import FactorConv, FusedGATConv


def make(**options):
    torch.manual_seed(0)
    return GraphGenerator(6, **{"num_features": 5, "num_nodes": 9, "degree": 4.0} | options)


def test_graphs_are_sparse_simple_and_apart():
    generator = make()
    made = generator(generator.noise(3))
    assert made.x.shape == (27, 5)
    assert made.edge_index.shape == (2, 3 * 2 * 18)
    assert made.edge_index.unique(dim=1).size(1) == made.edge_index.size(1)
    assert is_undirected(made.edge_index)
    assert not contains_self_loops(made.edge_index)
    assert torch.equal(made.batch[made.edge_index[0]], made.batch[made.edge_index[1]])
    assert torch.equal(made.batch, torch.arange(3).repeat_interleave(9))
    assert bool((made.gate == 1).all())
    full = make(degree=8.0)
    assert full(full.noise(2)).edge_index.shape == (2, 2 * 72)


def test_likely_pairs_are_drawn_more_often():
    generator = make(num_nodes=4, degree=0.5)
    query = torch.tensor([[2.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    query = query.expand(4000, 4, 2)
    ends = generator.link(query)[0][:, :4000] % 4
    often = torch.zeros(4, 4).index_put(tuple(ends), torch.ones(4000), accumulate=True) / 4000
    scores = (query[0] @ query[0].t()) / 2**0.5
    first, second = generator.pairs
    expected = scores[first, second].softmax(0)
    assert (often[first, second] - expected).abs().max() < 0.03


def test_features_of_each_kind():
    torch.manual_seed(0)
    normal = make(num_nodes=100)
    x = normal(normal.noise(4)).x
    assert x.mean(0).abs().max() < 1e-3
    assert (x.var(0) - 1).abs().max() < 1e-2
    kinds = make(features="one_hot")
    x = kinds(kinds.noise(4)).x
    assert bool((x.sum(1) - 1).abs().max() < 1e-6)
    assert bool((x.max(1).values > 1 - 1e-6).all())
    bags = make(num_features=30, features="bag", words=4)
    x = bags(bags.noise(4)).x
    assert torch.allclose(x.sort(1, descending=True).values[:, :4], torch.tensor(0.25))
    assert (x > 1e-6).sum(1).unique().tolist() == [4]


@pytest.mark.parametrize("features", ["normal", "one_hot", "bag"])
def test_every_weight_has_a_gradient(features):
    generator, teacher = make(features=features, words=2), GCN(5, 8, 2, 3)
    made = generator(generator.noise(3))
    (generator.call(teacher, made) ** 2).mean().backward()
    assert all(p.grad.any() for n, p in generator.named_parameters() if n.endswith("weight"))


LAYERS = {
    "GCN": lambda: GCN(5, 8, 2, 3),
    "GIN": lambda: GIN(5, 8, 2, 3),
    "GAT": lambda: GAT(5, 8, 2, 3, heads=2),
    "TransformerConv": lambda: TransformerConv(5, 3, heads=2),
    "FusedGATConv": lambda: FusedGATConv(5, 3, heads=2),
    "FactorConv": lambda: FactorConv(5, 4, 2),
}


@pytest.mark.parametrize("name", LAYERS)
def test_gates_change_nothing_but_the_gradient(name):
    """A gate of 1 is no gate; one of 0 takes the message away; nothing stays."""
    generator, model = make(), LAYERS[name]().eval()
    made = generator(generator.noise(2))
    plain = model(made.x, made.edge_index)
    torch.testing.assert_close(generator.call(model, made), plain)
    gate = torch.ones_like(made.gate)
    gate.requires_grad_()
    with gated(model, gate):
        out = model(made.x.detach(), made.edge_index)
    out.square().sum().backward()
    assert (gate.grad != 0).float().mean() > 0.5
    torch.testing.assert_close(model(made.x, made.edge_index), plain)


def test_the_gradient_of_a_gate_is_that_of_an_edge_weight():
    conv, made = GINConv(nn.Linear(5, 3)).double(), make()(make().noise(2))
    x = torch.randn(18, 5).double()
    gate = torch.ones(made.edge_index.size(1)).double().requires_grad_()
    with gated(conv, gate):
        out = conv(x, made.edge_index)
    found = torch.autograd.grad(out.square().sum(), gate)[0]
    weight = torch.ones_like(gate).requires_grad_()
    dense = torch.zeros(18, 18).double().index_put((made.edge_index[1], made.edge_index[0]), weight)
    expected = conv.nn(x + dense @ x).square().sum()
    torch.testing.assert_close(found, torch.autograd.grad(expected, weight)[0])


class Pooled(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv, self.pool = GIN(5, width, 2), MeanAggregation()
        self.lin = nn.Linear(width, 2)

    def forward(self, x, edge_index, batch):
        return self.lin(self.pool(self.conv(x, edge_index), batch))


def test_graph_level_networks():
    generator = make(features="one_hot", pooled=True)
    dfad = DFAD(Pooled(4), Pooled(8), generator, imitations=1)
    z = dfad.noise(6)
    assert dfad.teach(generator(z)).shape == (6, 2)
    dfad.generation(z).backward()
    assert generator.query.weight.grad.any()
    dfad.imitation(z).backward()
    assert all(p.grad is not None for p in dfad.student.parameters())
    assert dfad.monitor(8).read()["dead_channels"] < 0.5


@pytest.mark.parametrize("teacher", [lambda: GCN(5, 8, 2, 3), lambda: GAT(5, 8, 2, 3)])
def test_node_level_networks_in_one_stage(teacher):
    dfad = DFAD(GCN(5, 4, 2, 3), teacher(), make())
    dfad.one_stage(dfad.noise(2)).backward()
    assert dfad.generator.query.weight.grad.any()
    assert all(p.grad is not None for p in dfad.student.parameters())
    assert all(p.grad is None for p in dfad.teacher.parameters())


def test_networks_that_edges_cannot_reach_are_refused():
    generator = make()
    made = generator(generator.noise(2))
    with pytest.raises(ValueError, match="Linear has no message-passing layer"):
        generator.call(nn.Linear(5, 3), made)
    cached = GCNConv(5, 3, cached=True)
    with pytest.raises(ValueError, match="'the layer' is cached"):
        generator.call(cached, made)
    with pytest.raises(ValueError, match=r"'convs\.0' is cached"):
        generator.call(GCN(5, 4, 2, 3, cached=True), made)

    class Silent(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = GCNConv(5, 3)

        def forward(self, x, edge_index):
            return x

    with pytest.raises(RuntimeError, match="no layer of Silent passed messages"):
        generator.call(Silent(), made)


def test_hooks_are_gone_after_a_failure():
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = GCNConv(5, 3)

        def forward(self, x, edge_index):
            raise OSError("planted")

    generator, model = make(), Broken()
    made = generator(generator.noise(2))
    with pytest.raises(OSError, match="planted"):
        generator.call(model, made)
    with pytest.raises(OSError, match="planted"), gated(model, made.gate[:3]):
        model(made.x, made.edge_index)
    assert model.conv(made.x, made.edge_index).shape == (18, 3)


def test_noise_has_a_part_for_the_graph_and_one_for_each_node():
    z = make().noise(4, torch.Generator().manual_seed(0))
    assert z.shape == (4, 9, 6)
    assert torch.equal(z[..., :3], z[:, :1, :3].expand(4, 9, 3))
    assert (z[:, 0, 3:] != z[:, 1, 3:]).all()
    assert torch.equal(z, make().noise(4, torch.Generator().manual_seed(0)))


def test_wrong_arguments_are_named():
    for match, options in (
        ("'features'", {"features": "words"}),
        ("'num_nodes' must be at least 2", {"num_nodes": 1}),
        ("'num_features'", {"num_features": 0}),
        ("'hidden_channels'", {"hidden_channels": 0}),
        ("'words' must", {"words": 0}),
        ("'words' is 6", {"words": 6, "features": "bag"}),
        ("'degree'", {"degree": 0.0}),
        ("'degree'", {"degree": 8.5}),
    ):
        with pytest.raises(ValueError, match=match):
            make(**options)
    with pytest.raises(ValueError, match="'noise_channels' must be at least 2"):
        GraphGenerator(1, 5)
    with pytest.raises(ValueError, match=r"\[B, 9, 6\], got \[3, 8, 6\]"):
        make()(torch.randn(3, 8, 6))
    with pytest.raises(ValueError, match="no sample"):
        make()(torch.randn(0, 9, 6))
