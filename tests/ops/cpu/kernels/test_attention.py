"""Sums under a softmax, forward: rows that are cut, dropped weights, and what is kept of them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from graphkit.ops.autograd.attention import gat_forward
from graphkit.ops.dropout import keep_scale
from tests.ops.compared import SOURCES, TARGETS, TRIED, assert_dense, cut_graph
from tests.ops.oracles import dense_spmm


@pytest.mark.parametrize(("shape", "dtype", "order", "batch", "scale"), TRIED)
@pytest.mark.parametrize("name", ["gat_attention", "gat_attention_edges"])
def test_equals_dense_algebra(name, shape, dtype, order, batch, scale):
    assert_dense(name, shape, dtype, order, batch, scale, derived=False)


@pytest.mark.parametrize(("heads", "dtype"), [(3, torch.float64), (8, torch.float32)])
def test_scores_far_apart(heads, dtype):
    assert_dense("gat_attention", (heads, 4), dtype, scale=30.0, derived=False)


def table(edges: Tensor, score: Tensor) -> Tensor:
    """``[M, E, H]``: scores at their targets, minus infinity elsewhere."""
    outside = torch.arange(TARGETS).view(-1, 1, 1) != edges[1].view(1, -1, 1)
    return score.unsqueeze(0).masked_fill(outside, -torch.inf)


@pytest.mark.parametrize(("heads", "dtype"), [(3, torch.float64), (8, torch.float32)])
@pytest.mark.parametrize("offset", [0.0, -50.0])
@pytest.mark.parametrize("dropout", [0.0, 0.4, 1.0])
def test_statistics_and_dropped_weights(heads, dtype, offset, dropout):
    """Edge scores shared by the batch; pieces of the hub and a whole row that are all -inf."""
    edges, generator = cut_graph(), torch.Generator().manual_seed(0)
    x = torch.randn(2, SOURCES, heads, 5, generator=generator).to(dtype)
    near = torch.randn(2, TARGETS, heads, generator=generator).to(dtype) + offset
    far = torch.randn(2, SOURCES, heads, generator=generator).to(dtype)
    edge = torch.randn(1, edges.size(1), heads, generator=generator).to(dtype)
    hub = (edges[1] == 7).nonzero().view(-1)
    edge[0, hub[: len(hub) // 2]] = edge[0, edges[1] == 9] = -torch.inf
    seed = torch.tensor([77])
    out, statistics = gat_forward(edges, x, far, near, edge, seed, 0.2, dropout, "numba")
    score = far[:, edges[0]] + near[:, edges[1]] + edge
    score = F.leaky_relu(score, 0.2).double()
    weights = []
    for b in range(2):
        inside = table(edges, score[b])
        peak = inside.amax(1)
        peak[peak == -torch.inf] = 0
        total = (inside - peak.unsqueeze(1)).exp().sum(1)
        torch.testing.assert_close(statistics[b, :, 0].double(), peak, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(statistics[b, :, 1].double(), total, rtol=2e-4, atol=1e-6)
        divisor = torch.where(total == 0, 1.0, total)
        weights.append((score[b] - peak[edges[1]]).exp() / divisor[edges[1]])
    weight = torch.stack(weights)
    if dropout == 1:
        weight = 0 * weight
    elif dropout:
        weight = weight * keep_scale(seed, weight, dropout)
    wanted = [dense_spmm(edges, w, v.double(), TARGETS) for w, v in zip(weight, x, strict=True)]
    torch.testing.assert_close(out.double(), torch.stack(wanted), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("heads", [3, 8])
def test_nan_stays_in_its_row(heads):
    edges = cut_graph()
    x, zero = torch.ones(SOURCES, heads, 2), torch.zeros(1, TARGETS, heads)
    edge = torch.zeros(1, edges.size(1), heads)
    edge[0, (edges[1] == 9).nonzero()[0], 1] = torch.nan
    far, seed = torch.zeros(1, SOURCES, heads), torch.tensor([0])
    out, _ = gat_forward(edges, x.unsqueeze(0), far, zero, edge, seed, 0.2, 0.0, "numba")
    lost = out[0].isnan().any(-1)
    assert lost.nonzero().tolist() == [[9, 1]]
