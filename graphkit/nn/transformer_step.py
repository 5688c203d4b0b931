"""Queries, keys, values, their attention and a skip connection, as one step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from graphkit.ops.autograd.op import gradients_of, views
from graphkit.ops.autograd.product_attention import composed, dot_backward, dot_forward
from graphkit.ops.backends import active_backend
from graphkit.ops.dropout import checked_seed

__all__ = ["transformer_step"]


def transformer_step(
    edge_index: Tensor,
    x: Tensor,
    maps: list[tuple[Tensor, Tensor | None]],
    heads: int,
    dropout: float,
) -> Tensor:
    r"""A layer of a graph transformer on one set of nodes, where
    :func:`~graphkit.nn.one_step.may_be_one_step` allows it.

    .. math::
        \mathbf{y}_i = \sum_{j \to i} \mathrm{softmax}_j \left( \frac{(\mathbf{W}_q
        \mathbf{x}_i)^{\top} \mathbf{W}_k \mathbf{x}_j}{\sqrt{C}} \right) \mathbf{W}_v
        \mathbf{x}_j + \mathbf{W}_s \mathbf{x}_i

    Gradients of the features are added up where they lie, and none is made for edge features that
    are not there.

    Args:
        edge_index (torch.Tensor): The edges ``[2, E]``.
        x (torch.Tensor): Features ``[N, F]``.
        maps (list): Weight ``[H C, F]`` and bias ``[H C]``, or none, of queries, keys, values and,
            if there is one, the skip connection.
        heads (int): The number of heads.
        dropout (float): The probability to drop a weight.

    Returns:
        The heads side by side, ``[N, H C]``.

    Raises:
        IndexError: If an index is negative or not below the number of nodes.
        ValueError: If ``dropout`` is not a probability.
    """
    seed = checked_seed(dropout, x.device)
    width = maps[0][0].size(0) // heads
    settings = (max(1, width) ** -0.5, dropout, active_backend())
    flat = [value for pair in maps for value in pair]
    return _TransformerStep.apply(edge_index, seed, (heads, width), settings, x, *flat)


def _without_edges(like: Tensor, edges: int, heads: int) -> tuple[Tensor, Tensor]:
    """Features of edges, and the queries of them, where there are none."""
    return like.new_empty(1, edges, 0), like.new_empty(1, like.size(0), heads, 0)


class _TransformerStep(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        edge_index: Tensor,
        seed: Tensor,
        shape: tuple[int, int],
        settings: tuple[Any, ...],
        x: Tensor,
        *maps: Any,
    ) -> Tensor:
        both = list(zip(maps[::2], maps[1::2], strict=True))
        parts = [linear(x, *each).view(1, x.size(0), *shape) for each in both[:3]]
        absent = _without_edges(x, edge_index.size(1), shape[0])
        out, _, statistics = dot_forward.kernel(edge_index, *parts, *absent, seed, *settings)
        ctx.shape, ctx.settings = shape, settings
        ctx.save_for_backward(edge_index, seed, x, out, statistics, *parts, *maps)
        rows = out.view(x.size(0), shape[0] * shape[1])
        # What is handed out may be written to; the backward pass needs its own.
        return linear(x, *both[3]).add_(rows) if len(both) == 4 else rows.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        edge_index, seed, x, out, statistics, *rest = ctx.saved_tensors
        parts, maps = rest[:3], rest[3:]
        needs_x, *needs = ctx.needs_input_grad[4:]
        # Laid out once, for all that reads it: it may be one value, repeated.
        grad = grads[0].contiguous()
        if torch.is_grad_enabled():
            return None, None, None, None, *_through_ops(ctx, edge_index, seed, x, maps, grad)
        absent = _without_edges(x, edge_index.size(1), ctx.shape[0])
        ends = out, absent[1], statistics, grad.reshape(out.shape), absent[1]
        back = dot_backward(edge_index, *parts, *absent, *ends, seed, *ctx.settings)
        flat = [each.reshape(grad.shape) for each in back[:3]] + [grad] * (len(maps) == 8)
        grad_x, found = None, []
        for place, (each, weight) in enumerate(zip(flat, maps[::2], strict=True)):
            if needs_x:
                grad_x = each @ weight if grad_x is None else grad_x.addmm_(each, weight)
            found.append(each.t() @ x if needs[2 * place] else None)
            found.append(each.sum(0) if needs[2 * place + 1] else None)
        return None, None, None, None, grad_x, *found


def _through_ops(
    ctx: Any, edge_index: Tensor, seed: Tensor, x: Tensor, maps: list[Tensor | None], grad: Tensor
) -> list[Tensor | None]:
    """The same gradients through smaller ops, so that they have gradients in turn."""
    inputs = views((x, *maps))
    found = [
        linear(inputs[0], *both).view(1, x.size(0), *ctx.shape)
        for both in zip(inputs[1::2], inputs[2::2], strict=True)
    ]
    absent = _without_edges(x, edge_index.size(1), ctx.shape[0])
    call: Any = composed
    again = call(edge_index, *found[:3], *absent, seed, *ctx.settings)[0]
    for skip in found[3:]:
        again = again + skip
    return gradients_of(again, inputs, grad.view_as(again), ctx.needs_input_grad[4:])
