"""Attention by dot products as an op PyTorch sees, and the same made of smaller ops."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkit.ops import pairwise, reference
from graphkit.ops.autograd import sums
from graphkit.ops.autograd.additive_attention import gradients_of, views
from graphkit.ops.autograd.edge_terms import edge_dot, edge_sum, like
from graphkit.ops.autograd.op import differentiable
from graphkit.ops.autograd.softmax import softmax
from graphkit.ops.backends import implementation
from graphkit.ops.dropout import keep_scale
from graphkit.ops.dtypes import wide_dtype, widened
from graphkit.ops.layout.rows import Graph, graph_of


def _graph(edge_index: Tensor, query: Tensor, key: Tensor) -> Graph:
    return graph_of(edge_index, key.size(1), query.size(1))


def _backward_fake(edge_index, query, key, value, edge_attr, edge_query, *_):
    edges = edge_attr.new_empty(query.size(0), *edge_attr.shape[1:])
    shapes = (v.new_empty(v.shape) for v in (query, key, value))
    return *shapes, edges, edge_query.new_empty(edge_query.shape)


def _backward_composed(edge_index, query, key, *inputs):
    graph = _graph(edge_index, query, key)
    return pairwise.dot_backward(reference, graph, query, key, *inputs[:-1])


@differentiable(values=(1, 2, 3, 4, 5, 9, 10), fake=_backward_fake, composed=_backward_composed)
def dot_backward(
    edge_index: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    edge_attr: Tensor,
    edge_query: Tensor,
    out: Tensor,
    edge_out: Tensor,
    statistics: Tensor,
    grad: Tensor,
    edge_grad: Tensor,
    seed: Tensor,
    scale: float,
    dropout: float,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of all that has one; weights are computed anew."""
    call = pairwise.of_backend(implementation(backend, query), "dot_backward")
    return call(
        _graph(edge_index, query, key),
        query,
        key,
        value,
        edge_attr,
        edge_query,
        out,
        edge_out,
        statistics,
        grad,
        edge_grad,
        seed,
        scale,
        dropout,
    )


def _fake(edge_index, query, key, value, edge_attr, *_):
    batch, size, heads, _ = query.shape
    out = value.new_empty(batch, size, heads, value.size(3))
    edge_out = value.new_empty(batch, size, heads, edge_attr.size(2))
    shape = (batch, size, 2, heads)
    return out, edge_out, query.new_empty(shape, dtype=wide_dtype(query.dtype))


def _save(ctx, inputs, output):
    *tensors, scale, dropout, backend = inputs
    ctx.settings = (scale, dropout, backend)
    ctx.save_for_backward(*tensors, *output)
    ctx.mark_non_differentiable(output[2])


def _backward(ctx, grad, edge_grad, _):
    edge_index, *x, seed, out, edge_out, statistics = ctx.saved_tensors
    if torch.is_grad_enabled():
        call: Any = composed
        x = views(x)
        *both, _ = call(edge_index, *x, seed, *ctx.settings)
        needed = ctx.needs_input_grad[1:6]
        return None, *gradients_of(both, x, [grad, edge_grad], needed), *[None] * 4
    ends = (out, edge_out, statistics, grad, edge_grad)
    grads = list(dot_backward(edge_index, *x, *ends, seed, *ctx.settings))
    grads[3] = like(grads[3], x[3])
    return None, *grads, *[None] * 4


def _composed(edge_index, query, key, *inputs):
    graph = _graph(edge_index, query, key)
    return pairwise.dot_forward(reference, graph, query, key, *inputs[:-1])


@differentiable(
    values=(1, 2, 3, 4, 5), fake=_fake, save=_save, backward=_backward, composed=_composed
)
def dot_forward(
    edge_index: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    edge_attr: Tensor,
    edge_query: Tensor,
    seed: Tensor,
    scale: float,
    dropout: float,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Sums of values ``[B, M, H, V]`` and of edge features ``[B, M, H, D]``; the statistics of
    their softmax, ``[B, M, 2, H]``."""
    call = pairwise.of_backend(implementation(backend, query), "dot_forward")
    graph = _graph(edge_index, query, key)
    return call(graph, query, key, value, edge_attr, edge_query, seed, scale, dropout)


def composed(
    edge_index: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    edge_attr: Tensor,
    edge_query: Tensor,
    seed: Tensor,
    scale: float,
    dropout: float,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Both sums and the weights ``[B, E, H]`` before dropout, by ops that keep the weights."""
    num_targets = query.size(1)
    score = sums.sddmm(edge_index, widened(key), widened(query), backend)
    if edge_query.size(3):
        score = score + edge_dot(edge_index, edge_query, edge_attr)
    weight = softmax(edge_index, 1, score * scale, num_targets, backend)
    kept = weight * keep_scale(seed, weight, dropout) if dropout > 0 else weight
    out = sums.spmm(edge_index, kept, widened(value), num_targets, False, backend)
    edge_out = edge_sum(edge_index, kept, edge_attr, num_targets)
    dtype = value.dtype
    return out.to(dtype), edge_out.to(dtype), weight.to(dtype)
