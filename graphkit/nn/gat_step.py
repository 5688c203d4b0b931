"""A linear map, attention over its values and a bias, as one step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from graphkit.ops.autograd import self_attention
from graphkit.ops.autograd.op import gradients_of, views
from graphkit.ops.backends import active_backend, implementation
from graphkit.ops.dropout import checked_seed
from graphkit.ops.layout.rows import graph_of
from graphkit.ops.situation import is_plain, is_transformed

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
    return _apply(edge_index, seed, settings, x, weight, bias, *ends)


class _GATStep(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        edge_index: Tensor,
        seed: Tensor,
        settings: tuple[float, float, str],
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        att_src: Tensor,
        att_dst: Tensor,
    ) -> Tensor:
        slope, dropout, backend = settings
        nodes = x.size(0)
        hidden = linear(x, weight).view(1, nodes, *att_src.shape[1:])
        module, graph = implementation(backend, hidden), graph_of(edge_index, nodes, nodes)
        alone = self_attention.in_one_call(module, graph, hidden)
        if alone:
            out, *saved = module.gat_layer(
                graph, hidden, att_src, att_dst, bias, seed, slope, dropout
            )
        else:
            saved = self_attention.self_attention.kernel(
                edge_index, hidden, att_src, att_dst, seed, *settings
            )
            out = saved[0].view(nodes, bias.size(0)) + bias
        ctx.given = (seed, settings, module, graph if alone else None)
        ctx.save_for_backward(edge_index, x, weight, att_src, att_dst, hidden, *saved)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        edge_index, x, weight, att_src, att_dst, hidden, *saved = ctx.saved_tensors
        seed, settings, module, graph = ctx.given
        grad, needs = grads[0], ctx.needs_input_grad[3:]
        if torch.is_grad_enabled():
            # The same gradients through smaller ops, so that they have gradients in turn.
            inputs = views((x, weight, att_src, att_dst))
            new = linear(*inputs[:2]).view(hidden.shape)
            again = self_attention.composed(edge_index, new, *inputs[2:], seed, *settings)
            wanted = (*needs[:2], *needs[3:])
            both = gradients_of(again, inputs, grad.reshape(hidden.shape), wanted)
            return None, None, None, *both[:2], grad.sum(0) if needs[2] else None, *both[2:]
        if graph is not None and is_plain(grads) and not is_transformed(grads):
            grad_hidden, grad_src, grad_dst, grad_bias = module.gat_layer_backward(
                graph, hidden, att_src, att_dst, saved[0], grad, seed, *settings[:2]
            )
        else:
            out, statistics, *scores = (
                saved if graph is None else module.parts_of_state(saved[0], hidden)
            )
            # Laid out once, for all that reads it: it may be one value, repeated.
            grad = grad.contiguous()
            given = (hidden, att_src, att_dst, *scores, out, statistics, grad.view(hidden.shape))
            grad_hidden, grad_src, grad_dst = self_attention.self_attention_backward(
                edge_index, *given, seed, *settings
            )
            grad_bias = grad.sum(0) if needs[2] else None
        flat = grad_hidden.view(grad.shape)
        grad_x = flat @ weight if needs[0] else None
        grad_weight = flat.t() @ x if needs[1] else None
        return None, None, None, grad_x, grad_weight, grad_bias, grad_src, grad_dst


# What Function.apply does before this is for torch.func, under which no step is taken: leaving it
# out saves several microseconds.
_apply = super(torch.autograd.Function, _GATStep).apply
