"""Normalisation within groups, and reductions that are not sums, as ops PyTorch sees."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.ops import reference
from graphkit.ops.autograd.op import differentiable
from graphkit.ops.autograd.sums import gather, segment_sum
from graphkit.ops.backends import implementation
from graphkit.ops.layout.rows import rows_of


def _like_second(index, row, value, *_):
    """The fake kernel of what gives a value per entry."""
    return torch.empty_like(value, memory_format=torch.contiguous_format)


def _softmax_save(ctx, inputs, output):
    index, ctx.row, _, ctx.size, ctx.backend = inputs
    ctx.save_for_backward(index, output)


def _softmax_gradient(ctx, grad):
    index, alpha = ctx.saved_tensors
    grad_score = softmax_backward(index, ctx.row, alpha, grad, ctx.size, ctx.backend)
    return None, None, grad_score, None, None


def _softmax_composed(index, row, score, size, backend):
    return reference.softmax(rows_of(index, row, size), score)


@differentiable(
    values=(2,),
    fake=_like_second,
    save=_softmax_save,
    backward=_softmax_gradient,
    composed=_softmax_composed,
)
def softmax(index: Tensor, row: int, score: Tensor, size: int, backend: str) -> Tensor:
    """``[B, E, K] -> [B, E, K]``, normalised within each group."""
    return implementation(backend, score).softmax(rows_of(index, row, size), score)


def _softmax_backward_save(ctx, inputs, output):
    index, ctx.row, alpha, grad, ctx.size, ctx.backend = inputs
    ctx.save_for_backward(index, alpha, grad)


def _softmax_backward_gradient(ctx, outer):
    index, alpha, grad = ctx.saved_tensors
    where = (index, ctx.row)

    def total(value: Tensor) -> Tensor:
        summed = segment_sum(*where, value, ctx.size, ctx.backend)
        return gather(*where, summed, ctx.backend)

    grad_alpha = outer * (grad - total(alpha * grad)) - grad * total(alpha * outer)
    grad_grad = softmax_backward(*where, alpha, outer, ctx.size, ctx.backend)
    return None, None, grad_alpha, grad_grad, None, None


def _softmax_backward_composed(index, row, alpha, grad, size, backend):
    return reference.softmax_backward(rows_of(index, row, size), alpha, grad)


@differentiable(
    values=(2, 3),
    fake=_like_second,
    save=_softmax_backward_save,
    backward=_softmax_backward_gradient,
    composed=_softmax_backward_composed,
)
def softmax_backward(
    index: Tensor, row: int, alpha: Tensor, grad: Tensor, size: int, backend: str
) -> Tensor:
    r"""``alpha * (grad - total)`` with ``total`` the sum of ``alpha * grad`` in the group."""
    rows = rows_of(index, row, size)
    return implementation(backend, alpha).softmax_backward(rows, alpha, grad)


def _segment_max_fake(index, row, x, size, backend):
    value = x.new_empty(x.size(0), size, x.size(2))
    return value, value.new_empty(value.shape, dtype=torch.int64)


def _segment_max_save(ctx, inputs, output):
    ctx.num_entries = inputs[2].size(1)
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(output[1])


def _segment_max_backward(ctx, grad, _):
    (arg,) = ctx.saved_tensors
    padded = grad.new_zeros(grad.size(0), ctx.num_entries + 1, grad.size(2))
    return None, None, padded.scatter(1, arg, grad)[:, : ctx.num_entries], None, None


def _segment_max_composed(index, row, x, size, backend):
    # The value is read at the winner's position, so that its derivative belongs to the winner.
    _, arg = reference.segment_max(rows_of(index, row, size), x.detach())
    padded = torch.cat([x, x.new_zeros(x.size(0), 1, x.size(2))], dim=1)
    return padded.gather(1, arg), arg


@differentiable(
    values=(2,),
    fake=_segment_max_fake,
    save=_segment_max_save,
    backward=_segment_max_backward,
    composed=_segment_max_composed,
)
def segment_max(
    index: Tensor, row: int, x: Tensor, size: int, backend: str
) -> tuple[Tensor, Tensor]:
    """``[B, E, K] -> [B, size, K]`` and the position of the first winner, E if there is none."""
    return implementation(backend, x).segment_max(rows_of(index, row, size), x)


def _segment_lse_fake(index, row, x, size, backend):
    return x.new_empty(x.size(0), size, x.size(2))


def _segment_lse_save(ctx, inputs, output):
    index, ctx.row, x, ctx.size, ctx.backend = inputs
    ctx.save_for_backward(index, x)


def _segment_lse_backward(ctx, grad):
    # Not exp(x - lse): where x is large, its difference to a rounded logarithm means nothing.
    index, x = ctx.saved_tensors
    share = softmax(index, ctx.row, x, ctx.size, ctx.backend)
    return None, None, gather(index, ctx.row, grad, ctx.backend) * share, None, None


def _segment_lse_composed(index, row, x, size, backend):
    return reference.segment_lse(rows_of(index, row, size), x)


@differentiable(
    values=(2,),
    fake=_segment_lse_fake,
    save=_segment_lse_save,
    backward=_segment_lse_backward,
    composed=_segment_lse_composed,
)
def segment_lse(index: Tensor, row: int, x: Tensor, size: int, backend: str) -> Tensor:
    """``[B, E, K] -> [B, size, K]``: log of the summed exponentials."""
    return implementation(backend, x).segment_lse(rows_of(index, row, size), x)
