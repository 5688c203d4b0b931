"""All of self-attention in one call: both orders of edges, batches, rows beyond a chunk."""

from __future__ import annotations

import pytest
import torch

from graphkit import ops
from graphkit.ops.attention import self_attention
from graphkit.ops.cpu import self_attention as small
from graphkit.ops.cpu.kernels.self_attention import ROWS_PER_CHUNK
from graphkit.ops.layout.rows import graph_of
from tests.ops.compared import SOURCES, TRIED, assert_dense, cut_graph
from tests.ops.oracles import dense_attention


@pytest.mark.parametrize(("shape", "dtype", "order", "batch", "scale"), TRIED)
def test_equals_dense_algebra(shape, dtype, order, batch, scale, monkeypatch):
    monkeypatch.setattr(small, "SMALL", 1 << 40)
    # Scores are products here, which single precision blurs where they are large.
    scale = scale if dtype == torch.float64 else 1.0
    assert_dense("self_attention", shape, dtype, order, batch, scale)


@pytest.mark.parametrize("rows", [ROWS_PER_CHUNK, ROWS_PER_CHUNK + 1, 2 * ROWS_PER_CHUNK + 3])
def test_vectors_hear_every_row(rows):
    """Gradients of the vectors are summed over chunks of rows, the last one shorter."""
    generator = torch.Generator().manual_seed(0)
    edges = torch.stack([torch.arange(rows), torch.arange(rows).roll(1) // 2])
    x, src, dst = (
        torch.randn(s, generator=generator, dtype=torch.float64).requires_grad_()
        for s in ((rows, 1, 2), (1, 1, 2), (1, 1, 2))
    )
    assert small.is_small(graph_of(edges, rows, rows), x.unsqueeze(0))
    out = self_attention(edges, x, src, dst, 0.2, 0.0)
    wanted = dense_attention(edges, x, (x * src).sum(-1), (x * dst).sum(-1))
    toward = torch.randn(out.shape, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(out, wanted)
    grads = torch.autograd.grad(out, [x, src, dst], toward)
    others = torch.autograd.grad(wanted, [x, src, dst], toward)
    torch.testing.assert_close(grads, others)


@pytest.mark.parametrize("dropout", [0.4, 1.0])
@pytest.mark.parametrize("batch", [1, 3])
def test_masks_are_those_of_the_definition(dropout, batch):
    edges, results = cut_graph(), []
    for name in ("numba", "reference"):
        generator = torch.Generator().manual_seed(0)
        shapes = ((batch, SOURCES, 3, 5), (1, 3, 5), (1, 3, 5))
        leaves = [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
        leaves = [leaf.requires_grad_() for leaf in leaves]
        torch.manual_seed(4)
        with ops.backend(name):
            out = self_attention(edges, *leaves, 0.2, dropout)
        results.append([out, *torch.autograd.grad(out.square().sum(), leaves)])
    if dropout == 1:
        assert all((value == 0).all() for value in results[0])
    else:
        torch.testing.assert_close(*results)
