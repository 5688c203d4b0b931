"""Normalisation within groups, and reductions that are not sums, as ops PyTorch sees."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.ops.autograd.sums import gather, segment_sum
from graphkit.ops.backends import implementation
from graphkit.ops.layout.rows import Rows


@torch.library.custom_op("graphkit::softmax", mutates_args=())
def softmax(index: Tensor, row: int, score: Tensor, size: int, backend: str) -> Tensor:
    """``[B, E, K] -> [B, E, K]``, normalised within each group."""
    return implementation(backend, score).softmax(_rows(index, row, size), score)


@softmax.register_fake
def _(index, row, score, size, backend):
    return torch.empty_like(score, memory_format=torch.contiguous_format)


def _softmax_setup(ctx, inputs, output):
    index, ctx.row, _, ctx.size, ctx.backend = inputs
    ctx.save_for_backward(index, output)


def _softmax_backward(ctx, grad):
    index, alpha = ctx.saved_tensors
    grad_score = softmax_backward(index, ctx.row, alpha, grad, ctx.size, ctx.backend)
    return None, None, grad_score, None, None


softmax.register_autograd(_softmax_backward, setup_context=_softmax_setup)


@torch.library.custom_op("graphkit::softmax_backward", mutates_args=())
def softmax_backward(
    index: Tensor, row: int, alpha: Tensor, grad: Tensor, size: int, backend: str
) -> Tensor:
    r"""``alpha * (grad - total)`` with ``total`` the sum of ``alpha * grad`` in the group."""
    rows = _rows(index, row, size)
    return implementation(backend, alpha).softmax_backward(rows, alpha, grad)


@softmax_backward.register_fake
def _(index, row, alpha, grad, size, backend):
    return torch.empty_like(alpha, memory_format=torch.contiguous_format)


def _softmax_backward_setup(ctx, inputs, output):
    index, ctx.row, alpha, grad, ctx.size, ctx.backend = inputs
    ctx.save_for_backward(index, alpha, grad)


def _softmax_backward_backward(ctx, outer):
    index, alpha, grad = ctx.saved_tensors
    where = (index, ctx.row)

    def total(value: Tensor) -> Tensor:
        summed = segment_sum(*where, value, ctx.size, ctx.backend)
        return gather(*where, summed, ctx.backend)

    grad_alpha = outer * (grad - total(alpha * grad)) - grad * total(alpha * outer)
    grad_grad = softmax_backward(*where, alpha, outer, ctx.size, ctx.backend)
    return None, None, grad_alpha, grad_grad, None, None


softmax_backward.register_autograd(
    _softmax_backward_backward, setup_context=_softmax_backward_setup
)


@torch.library.custom_op("graphkit::segment_max", mutates_args=())
def segment_max(
    index: Tensor, row: int, x: Tensor, size: int, backend: str
) -> tuple[Tensor, Tensor]:
    """``[B, E, K] -> [B, size, K]`` and the position of the first winner, E if there is none."""
    return implementation(backend, x).segment_max(_rows(index, row, size), x)


@segment_max.register_fake
def _(index, row, x, size, backend):
    value = x.new_empty(x.size(0), size, x.size(2))
    return value, value.new_empty(value.shape, dtype=torch.int64)


def _segment_max_setup(ctx, inputs, output):
    ctx.num_entries = inputs[2].size(1)
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(output[1])


def _segment_max_backward(ctx, grad, _):
    (arg,) = ctx.saved_tensors
    padded = grad.new_zeros(grad.size(0), ctx.num_entries + 1, grad.size(2))
    return None, None, padded.scatter(1, arg, grad)[:, : ctx.num_entries], None, None


segment_max.register_autograd(_segment_max_backward, setup_context=_segment_max_setup)


@torch.library.custom_op("graphkit::segment_lse", mutates_args=())
def segment_lse(index: Tensor, row: int, x: Tensor, size: int, backend: str) -> Tensor:
    """``[B, E, K] -> [B, size, K]``: log of the summed exponentials."""
    return implementation(backend, x).segment_lse(_rows(index, row, size), x)


@segment_lse.register_fake
def _(index, row, x, size, backend):
    return x.new_empty(x.size(0), size, x.size(2))


def _segment_lse_setup(ctx, inputs, output):
    index, ctx.row, x, _, ctx.backend = inputs
    ctx.save_for_backward(index, x, output)


def _segment_lse_backward(ctx, grad):
    index, x, lse = ctx.saved_tensors
    where = (index, ctx.row)
    finite = lse.masked_fill(lse.detach() == -torch.inf, 0.0)
    share = (x - gather(*where, finite, ctx.backend)).exp()
    return None, None, gather(*where, grad, ctx.backend) * share, None, None


segment_lse.register_autograd(_segment_lse_backward, setup_context=_segment_lse_setup)


def _rows(index: Tensor, row: int, size: int) -> Rows:
    return Rows(index, row, size, "index" if row < 0 else f"edge_index[{row}]")
