"""The fused attention layer as an op PyTorch sees, and the same made of smaller ops."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from graphkit.ops import reference
from graphkit.ops.autograd import sums
from graphkit.ops.autograd.op import differentiable, gradients_of, views
from graphkit.ops.autograd.softmax import softmax
from graphkit.ops.backends import implementation
from graphkit.ops.dropout import keep_scale
from graphkit.ops.dtypes import wide_dtype
from graphkit.ops.layout.rows import graph_of


def _backward_fake(edge_index, x, score_src, score_dst, score_edge, *_):
    rows = 0 if score_edge is None else edge_index.size(1)
    edges = x.new_empty(x.size(0), rows, x.size(2))
    return x.new_empty(x.shape), x.new_empty(score_src.shape), x.new_empty(score_dst.shape), edges


def _backward_composed(edge_index, x, score_src, score_dst, *inputs):
    graph = graph_of(edge_index, x.size(1), score_dst.size(1))
    return reference.gat_backward(graph, x, score_src, score_dst, *inputs[:-1])


@differentiable(values=(1, 2, 3, 4, 7), fake=_backward_fake, composed=_backward_composed)
def gat_backward(
    edge_index: Tensor,
    x: Tensor,
    score_src: Tensor,
    score_dst: Tensor,
    score_edge: Tensor | None,
    out: Tensor,
    statistics: Tensor,
    grad: Tensor,
    seed: Tensor,
    negative_slope: float,
    dropout: float,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of ``x`` and of the three scores; weights are computed anew."""
    graph = graph_of(edge_index, x.size(1), score_dst.size(1))
    return implementation(backend, x).gat_backward(
        graph,
        x,
        score_src,
        score_dst,
        score_edge,
        out,
        statistics,
        grad,
        seed,
        negative_slope,
        dropout,
    )


def _fake(edge_index, x, score_src, score_dst, *_):
    batch, _, heads, width = x.shape
    size = score_dst.size(1)
    out = x.new_empty(batch, size, heads, width)
    return out, x.new_empty(batch, size, 2, heads, dtype=wide_dtype(x.dtype))


def _save(ctx, inputs, output):
    edge_index, x, score_src, score_dst, score_edge, seed, *ctx.settings = inputs
    ctx.save_for_backward(edge_index, x, score_src, score_dst, score_edge, seed, *output)
    ctx.mark_non_differentiable(output[1])


def _backward(ctx, grad, _):
    edge_index, x, score_src, score_dst, score_edge, seed, out, statistics = ctx.saved_tensors
    inputs = [x, score_src, score_dst, score_edge]
    if torch.is_grad_enabled():
        # The same gradients through smaller ops, so that they have gradients in turn.
        inputs, call = views(inputs), cast("Any", composed)
        again, _ = call(edge_index, *inputs, seed, *ctx.settings)
        grads = tuple(gradients_of(again, inputs, grad, ctx.needs_input_grad[1:5]))
    else:
        *rest, grad_edge = gat_backward(
            edge_index, *inputs, out, statistics, grad, seed, *ctx.settings
        )
        grads = (*rest, None if score_edge is None else _like(grad_edge, score_edge))
    return None, *grads, None, None, None, None


def _composed(edge_index, x, score_src, score_dst, *inputs):
    graph = graph_of(edge_index, x.size(1), score_dst.size(1))
    return reference.gat_forward(graph, x, score_src, score_dst, *inputs[:-1])


@differentiable(values=(1, 2, 3, 4), fake=_fake, save=_save, backward=_backward, composed=_composed)
def gat_forward(
    edge_index: Tensor,
    x: Tensor,
    score_src: Tensor,
    score_dst: Tensor,
    score_edge: Tensor | None,
    seed: Tensor,
    negative_slope: float,
    dropout: float,
    backend: str,
) -> tuple[Tensor, Tensor]:
    """Sums ``[B, M, H, C]``, and for the backward pass ``[B, M, 2, H]``.

    The latter are the largest score of every target and the sum of the exponentials below it,
    kept apart: the logarithm of the sum, added to a large score, would be rounded away.
    """
    graph = graph_of(edge_index, x.size(1), score_dst.size(1))
    return implementation(backend, x).gat_forward(
        graph, x, score_src, score_dst, score_edge, seed, negative_slope, dropout
    )


def _like(grad: Tensor, value: Tensor) -> Tensor:
    """The gradient summed over the batch where the value is shared by it."""
    return grad if value.size(0) == grad.size(0) else grad.sum(0, keepdim=True)


def composed(
    edge_index: Tensor,
    x: Tensor,
    score_src: Tensor,
    score_dst: Tensor,
    score_edge: Tensor | None,
    seed: Tensor,
    negative_slope: float,
    dropout: float,
    backend: str,
) -> tuple[Tensor, Tensor]:
    """The sums and the weights ``[B, E, H]`` after dropout, by ops that keep the weights."""
    num_targets = score_dst.size(1)
    score = sums.gather(edge_index, 0, score_src, backend)
    score = score + sums.gather(edge_index, 1, score_dst, backend)
    if score_edge is not None:
        score = score + score_edge
    score = F.leaky_relu(score, negative_slope)
    weight = softmax(edge_index, 1, score, num_targets, backend)
    if dropout > 0:
        weight = weight * keep_scale(seed, weight, dropout)
    return sums.spmm(edge_index, weight, x, num_targets, False, backend), weight
