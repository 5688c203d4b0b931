"""Scores of GATv2: edge features, shared and of each graph, and every gradient."""

from __future__ import annotations

import pytest
import torch

from graphkit.ops.autograd.additive_attention import gatv2_forward
from tests.ops.compared import SOURCES, TARGETS, TRIED, assert_dense, cut_graph
from tests.ops.oracles import dense_gatv2


@pytest.mark.parametrize("name", ["gatv2_attention", "gatv2_attention_edges"])
@pytest.mark.parametrize(("shape", "dtype", "order", "batch", "scale"), TRIED)
def test_equals_dense_algebra(name, shape, dtype, order, batch, scale):
    assert_dense(name, shape, dtype, order, batch, scale)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(("heads", "width", "attrs"), [(8, 8, 1), (3, 5, 4)])
def test_features_of_edges_may_differ_between_graphs(heads, width, attrs, shared):
    edges, generator = cut_graph("target"), torch.Generator().manual_seed(2)
    shapes = [(2, SOURCES, heads, width), (2, TARGETS, heads, width), (heads, width)]
    shapes += [(1 if shared else 2, edges.size(1), attrs), (attrs, heads, width)]
    values = [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
    leaves = [value.requires_grad_() for value in values]
    out, _ = gatv2_forward(edges, *leaves, torch.tensor([0]), 0.2, 0.0, "numba")
    x_src, x_dst, att, attr, lin = leaves
    wanted = torch.stack(
        [
            dense_gatv2(
                edges, x_src[b], x_dst[b], att, attr[0 if shared else b], lin.flatten(1).t()
            )
            for b in range(2)
        ]
    )
    toward = torch.randn(out.shape, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(out, wanted)
    grads = torch.autograd.grad(out, leaves, toward)
    for found, other in zip(grads, torch.autograd.grad(wanted, leaves, toward), strict=True):
        torch.testing.assert_close(found, other)
