"""A linear map, attention over its values and a bias, as one step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from graphkit.ops.autograd import self_attention
from graphkit.ops.autograd.op import gradients_of, views
from graphkit.ops.backends import active_backend
from graphkit.ops.dropout import checked_seed

__all__ = ["gat_step"]


def gat_step(
    edge_index: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    ends: tuple[Tensor, Tensor],
    negative_slope: float,
    dropout: float,
) -> Tensor:
    r"""A graph attention layer on one set of nodes, where
    :func:`~graphkit.nn.one_step.may_be_one_step` allows it.

    .. math::
        \mathbf{y}_i = \sum_{j \to i} \mathrm{softmax}_j \left( \mathrm{LeakyReLU} \left(
        \mathbf{a}_{src}^{\top} \mathbf{W} \mathbf{x}_j + \mathbf{a}_{dst}^{\top} \mathbf{W}
        \mathbf{x}_i \right) \right) \mathbf{W} \mathbf{x}_j + \mathbf{b}

    One step in place of seven saves what PyTorch spends on each of them, forward and backward: on
    graphs of some thousand edges that is as long as the attention takes.

    Args:
        edge_index (torch.Tensor): The edges ``[2, E]``.
        x (torch.Tensor): Features ``[N, F]``.
        weight (torch.Tensor): The map ``[H C, F]``.
        bias (torch.Tensor): ``[H C]``.
        ends (tuple): What scores a source and what scores a target, ``[1, H, C]`` each.
        negative_slope (float): The slope of the LeakyReLU.
        dropout (float): The probability to drop a weight.

    Returns:
        The heads side by side, ``[N, H C]``.

    Raises:
        IndexError: If an index is negative or not below the number of nodes.
        ValueError: If ``dropout`` is not a probability.
    """
    seed = checked_seed(dropout, x.device)
    settings = (negative_slope, dropout, active_backend())
    return _GATStep.apply(edge_index, seed, settings, x, weight, bias, *ends)


class _GATStep(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        edge_index: Tensor,
        seed: Tensor,
        settings: tuple[Any, ...],
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        *ends: Tensor,
    ) -> Tensor:
        hidden = linear(x, weight).view(1, x.size(0), *ends[0].shape[1:])
        found = self_attention.self_attention.kernel(edge_index, hidden, *ends, seed, *settings)
        ctx.settings = settings
        ctx.save_for_backward(edge_index, seed, x, weight, *ends, hidden, *found)
        return found[0].view(x.size(0), bias.size(0)) + bias

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        edge_index, seed, x, weight, *rest = ctx.saved_tensors
        ends, hidden, (out, statistics, *scores) = rest[:2], rest[2], rest[3:]
        needs = ctx.needs_input_grad[3:]
        # Laid out once, for all that reads it: it may be one value, repeated.
        grad = grads[0].contiguous()
        grad_bias = grad.sum(0) if needs[2] else None
        heads = grad.view(hidden.shape)
        if torch.is_grad_enabled():
            # The same gradients through smaller ops, so that they have gradients in turn.
            inputs = views((x, weight, *ends))
            new = linear(*inputs[:2]).view(hidden.shape)
            again = self_attention.composed(edge_index, new, *inputs[2:], seed, *ctx.settings)
            wanted = (*needs[:2], *needs[3:])
            first, second, *both = gradients_of(again, inputs, heads, wanted)
            return None, None, None, first, second, grad_bias, *both
        given = (hidden, *ends, *scores, out, statistics, heads)
        grad_hidden, *both = self_attention.self_attention_backward(
            edge_index, *given, seed, *ctx.settings
        )
        flat = grad_hidden.view(grad.shape)
        grad_x = flat @ weight if needs[0] else None
        grad_weight = flat.t() @ x if needs[1] else None
        return None, None, None, grad_x, grad_weight, grad_bias, *both
