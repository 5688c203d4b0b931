"""Gradients of attention over both ends' features: both walks, pieces, masks, steps."""

from __future__ import annotations

import pytest
import torch

from graphkit import ops
from tests.ops.compared import SOURCES, TARGETS, TRIED, assert_dense, cut_graph

NAMES = ["gatv2_attention", "gatv2_attention_edges", "dot_attention", "dot_attention_edges"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("shape", "dtype", "order", "batch", "scale"), TRIED)
def test_equals_dense_algebra(name, shape, dtype, order, batch, scale):
    assert_dense(name, shape, dtype, order, batch, scale)


@pytest.mark.parametrize("name", ["gatv2_attention_edges", "dot_attention_edges"])
@pytest.mark.parametrize("edges", [1, 40])
def test_rows_without_edges_and_wide_ones(name, edges):
    assert_dense(name, (4, 100), edges=cut_graph()[:, :edges])


def results(name, heads, width, batch, dropout):
    generator = torch.Generator().manual_seed(0)
    edges = cut_graph()
    many = (batch,) if batch else ()
    ends = (*many, TARGETS, heads, width), (*many, SOURCES, heads, width)
    shapes = [*ends, (edges.size(1), 3), (heads * width, 3), (heads, width)]
    values = [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
    target, source, attr, lin, att = (value.requires_grad_() for value in values)
    torch.manual_seed(3)
    common = {"dropout": dropout, "training": True, "edge_attr": attr, "lin_edge": lin}
    if name == "gatv2":
        out = ops.gatv2_attention(edges, source, target, att, **common)
    else:
        out = ops.dot_attention(edges, target * att, source, source.sin(), **common)
    return [out, *torch.autograd.grad(out.square().sum(), [target, source, attr, lin, att])]


@pytest.mark.parametrize(("heads", "width", "batch"), [(3, 5, 2), (8, 8, 0)])
@pytest.mark.parametrize("dropout", [0.4, 1.0])
@pytest.mark.parametrize("name", ["gatv2", "dot"])
def test_masks_are_those_of_the_definition(name, heads, width, batch, dropout):
    found = results(name, heads, width, batch, dropout)
    if dropout == 1:
        # What is dropped altogether has no gradient.
        assert all((value == 0).all() for value in found)
        return
    with ops.backend("reference"):
        expected = results(name, heads, width, batch, dropout)
    for value, other in zip(found, expected, strict=True):
        torch.testing.assert_close(value, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("heads", [1, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_edge_has_a_weight_that_nothing_moves(heads, dtype):
    """Products of sums and gradients are the same bits as those of values: no rest is left."""
    generator = torch.Generator().manual_seed(1)
    edges = torch.tensor([[0, 1, 2], [2, 0, 1]])
    query, key, value = (
        (300 * torch.randn(3, heads, 8, generator=generator)).to(dtype).requires_grad_()
        for _ in range(3)
    )
    attr, lin = torch.randn(3, 2, generator=generator), torch.randn(heads * 8, 2)
    lin = lin.to(dtype).requires_grad_()
    out = ops.dot_attention(edges, query, key, value)
    for grad in torch.autograd.grad(out.square().sum(), [query, key]):
        assert (grad == 0).all()
    out = ops.dot_attention(edges, query, key, value, edge_attr=attr.to(dtype), lin_edge=lin)
    grads = torch.autograd.grad(out.sum(), [query, key, value])
    torch.testing.assert_close(grads[2], torch.ones_like(value))
    for grad in grads[:2]:
        assert grad.abs().max() <= 1e-2 * torch.finfo(dtype).eps / 1e-7
