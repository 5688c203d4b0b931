"""From scores to weights and their gradients: slopes on both sides of zero, and at zero."""

from __future__ import annotations

import pytest
import torch

from graphkit.ops.autograd.attention import gat_forward
from tests.ops.compared import TRIED, assert_dense


@pytest.mark.parametrize(("shape", "dtype", "order", "batch", "scale"), TRIED)
@pytest.mark.parametrize("name", ["gat_attention", "gat_attention_edges"])
def test_equals_dense_algebra(name, shape, dtype, order, batch, scale):
    assert_dense(name, shape, dtype, order, batch, scale)


@pytest.mark.parametrize(("heads", "width"), [(1, 3), (8, 8), (8, 3)])
@pytest.mark.parametrize("with_edges", [False, True])
def test_steps_of_one_row_by_hand(heads, width, with_edges):
    """Two edges of raw scores 0 and 1: at 0 the slope is that of the negative side."""
    edges = torch.tensor([[0, 1], [0, 0]])
    x = torch.tensor([1.0, 3.0]).view(1, 2, 1, 1).repeat(1, 1, heads, width).requires_grad_()
    far = torch.tensor([0.0, 1.0]).view(1, 2, 1).repeat(1, 1, heads).requires_grad_()
    near = torch.zeros(1, 1, heads, requires_grad=True)
    edge = torch.zeros(1, 2, heads, requires_grad=True) if with_edges else None
    values = [x, far, near, *([edge] if with_edges else [])]
    out, _ = gat_forward(edges, x, far, near, edge, torch.tensor([0]), 0.25, 0.0, "numba")
    grads = torch.autograd.grad(out.sum(), values)
    share = torch.tensor([0.0, 1.0]).softmax(0)
    # d out / d score is +-2 * width * a * b, which the slope at 0 makes a quarter of.
    step = 2 * width * share[0] * share[1]
    wanted = torch.stack([-step / 4, step])
    torch.testing.assert_close(out, (share @ torch.tensor([1.0, 3.0])).expand_as(out))
    torch.testing.assert_close(grads[0], share.view(1, 2, 1, 1).expand_as(grads[0]))
    torch.testing.assert_close(grads[1], wanted.view(1, 2, 1).expand_as(grads[1]))
    torch.testing.assert_close(grads[2], wanted.sum().expand_as(grads[2]))
    if with_edges:
        torch.testing.assert_close(grads[3], grads[1])


@pytest.mark.parametrize(("heads", "width"), [(3, 5), (8, 8), (8, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_everything_dropped_gives_no_gradient_and_no_nan(heads, width, dtype):
    edges = torch.randint(9, (2, 60), generator=torch.Generator().manual_seed(0))
    values = [torch.ones(1, 9, heads, width), torch.ones(1, 9, heads), torch.ones(1, 9, heads)]
    values = [value.to(dtype).requires_grad_() for value in values]
    out, _ = gat_forward(edges, *values, None, torch.tensor([3]), 0.2, 1.0, "numba")
    for found in (out, *torch.autograd.grad(out.sum(), values)):
        assert (found == 0).all()


@pytest.mark.parametrize(("heads", "width"), [(3, 5), (8, 8), (8, 3)])
def test_what_is_kept_counts_as_much_more(heads, width):
    """A target of one edge: its weight is 1, so gradients say which edges were kept."""
    nodes = torch.arange(200)
    edges = torch.stack([nodes, nodes.flip(0)])
    x = torch.ones(1, 200, heads, width, requires_grad=True)
    scores = [torch.ones(1, 200, heads, requires_grad=True) for _ in range(2)]
    out, _ = gat_forward(edges, x, *scores, None, torch.tensor([3]), 0.2, 0.75, "numba")
    grad, *steps = torch.autograd.grad(out.sum(), [x, *scores])
    assert sorted(out.unique().tolist()) == [0.0, 4.0]
    assert 0.2 < float((out > 0).float().mean()) < 0.3
    torch.testing.assert_close(grad, out.flip(1))
    for step in steps:
        # A weight of one edge cannot change.
        assert step.abs().max() < 1e-4
