"""Three ops on features of edges, each a derivative of the others."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from graphkit.ops.autograd import edge_terms
from tests.ops.oracles import incidence, random_graph

SIZE, EDGES, HEADS, ATTRS = 4, 11, 3, 2
GRAPH = random_graph(6, SIZE, EDGES)
INTO = incidence(GRAPH[1], SIZE)


def numbers(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()


def trilinear(batch: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    weight, query, attr = numbers(2, EDGES, HEADS), numbers(2, SIZE, HEADS, ATTRS), None
    attr = numbers(batch, EDGES, ATTRS)
    whole = attr.expand(2, -1, -1)
    return weight, query, attr, torch.einsum("beh,me,bmhd,bed->", weight, INTO, query, whole)


@pytest.mark.parametrize("batch", [1, 2])
def test_each_is_a_derivative_of_one_form(batch):
    weight, query, attr, form = trilinear(batch)
    wanted = torch.autograd.grad(form, [weight, query])
    torch.testing.assert_close(edge_terms.edge_dot(GRAPH, query, attr), wanted[0])
    torch.testing.assert_close(edge_terms.edge_sum(GRAPH, weight, attr, SIZE), wanted[1])
    mixed = torch.einsum("beh,me,bmhd->bed", weight, INTO, query)
    torch.testing.assert_close(edge_terms.edge_mix(GRAPH, weight, query), mixed)


@pytest.mark.parametrize("batch", [1, 2])
def test_gradients_and_those_of_gradients(batch):
    weight, query, attr, _ = trilinear(batch)
    calls = {
        "dot": (lambda q, a: edge_terms.edge_dot(GRAPH, q, a), (query, attr)),
        "sum": (lambda w, a: edge_terms.edge_sum(GRAPH, w, a, SIZE), (weight, attr)),
        "mix": (lambda w, q: edge_terms.edge_mix(GRAPH, w, q), (weight, query)),
    }
    for call, values in calls.values():
        assert gradcheck(call, values, fast_mode=True)
        assert gradgradcheck(call, values, fast_mode=True)
        out, moved = torch.func.jvp(call, values, tuple(v.detach() for v in values))
        # Linear in each of two.
        torch.testing.assert_close(moved, 2 * out)


@pytest.mark.parametrize("kind", [torch.half, torch.float32, torch.float64])
def test_sums_are_wide_and_gradients_are_not(kind):
    weight, query, attr, _ = (value.detach().to(kind) for value in trilinear(1))
    wide = torch.float32 if kind == torch.half else kind
    calls = {
        "dot": (lambda q, a: edge_terms.edge_dot(GRAPH, q, a), (query, attr)),
        "sum": (lambda w, a: edge_terms.edge_sum(GRAPH, w, a, SIZE), (weight, attr)),
        "mix": (lambda w, q: edge_terms.edge_mix(GRAPH, w, q), (weight, query)),
    }
    shapes = {"dot": (2, EDGES, HEADS), "sum": (2, SIZE, HEADS, ATTRS), "mix": (2, EDGES, ATTRS)}
    for name, (call, values) in calls.items():
        leaves = [value.clone().requires_grad_() for value in values]
        out = call(*leaves)
        assert out.dtype == wide
        for grad, leaf in zip(torch.autograd.grad(out.sum(), leaves), leaves, strict=True):
            assert (grad.dtype, grad.shape) == (kind, leaf.shape)
        with torch._subclasses.FakeTensorMode() as mode:
            faked = [mode.from_tensor(value) for value in values]
            edges = mode.from_tensor(GRAPH)
            op = getattr(torch.ops.graphkit, f"edge_{name}")
            told = op(edges, *faked, *([SIZE] if name == "sum" else []))
        assert tuple(told.shape) == shapes[name] == tuple(out.shape)
        assert told.dtype == wide


def test_a_gradient_is_summed_where_a_value_is_shared():
    grad = torch.arange(6.0).view(2, 3)
    shared = edge_terms.like(grad, torch.empty(1, 3, dtype=torch.half))
    assert shared.tolist() == [[3, 5, 7]]
    assert shared.dtype == torch.half
    assert edge_terms.like(grad, torch.empty(2, 3)) is grad
