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
        nodes = x.size(0)
        hidden = linear(x, weight).view(1, nodes, *ends[0].shape[1:])
        module, graph = implementation(settings[2], hidden), graph_of(edge_index, nodes, nodes)
        ctx.settings = settings
        alone = self_attention.in_one_call(module, graph, hidden)
        ctx.kernel = (module, graph if alone else None)
        if not alone:
            found = self_attention.self_attention.kernel(edge_index, hidden, *ends, seed, *settings)
            given = found[0].view(nodes, bias.size(0)) + bias
        else:
            given, *found = module.gat_layer(graph, hidden, *ends, bias, seed, *settings[:2])
        ctx.save_for_backward(edge_index, seed, x, weight, bias, *ends, hidden, *found)
        return given

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        edge_index, seed, x, weight, bias, *rest = ctx.saved_tensors
        ends, hidden, (out, *rest) = rest[:2], rest[2], rest[3:]
        grad, needs = grads[0], ctx.needs_input_grad[3:]
        if torch.is_grad_enabled():
            # The same gradients through smaller ops, so that they have gradients in turn.
            inputs = views((x, weight, *ends))
            new = linear(*inputs[:2]).view(hidden.shape)
            again = self_attention.composed(edge_index, new, *inputs[2:], seed, *ctx.settings)
            wanted = (*needs[:2], *needs[3:])
            found = gradients_of(again, inputs, grad.reshape(hidden.shape), wanted)
            return None, None, None, *found[:2], grad.sum(0) if needs[2] else None, *found[2:]
        module, graph = ctx.kernel
        if graph is not None and is_plain(grads) and not is_transformed(grads):
            given = (hidden, *ends, bias, out, *rest, grad)
            grad_hidden, *both, grad_bias = module.gat_layer_backward(
                graph, *given, seed, *ctx.settings[:2]
            )
        else:
            statistics, *scores = rest if graph is None else _apart(*rest)
            # Laid out once, for all that reads it: it may be one value, repeated.
            grad = grad.contiguous()
            given = (hidden, *ends, *scores, out, statistics, grad.view(hidden.shape))
            grad_hidden, *both = self_attention.self_attention_backward(
                edge_index, *given, seed, *ctx.settings
            )
            grad_bias = grad.sum(0) if needs[2] else None
        flat = grad_hidden.view(grad.shape)
        grad_x = flat @ weight if needs[0] else None
        grad_weight = flat.t() @ x if needs[1] else None
        return None, None, None, grad_x, grad_weight, grad_bias, *both


def _apart(state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The statistics of a softmax, ``[1, N, 2, H]``, and the scores of both ends."""
    _, nodes, heads = state.shape
    return state[:2].view(1, nodes, 2, heads), state[2:3], state[3:]
