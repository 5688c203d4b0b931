"""Attention of a set of nodes to itself, scores and all, as one op PyTorch sees."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkit.ops import reference
from graphkit.ops.autograd import attention
from graphkit.ops.autograd.op import differentiable, gradients_of, views
from graphkit.ops.backends import implementation
from graphkit.ops.dtypes import wide_dtype
from graphkit.ops.layout.rows import Graph, graph_of


def in_one_call(module: Any, graph: Graph, x: Tensor) -> bool:
    """Whether the backend has one kernel for all of this, and the graph is small enough for it."""
    return hasattr(module, "is_small") and module.is_small(graph, x)


def _backward_fake(edge_index, x, att_src, att_dst, *_):
    return x.new_empty(x.shape), att_src.new_empty(att_src.shape), att_dst.new_empty(att_dst.shape)


def _backward_composed(edge_index, x, att_src, att_dst, score_src, score_dst, *inputs):
    graph = graph_of(edge_index, x.size(1), x.size(1))
    grads = reference.gat_backward(graph, x, score_src, score_dst, None, *inputs[:-1])
    return reference.end_scores_backward(x, att_src, att_dst, grads[1], grads[2], grads[0])


@differentiable(values=(1, 2, 3, 4, 5, 8), fake=_backward_fake, composed=_backward_composed)
def self_attention_backward(
    edge_index: Tensor,
    x: Tensor,
    att_src: Tensor,
    att_dst: Tensor,
    score_src: Tensor,
    score_dst: Tensor,
    out: Tensor,
    statistics: Tensor,
    grad: Tensor,
    seed: Tensor,
    negative_slope: float,
    dropout: float,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of ``x`` and of both vectors; weights are computed anew."""
    module, graph = implementation(backend, x), graph_of(edge_index, x.size(1), x.size(1))
    if in_one_call(module, graph, x):
        ends, result = (att_src, att_dst, score_src, score_dst), (out, statistics, grad)
        settings = (seed, negative_slope, dropout)
        return module.self_attention_backward(graph, x, *ends, *result, *settings)
    grad_x, grad_src, grad_dst, _ = module.gat_backward(
        graph,
        x,
        score_src,
        score_dst,
        None,
        out,
        statistics,
        grad,
        seed,
        negative_slope,
        dropout,
    )
    grads = module.end_scores_backward(x, att_src, att_dst, grad_src, grad_dst, grad_x)
    first, second, third = grads
    return first, second, third


def _fake(edge_index, x, *_):
    batch, count, heads, _ = x.shape
    wide = wide_dtype(x.dtype)
    statistics = x.new_empty(batch, count, 2, heads, dtype=wide)
    score_src, score_dst = (x.new_empty(batch, count, heads, dtype=wide) for _ in range(2))
    return x.new_empty(x.shape), statistics, score_src, score_dst


def _save(ctx, inputs, output):
    edge_index, x, att_src, att_dst, seed, *ctx.settings = inputs
    ctx.save_for_backward(edge_index, x, att_src, att_dst, seed, *output)
    ctx.mark_non_differentiable(*output[1:])


def _backward(ctx, grad, *_):
    edge_index, x, att_src, att_dst, seed, out, statistics, *scores = ctx.saved_tensors
    if torch.is_grad_enabled():
        inputs = views((x, att_src, att_dst))
        again = composed(edge_index, *inputs, seed, *ctx.settings)
        grads = gradients_of(again, inputs, grad, ctx.needs_input_grad[1:4])
    else:
        grads = self_attention_backward(
            edge_index, x, att_src, att_dst, *scores, out, statistics, grad, seed, *ctx.settings
        )
    return None, *grads, None, None, None, None


def composed(
    edge_index: Tensor, x: Tensor, att_src: Tensor, att_dst: Tensor, seed: Tensor, *settings: Any
) -> Tensor:
    """The sums, by ops that keep the weights."""
    scores = reference.end_scores(x, att_src, att_dst)
    return attention.composed(edge_index, x, *scores, None, seed, *settings)[0]


def _composed(edge_index, x, att_src, att_dst, *inputs):
    graph = graph_of(edge_index, x.size(1), x.size(1))
    scores = reference.end_scores(x, att_src, att_dst)
    return *reference.gat_forward(graph, x, *scores, None, *inputs[:-1]), *scores


@differentiable(values=(1, 2, 3), fake=_fake, save=_save, backward=_backward, composed=_composed)
def self_attention(
    edge_index: Tensor,
    x: Tensor,
    att_src: Tensor,
    att_dst: Tensor,
    seed: Tensor,
    negative_slope: float,
    dropout: float,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sums ``[B, N, H, C]`` over neighbours in the same nodes; vectors are ``[1, H, C]``.

    Then what the backward pass needs: the statistics of :func:`~graphkit.ops.autograd.attention
    .gat_forward`, and the scores of both ends, ``[B, N, H]``. One op instead of six saves what
    PyTorch spends on each of them, which is most of the time while graphs are small.
    """
    module, graph = implementation(backend, x), graph_of(edge_index, x.size(1), x.size(1))
    if in_one_call(module, graph, x):
        settings = (seed, negative_slope, dropout)
        return module.self_attention(graph, x, att_src, att_dst, *settings)
    score_src, score_dst = module.end_scores(x, att_src, att_dst)
    out, statistics = module.gat_forward(
        graph,
        x,
        score_src,
        score_dst,
        None,
        seed,
        negative_slope,
        dropout,
    )
    return out, statistics, score_src, score_dst
