"""Scores far from zero, and scores of minus infinity, on every CPU backend."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch_geometric.utils import softmax as pyg_softmax

from graphkit import ops
from tests.ops.oracles import dense_attention, dense_softmax, random_graph

BACKENDS = ["reference", "numba", "torch"]
EDGES = torch.tensor([[0, 1, 2, 3, 0, 1], [0, 0, 0, 0, 1, 1]])


@pytest.fixture(params=BACKENDS)
def backend(request):
    with ops.backend(request.param):
        yield request.param


def derivatives(function, *values: Tensor) -> list[Tensor]:
    """The output and the gradients of a fixed projection of it."""
    leaves = [value.clone().requires_grad_() for value in values]
    out = function(*leaves)
    weight = torch.linspace(-1, 2, out.numel()).view(out.shape).to(out)
    return [out.detach(), *torch.autograd.grad((out * weight).sum(), leaves)]


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("offset", [0.0, 1e5, -1e5, 1e7])
def test_an_offset_of_all_scores_changes_nothing(offset):
    x = torch.linspace(-1, 1, 8).view(4, 1, 2)
    source, target = torch.tensor([[1.0], [2.0], [3.0], [4.0]]), torch.zeros(2, 1)
    slope = 1.0 if offset < 0 else 0.2
    results = derivatives(
        lambda x, s, t: ops.gat_attention(EDGES, x, s, t, slope), x, source + offset, target
    )
    expected = derivatives(
        lambda x, s, t: dense_attention(EDGES, x, s, t),
        x.double(),
        source.double(),
        target.double(),
    )
    for result, value in zip(results, expected, strict=True):
        torch.testing.assert_close(result.double(), value, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("offset", [1e5, 1e7])
def test_groups_normalise_far_from_zero(offset):
    score, index = torch.tensor([0.0, 1.0, 2.0, 3.0, 1.0, 0.0]), EDGES[1]
    calls = {
        "edge_softmax": lambda s: ops.edge_softmax(EDGES, s, 2),
        "segment_softmax": lambda s: ops.segment_softmax(s, index, 2),
        "logsumexp": lambda s: ops.segment_reduce(s, index, 2, "logsumexp"),
    }
    for name, call in calls.items():
        out, gradient = derivatives(call, score + offset)
        expected, expected_gradient = derivatives(call, score.double())
        torch.testing.assert_close(gradient.double(), expected_gradient, rtol=1e-5, atol=1e-6)
        if name != "logsumexp":
            torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("scale", [1.0, 1e2, 1e4])
def test_errors_are_no_larger_than_those_of_pyg(scale):
    edges = random_graph(40, 30, 400)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 2, 3, generator=generator)
    source, target = (scale * torch.randn(n, 2, generator=generator) for n in (40, 30))

    def by_pyg(x: Tensor, source: Tensor, target: Tensor) -> Tensor:
        alpha = F.leaky_relu(source[edges[0]] + target[edges[1]], 0.2)
        weight = pyg_softmax(alpha, edges[1], num_nodes=30)
        return x.new_zeros(30, 2, 3).index_add(0, edges[1], weight.unsqueeze(-1) * x[edges[0]])

    values = (x, source, target)
    expected = derivatives(
        lambda *v: dense_attention(edges, *v), *(value.double() for value in values)
    )
    results = derivatives(lambda *v: ops.gat_attention(edges, *v), *values)
    theirs = derivatives(by_pyg, *values)
    for result, peer, value in zip(results, theirs, expected, strict=True):
        error, limit = ((other.double() - value).abs().max() for other in (result, peer))
        assert error <= 1.5 * limit + 1e-6


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("second_order", [False, True])
def test_a_group_of_minus_infinity_is_an_empty_one(second_order):
    """PyG gives NaN here; a target that may look at nobody gets nothing and asks for nothing."""
    score = torch.tensor([0.0, 1.0, -torch.inf, 2.0, -torch.inf, -torch.inf])
    calls = {
        "edge_softmax": lambda s: ops.edge_softmax(EDGES, s, 3),
        "segment_softmax": lambda s: ops.segment_softmax(s, EDGES[1], 3),
        "logsumexp": lambda s: ops.segment_reduce(s, EDGES[1], 3, "logsumexp")[:1],
        "gat_attention": lambda s: ops.gat_attention(
            EDGES,
            torch.ones(4, 1, 2),
            torch.zeros(4, 1),
            torch.zeros(3, 1),
            score_edge=s.view(6, 1),
        ),
    }
    for name, call in calls.items():
        leaf = score.clone().requires_grad_()
        out = call(leaf)
        (gradient,) = torch.autograd.grad(out[..., :4].square().sum(), leaf, create_graph=True)
        if second_order:
            (gradient,) = torch.autograd.grad(gradient.square().sum(), leaf)
        assert torch.isfinite(out).all(), name
        assert torch.isfinite(gradient).all(), name
        assert (gradient[[2, 4, 5]] == 0).all(), name
    assert (calls["edge_softmax"](score)[4:] == 0).all()
    assert (calls["gat_attention"](score)[1:] == 0).all()
    lse = ops.segment_reduce(score, EDGES[1], 3, "logsumexp")
    assert lse[1:].tolist() == [-torch.inf] * 2
    kept = dense_softmax(torch.zeros(3, dtype=torch.long), score[[0, 1, 3]].view(3, 1), 1)
    torch.testing.assert_close(calls["edge_softmax"](score)[[0, 1, 3]], kept.view(3))


@pytest.mark.usefixtures("backend")
def test_nan_stays_in_its_group():
    score = torch.tensor([0.0, torch.nan, 2.0, 3.0, 1.0, 0.0])
    weight = ops.edge_softmax(EDGES, score, 2)
    assert weight[:4].isnan().all()
    assert weight[4:].isfinite().all()
