"""A map of the neighbours' sum or mean and a map of a node itself, as one step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from graphkit.ops.autograd import sums
from graphkit.ops.autograd.op import gradients_of, views
from graphkit.ops.backends import active_backend
from graphkit.ops.layout.rows import rows_of

__all__ = ["neighbour_pair"]


def neighbour_pair(
    edge_index: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    other: Tensor,
    mean: bool,
) -> Tensor:
    r"""A layer of GraphSAGE on one set of nodes, where
    :func:`~graphkit.nn.one_step.may_be_one_step` allows it.

    .. math::
        \mathbf{y}_i = \mathbf{W}_1 \operatorname{mean}_{j \to i} \mathbf{x}_j + \mathbf{b}
        + \mathbf{W}_2 \mathbf{x}_i

    The mean is taken where the sum lies, the second product is added to the first, and so are the
    gradients: of the four tensors as large as the features that a step else leaves behind, one
    remains.

    Args:
        edge_index (torch.Tensor): The edges ``[2, E]``.
        x (torch.Tensor): Features ``[N, F]``.
        weight (torch.Tensor): The map of neighbours, ``[C, F]``.
        bias (torch.Tensor, optional): ``[C]``.
        other (torch.Tensor): The map of the node itself, ``[C, F]``.
        mean (bool): Whether sums are divided by the number of neighbours.

    Returns:
        ``[N, C]``.

    Raises:
        IndexError: If an index is negative or not below the number of nodes.
    """
    counts = None
    if mean:
        counts = rows_of(edge_index, 1, x.size(0)).counts.clamp(min=1).to(x.dtype).unsqueeze(1)
    return _NeighbourPair.apply(x, weight, bias, other, edge_index, counts, active_backend())


def _summed(call: Any, edge_index: Tensor, x: Tensor, transposed: bool, backend: str) -> Tensor:
    out = call(edge_index, None, x.view(1, -1, 1, x.size(1)), x.size(0), transposed, backend)
    return out.view(x.shape)


class _NeighbourPair(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        other: Tensor,
        edge_index: Tensor,
        counts: Tensor | None,
        backend: str,
    ) -> Tensor:
        total = _summed(sums.spmm.kernel, edge_index, x.contiguous(), False, backend)
        if counts is not None:
            total.div_(counts)
        ctx.backend = backend
        ctx.save_for_backward(x, weight, other, edge_index, counts, total)
        return linear(total, weight, bias).addmm_(x, other.t())

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, other, edge_index, counts, total = ctx.saved_tensors
        needs = ctx.needs_input_grad
        # Laid out once, for all that reads it: it may be one value, repeated.
        grad = grads[0].contiguous()
        grad_bias = grad.sum(0) if needs[2] else None
        if torch.is_grad_enabled():
            # The same gradients through smaller ops, so that they have gradients in turn.
            inputs = views((x, weight, other))
            mean = _summed(sums.spmm, edge_index, inputs[0].contiguous(), False, ctx.backend)
            mean = mean if counts is None else mean / counts
            again = linear(mean, inputs[1]) + linear(inputs[0], inputs[2])
            wanted = (*needs[:2], needs[3])
            grad_x, first, second = gradients_of(again, inputs, grad, wanted)
            return grad_x, first, grad_bias, second, None, None, None
        grad_x = None
        if needs[0]:
            back = grad @ weight
            if counts is not None:
                back.div_(counts)
            grad_x = _summed(sums.spmm, edge_index, back, True, ctx.backend)
            grad_x.addmm_(grad, other)
        first = grad.t() @ total if needs[1] else None
        second = grad.t() @ x if needs[3] else None
        return grad_x, first, grad_bias, second, None, None, None
