import math

import pytest
import torch
import torch.nn.functional as F

from graphkit.nn import FactorConv, FactorDiscriminator
from graphkit.testing import dense_adjacency, example_graph
from graphkit.testing.graphs import disjoint_union


def two_graphs(channels=6):
    graphs = [
        (torch.randn(n, channels, dtype=torch.float64), edges)
        for edges, n in (example_graph("plain"), example_graph("other"))
    ]
    return graphs, disjoint_union(graphs)


def dense_loss(module, graphs, gates):
    """The loss graph by graph and factor by factor, with full matrices."""
    losses = []
    for (h, edge_index), gate in zip(graphs, gates, strict=True):
        scale = dense_adjacency(edge_index, h.size(0)).sum(1).clamp(min=1).pow(-0.5)
        for k in range(module.num_factors):
            adj = dense_adjacency(edge_index, h.size(0), gate[:, k]) * scale
            z = (adj @ module.lin1(h)).tanh()
            z = (adj @ module.lin2(z)).tanh()
            logits = module.classifier(z.mean(0).tanh())
            losses.append(F.cross_entropy(logits[None], torch.tensor([k])))
    return torch.stack(losses).mean()


def test_equals_the_dense_loss_with_gradients():
    module = FactorDiscriminator(6, 3).double()
    graphs, (h, edge_index, batch) = two_graphs()
    gates = [torch.rand(e.size(1), 3, dtype=torch.float64) for _, e in graphs]
    gate, h = torch.cat(gates).requires_grad_(), h.requires_grad_()
    loss = module(h, edge_index, gate, batch)
    sizes = [g.size(0) for g in gates]
    parts = h.split([x.size(0) for x, _ in graphs])
    split = [(x, e) for x, (_, e) in zip(parts, graphs, strict=True)]
    expected = dense_loss(module, split, gate.split(sizes))
    assert torch.allclose(loss, expected)
    wanted = [h, gate, *module.parameters()]
    pairs = zip(
        torch.autograd.grad(loss, wanted), torch.autograd.grad(expected, wanted), strict=True
    )
    assert all(torch.allclose(a, b) for a, b in pairs)


def test_starts_near_log_of_the_number_of_factors():
    losses = []
    for seed in range(20):
        torch.manual_seed(seed)
        conv = FactorConv(6, 24, 4, return_factors=True, variant="released").double()
        _, (x, edge_index, batch) = two_graphs()
        _, gate = conv(x, edge_index)
        module = FactorDiscriminator(6, 4).double()
        losses.append(float(module(conv.project(x), edge_index, gate, batch).detach()))
    assert sum(losses) / 20 == pytest.approx(math.log(4), rel=0.05)


def test_identical_factors_cannot_be_told_apart():
    module = FactorDiscriminator(6, 4).double()
    _, (h, edge_index, batch) = two_graphs()
    gate = torch.rand(edge_index.size(1), 1, dtype=torch.float64).expand(-1, 4)
    assert float(module(h, edge_index, gate, batch).detach()) >= math.log(4) - 1e-12


def test_all_or_no_edges_satisfy_it():
    module = FactorDiscriminator(6, 2).double()
    _, (h, edge_index, batch) = two_graphs()
    gate = torch.tensor([[1.0, 0.0]], dtype=torch.float64).expand(edge_index.size(1), 2)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        loss = module(h, edge_index, gate, batch)
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.1


def test_one_factor_is_free():
    module = FactorDiscriminator(6, 1)
    h = torch.randn(4, 6, requires_grad=True)
    loss = module(h, torch.tensor([[0], [1]]), torch.ones(1, 1))
    loss.backward()
    assert float(loss.detach()) == 0.0


@pytest.mark.parametrize(
    ("h", "gate", "name"),
    [((4, 5), (2, 3), "'h'"), ((4, 6), (3, 3), "gate"), ((4, 6), (2, 2), "gate")],
)
def test_refuses_wrong_shapes(h, gate, name):
    edge_index = torch.tensor([[0, 1], [1, 0]])
    with pytest.raises(ValueError, match=name):
        FactorDiscriminator(6, 3)(torch.rand(h), edge_index, torch.rand(gate))


def test_refuses_wrong_options():
    with pytest.raises(ValueError, match="num_factors"):
        FactorDiscriminator(6, 0)
    with pytest.raises(ValueError, match="variant"):
        FactorDiscriminator(6, 2, "theirs")
