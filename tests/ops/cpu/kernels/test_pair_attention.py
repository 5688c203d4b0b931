"""Sums under scores of both ends' features, forward: blocks, pieces, statistics, dropout."""

from __future__ import annotations

import pytest
import torch

from graphkit.ops.autograd.additive_attention import gatv2_forward
from graphkit.ops.autograd.product_attention import dot_forward
from graphkit.ops.cpu.kernels.pair_attention import block_rows
from graphkit.ops.dropout import keep_scale
from tests.ops.compared import SOURCES, TARGETS, TRIED, assert_dense, cut_graph
from tests.ops.oracles import dense_softmax, dense_spmm

NAMES = ["gatv2_attention", "gatv2_attention_edges", "dot_attention", "dot_attention_edges"]


def test_wide_rows_make_small_blocks():
    found = [block_rows.py_func(features) for features in (0, 1, 256, 257, 1024, 2048, 1 << 20)]
    assert found == [32, 32, 32, 31, 8, 4, 4]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("shape", "dtype", "order", "batch", "scale"), TRIED)
def test_equals_dense_algebra(name, shape, dtype, order, batch, scale):
    assert_dense(name, shape, dtype, order, batch, scale, derived=False)


@pytest.mark.parametrize("dropout", [0.0, 0.4, 1.0])
@pytest.mark.parametrize(("heads", "width"), [(3, 5), (8, 8)])
def test_statistics_and_dropped_weights(heads, width, dropout):
    """All scores are far below zero, one row has none but -inf, and half a hub as well."""
    dtype = torch.float32 if heads == 8 else torch.float64
    edges, generator = cut_graph(), torch.Generator().manual_seed(0)
    shapes = ((1, TARGETS, heads, width), (1, SOURCES, heads, width), (1, SOURCES, heads, 4))
    query, key, value = (torch.randn(s, generator=generator, dtype=dtype) for s in shapes)
    attr = torch.zeros(1, edges.size(1), 1, dtype=dtype)
    hub = (edges[1] == 7).nonzero().view(-1)
    attr[0, hub[: len(hub) // 2]] = attr[0, edges[1] == 9] = -torch.inf
    attr[attr == 0] = -40
    edge_query = torch.ones(1, TARGETS, heads, 1, dtype=dtype)
    seed, scale = torch.tensor([7]), 0.5
    given = (query, key, value, attr, edge_query, seed, scale, dropout, "numba")
    out, edge_out, statistics = dot_forward(edges, *given)
    score = (query[0, edges[1]] * key[0, edges[0]]).sum(-1).double() + attr[0].double()
    score = score * scale
    real = attr[0, :, 0].isfinite()
    weight = torch.zeros_like(score)
    weight[real] = dense_softmax(edges[1, real], score[real], TARGETS)
    if dropout:
        mask = keep_scale(seed, weight, dropout) if dropout < 1 else 0.0
        weight = weight * mask
    wanted = dense_spmm(edges, weight, value[0].double(), TARGETS)
    torch.testing.assert_close(out[0].double(), wanted, rtol=1e-4, atol=1e-5)
    # An edge of feature -inf and weight 0 would add NaN: looked at where there are none.
    whole = torch.tensor([t not in (7, 9) for t in range(TARGETS)])
    edge_wanted = -40 * torch.zeros(TARGETS, heads).double().index_add_(0, edges[1], weight)
    torch.testing.assert_close(
        edge_out[0, whole, :, 0].double(), edge_wanted[whole], rtol=1e-4, atol=1e-4
    )
    peak = torch.full((TARGETS, heads), -torch.inf, dtype=torch.float64)
    index = edges[1, real].unsqueeze(1).expand(-1, heads)
    peak.scatter_reduce_(0, index, score[real], "amax")
    peak[peak == -torch.inf] = 0
    total = torch.zeros_like(peak).index_add_(
        0, edges[1, real], (score - peak[edges[1]])[real].exp()
    )
    torch.testing.assert_close(statistics[0, :, 0].double(), peak, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(statistics[0, :, 1].double(), total, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("heads", "width"), [(3, 5), (8, 8)])
def test_dropped_weights_of_a_batch(heads, width):
    """Every element of a batch has a mask of its own."""
    edges = torch.stack([torch.arange(30), torch.arange(30).flip(0)])
    x, att = torch.ones(2, 30, heads, width), torch.ones(heads, width)
    nothing = torch.empty(1, 30, 0), torch.empty(0, heads, width)
    seed = torch.tensor([9])
    out, _ = gatv2_forward(edges, x, x, att, *nothing, seed, 0.2, 0.5, "numba")
    kept = keep_scale(seed, torch.empty(2, 30, heads), 0.5)
    torch.testing.assert_close(out[..., 0], kept.flip(1))
    torch.testing.assert_close(out, out[..., :1].expand_as(out))


@pytest.mark.parametrize("name", ["gatv2_attention_edges", "dot_attention_edges"])
def test_blocks_of_wide_rows(name):
    assert_dense(name, (4, 100), derived=False)
