"""The way back through attention: weights computed anew, rows that are cut, tables of targets."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from graphkit.ops.autograd.attention import gat_forward
from graphkit.ops.dropout import keep_scale
from tests.ops.compared import SOURCES, TARGETS, TRIED, assert_dense, cut_graph
from tests.ops.oracles import dense_softmax, dense_spmm


@pytest.mark.parametrize(("shape", "dtype", "order", "batch", "scale"), TRIED)
@pytest.mark.parametrize("name", ["gat_attention", "gat_attention_edges"])
def test_equals_dense_algebra(name, shape, dtype, order, batch, scale):
    assert_dense(name, shape, dtype, order, batch, scale)


@pytest.mark.parametrize("edges", [1, 25, 100])
def test_few_edges_are_kept_one_by_one(edges):
    """Tables for the targets would be larger than a value for each edge."""
    assert_dense("gat_attention", (3, 5), batch=2, edges=cut_graph()[:, :edges])


@pytest.mark.parametrize("with_edges", [False, True])
@pytest.mark.parametrize(("heads", "width"), [(3, 5), (8, 8)])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_dropped_weights_and_shared_scores(heads, width, dropout, with_edges):
    """Also a row and half a hub whose scores are -inf: their gradients are zero."""
    dtype = torch.float32 if heads == 8 else torch.float64
    edges, generator = cut_graph(), torch.Generator().manual_seed(0)
    x = torch.randn(2, SOURCES, heads, width, generator=generator).to(dtype)
    near = torch.randn(2, TARGETS, heads, generator=generator).to(dtype)
    far = torch.randn(2, SOURCES, heads, generator=generator).to(dtype)
    values, seed = [x, far, near], torch.tensor([77])
    if with_edges:
        edge = torch.randn(1, edges.size(1), heads, generator=generator).to(dtype)
        hub = (edges[1] == 7).nonzero().view(-1)
        edge[0, hub[: len(hub) // 2]] = edge[0, edges[1] == 9] = -torch.inf
        values.append(edge)
    leaves = [value.clone().requires_grad_() for value in values]
    given = leaves if with_edges else [*leaves, None]
    out, _ = gat_forward(edges, *given, seed, 0.2, dropout, "numba")
    toward = torch.randn(out.shape, generator=generator).to(dtype)
    grads = torch.autograd.grad(out, leaves, toward)
    wide = [value.double().requires_grad_() for value in values]
    # What is -inf has no weight: dense algebra does without those edges.
    real = edge[0, :, 0].isfinite() if with_edges else torch.ones_like(edges[0], dtype=torch.bool)
    left = edges[:, real]
    score = wide[1][:, left[0]] + wide[2][:, left[1]]
    score = F.leaky_relu(score + wide[3][:, real] if with_edges else score, 0.2)
    weight = torch.stack([dense_softmax(left[1], each, TARGETS) for each in score])
    if dropout:
        every = weight.new_empty(2, edges.size(1), heads)
        weight = weight * keep_scale(seed, every, dropout)[:, real]
    sums = [dense_spmm(left, w, v, TARGETS) for w, v in zip(weight, wide[0], strict=True)]
    wanted = torch.autograd.grad(torch.stack(sums), wide, toward.double())
    for found, other in zip(grads, wanted, strict=True):
        limit = (1e-10 if dtype == torch.float64 else 1e-4) * float(other.abs().max())
        torch.testing.assert_close(found.double(), other, rtol=0, atol=limit)
