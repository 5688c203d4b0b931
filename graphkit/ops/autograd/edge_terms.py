r"""What features of edges do to attention by dot products: three ops, each a derivative.

With a weight :math:`w_{e,h}`, a vector :math:`q_{i,h}` of the target :math:`i(e)` and features
:math:`a_e`, the sum :math:`\sum_{e,h} w_{e,h} \langle q_{i(e),h}, a_e \rangle` is linear in each
of the three. Its derivatives are :func:`edge_dot`, :func:`edge_sum` and :func:`edge_mix`, and
the gradient of each of them is made of the other two.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from graphkit.ops import pairwise
from graphkit.ops.autograd.op import differentiable
from graphkit.ops.dtypes import wide_dtype
from graphkit.ops.layout.rows import rows_of


def like(grad: Tensor, value: Tensor) -> Tensor:
    """The gradient summed over the batch where the value is shared by it, in its dtype."""
    grad = grad if value.size(0) == grad.size(0) else grad.sum(0, keepdim=True)
    return grad.to(value.dtype)


def _save(ctx: Any, inputs: Any, output: Any) -> None:
    edge_index, left, right, *_ = inputs
    ctx.save_for_backward(edge_index, left, right)


def _dot_fake(edge_index, query, edge_attr):
    shape = (query.size(0), edge_index.size(1), query.size(2))
    return query.new_empty(shape, dtype=wide_dtype(query.dtype))


def _dot_backward(ctx, grad):
    edge_index, query, edge_attr = ctx.saved_tensors
    grad_query = edge_sum(edge_index, grad, edge_attr, query.size(1)).to(query.dtype)
    return None, grad_query, like(edge_mix(edge_index, grad, query), edge_attr)


def _dot(edge_index, query, edge_attr):
    return pairwise.edge_dot(rows_of(edge_index, 1, query.size(1)), query, edge_attr)


@differentiable(values=(1, 2), fake=_dot_fake, save=_save, backward=_dot_backward, composed=_dot)
def edge_dot(edge_index: Tensor, query: Tensor, edge_attr: Tensor) -> Tensor:
    """``[B, M, H, D], [B or 1, E, D] -> [B, E, H]``."""
    return _dot(edge_index, query, edge_attr)


def _sum_fake(edge_index, weight, edge_attr, num_targets):
    shape = (weight.size(0), num_targets, weight.size(2), edge_attr.size(2))
    return weight.new_empty(shape, dtype=wide_dtype(weight.dtype))


def _sum_backward(ctx, grad):
    edge_index, weight, edge_attr = ctx.saved_tensors
    grad_weight = edge_dot(edge_index, grad, edge_attr).to(weight.dtype)
    return None, grad_weight, like(edge_mix(edge_index, weight, grad), edge_attr), None


def _sum(edge_index, weight, edge_attr, num_targets):
    return pairwise.edge_sum(rows_of(edge_index, 1, num_targets), weight, edge_attr)


@differentiable(values=(1, 2), fake=_sum_fake, save=_save, backward=_sum_backward, composed=_sum)
def edge_sum(edge_index: Tensor, weight: Tensor, edge_attr: Tensor, num_targets: int) -> Tensor:
    """``[B, E, H], [B or 1, E, D] -> [B, M, H, D]``."""
    return _sum(edge_index, weight, edge_attr, num_targets)


def _mix_fake(edge_index, weight, query):
    shape = (weight.size(0), edge_index.size(1), query.size(3))
    return weight.new_empty(shape, dtype=wide_dtype(weight.dtype))


def _mix_backward(ctx, grad):
    edge_index, weight, query = ctx.saved_tensors
    grad_weight = edge_dot(edge_index, query, grad).to(weight.dtype)
    grad_query = edge_sum(edge_index, weight, grad, query.size(1)).to(query.dtype)
    return None, grad_weight, grad_query


def _mix(edge_index, weight, query):
    return pairwise.edge_mix(rows_of(edge_index, 1, query.size(1)), weight, query)


@differentiable(values=(1, 2), fake=_mix_fake, save=_save, backward=_mix_backward, composed=_mix)
def edge_mix(edge_index: Tensor, weight: Tensor, query: Tensor) -> Tensor:
    """``[B, E, H], [B, M, H, D] -> [B, E, D]``."""
    return _mix(edge_index, weight, query)
