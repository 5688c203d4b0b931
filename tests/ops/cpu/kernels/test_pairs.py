"""The two kinds of pairs: what each hands out, found by its type."""

from __future__ import annotations

import pytest
import torch

from graphkit import ops
from graphkit.ops.cpu.kernels import pairs
from tests.ops.compared import TRIED, assert_dense


@pytest.mark.parametrize("name", ["gatv2_attention_edges", "dot_attention", "dot_attention_edges"])
@pytest.mark.parametrize(("shape", "dtype", "order", "batch", "scale"), TRIED[:5])
def test_equals_dense_algebra(name, shape, dtype, order, batch, scale):
    assert_dense(name, shape, dtype, order, batch, scale)


def test_scale_counts_once_in_the_gradient():
    """Two keys 0 and 1, query 1, values 0 and 1, scale 3: all by hand."""
    edges = torch.tensor([[0, 1], [0, 0]])
    query = torch.ones(1, 1, 1, requires_grad=True)
    key = torch.tensor([0.0, 1.0]).view(2, 1, 1).requires_grad_()
    value = torch.tensor([0.0, 1.0]).view(2, 1, 1).requires_grad_()
    out = ops.dot_attention(edges, query, key, value, scale=3.0)
    share = torch.tensor([0.0, 3.0]).softmax(0)
    torch.testing.assert_close(out.view(1), share[1:])
    grads = torch.autograd.grad(out.sum(), [query, key, value])
    slope = 3 * float(share[0] * share[1])
    torch.testing.assert_close(grads[0].view(1), torch.tensor([slope]))
    torch.testing.assert_close(grads[1].view(2), torch.tensor([-slope, slope]))
    torch.testing.assert_close(grads[2].view(2), share)


def test_only_kernels_can_call_what_a_type_decides():
    for function in (pairs.look_ahead, pairs.score, pairs.hand_out, pairs.finish):
        with pytest.raises(TypeError, match="kernels alone"):
            function(None)
