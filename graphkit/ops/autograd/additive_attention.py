"""Attention of GATv2 as an op PyTorch sees, and the same made of smaller ops."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkit.ops import pairwise, reference
from graphkit.ops.autograd import sums
from graphkit.ops.autograd.edge_terms import like
from graphkit.ops.autograd.op import differentiable, gradients_of, views
from graphkit.ops.autograd.softmax import softmax
from graphkit.ops.backends import implementation
from graphkit.ops.dropout import keep_scale
from graphkit.ops.dtypes import wide_dtype, widened
from graphkit.ops.layout.rows import Graph, graph_of


def _graph(edge_index: Tensor, x_src: Tensor, x_dst: Tensor) -> Graph:
    return graph_of(edge_index, x_src.size(1), x_dst.size(1))


def _gradients_fake(edge_index, x_src, x_dst, att, edge_attr, lin, *_):
    edges = edge_attr.new_empty(x_src.size(0), *edge_attr.shape[1:])
    return (*(v.new_empty(v.shape) for v in (x_src, x_dst, att)), edges, lin.new_empty(lin.shape))


def _score_backward_composed(edge_index, x_src, x_dst, *inputs):
    graph = _graph(edge_index, x_src, x_dst)
    return pairwise.gatv2_score_backward(graph, x_src, x_dst, *inputs)


def _score_backward_save(ctx, inputs, output):
    *tensors, ctx.slope = inputs
    ctx.save_for_backward(*tensors)


def _score_backward_backward(ctx, *outer):
    """Edges a few at a time: only derivatives of the third order hold what lies between."""
    edge_index, *x, grad = ctx.saved_tensors
    further = torch.is_grad_enabled()
    values = (*x, grad)
    inputs = views(values) if further else [v.detach().requires_grad_() for v in values]
    graph, total = _graph(edge_index, x[0], x[1]), [torch.zeros_like(v) for v in inputs]
    for part, source, target in pairwise.parts(graph, x[0]):
        ends = (source, target)
        with torch.enable_grad():
            x_part = (*inputs[:3], inputs[3][:, part], inputs[4])
            found = pairwise.gatv2_part_backward(ends, x_part, inputs[5][:, part], ctx.slope)
        cotangents = [*outer[:3], outer[3][:, part], outer[4]]
        cotangents = [c.to(f.dtype) for c, f in zip(cotangents, found, strict=True)]
        new = torch.autograd.grad(
            found, inputs, cotangents, create_graph=further, materialize_grads=True
        )
        total = [a + b for a, b in zip(total, new, strict=True)]
    return None, *total, None


@differentiable(
    values=(1, 2, 3, 4, 5, 6),
    fake=_gradients_fake,
    save=_score_backward_save,
    backward=_score_backward_backward,
    composed=_score_backward_composed,
)
def gatv2_score_backward(
    edge_index: Tensor,
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    edge_attr: Tensor,
    lin: Tensor,
    grad: Tensor,
    negative_slope: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of the five tensors that scores depend on, from that of the scores."""
    graph, x = _graph(edge_index, x_src, x_dst), (x_src, x_dst, att, edge_attr, lin)
    grads = pairwise.gatv2_score_backward(graph, *x, grad, negative_slope)
    first, second, third, fourth, fifth = (g.to(x_src.dtype) for g in grads)
    return first, second, third, fourth, fifth


def _score_fake(edge_index, x_src, *_):
    shape = (x_src.size(0), edge_index.size(1), x_src.size(2))
    return x_src.new_empty(shape, dtype=wide_dtype(x_src.dtype))


def _score_save(ctx, inputs, output):
    *tensors, ctx.slope = inputs
    ctx.save_for_backward(*tensors)


def _score_backward(ctx, grad):
    edge_index, *x = ctx.saved_tensors
    grads = list(gatv2_score_backward(edge_index, *x, grad, ctx.slope))
    grads[3] = like(grads[3], x[3])
    return None, *grads, None


def _score_composed(edge_index, x_src, x_dst, *inputs):
    return pairwise.gatv2_score(_graph(edge_index, x_src, x_dst), x_src, x_dst, *inputs)


@differentiable(
    values=(1, 2, 3, 4, 5),
    fake=_score_fake,
    save=_score_save,
    backward=_score_backward,
    composed=_score_composed,
)
def gatv2_score(
    edge_index: Tensor,
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    edge_attr: Tensor,
    lin: Tensor,
    negative_slope: float,
) -> Tensor:
    """The scores ``[B, E, H]``, in the dtype that sums are taken in."""
    graph = _graph(edge_index, x_src, x_dst)
    return pairwise.gatv2_score(graph, x_src, x_dst, att, edge_attr, lin, negative_slope)


def _backward_fake(edge_index, x_src, x_dst, att, edge_attr, lin, *_):
    return _gradients_fake(edge_index, x_src, x_dst, att, edge_attr, lin)


def _backward_composed(edge_index, x_src, x_dst, *inputs):
    graph = _graph(edge_index, x_src, x_dst)
    return pairwise.gatv2_backward(reference, graph, x_src, x_dst, *inputs[:-1])


@differentiable(values=(1, 2, 3, 4, 5, 8), fake=_backward_fake, composed=_backward_composed)
def gatv2_backward(
    edge_index: Tensor,
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    edge_attr: Tensor,
    lin: Tensor,
    out: Tensor,
    statistics: Tensor,
    grad: Tensor,
    seed: Tensor,
    negative_slope: float,
    dropout: float,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of all that has one; weights are computed anew."""
    call = pairwise.of_backend(implementation(backend, x_src), "gatv2_backward")
    return call(
        _graph(edge_index, x_src, x_dst),
        x_src,
        x_dst,
        att,
        edge_attr,
        lin,
        out,
        statistics,
        grad,
        seed,
        negative_slope,
        dropout,
    )


def _fake(edge_index, x_src, x_dst, *_):
    batch, _, heads, width = x_src.shape
    out = x_src.new_empty(batch, x_dst.size(1), heads, width)
    shape = (batch, x_dst.size(1), 2, heads)
    return out, x_src.new_empty(shape, dtype=wide_dtype(x_src.dtype))


def _save(ctx, inputs, output):
    *tensors, slope, dropout, backend = inputs
    ctx.settings = (slope, dropout, backend)
    ctx.save_for_backward(*tensors, *output)
    ctx.mark_non_differentiable(output[1])


def _backward(ctx, grad, _):
    edge_index, *x, seed, out, statistics = ctx.saved_tensors
    if torch.is_grad_enabled():
        call: Any = composed
        x = views(x)
        again, _ = call(edge_index, *x, seed, *ctx.settings)
        return None, *gradients_of(again, x, grad, ctx.needs_input_grad[1:6]), *[None] * 4
    grads = list(gatv2_backward(edge_index, *x, out, statistics, grad, seed, *ctx.settings))
    grads[3] = like(grads[3], x[3])
    return None, *grads, *[None] * 4


def _composed(edge_index, x_src, x_dst, *inputs):
    graph = _graph(edge_index, x_src, x_dst)
    return pairwise.gatv2_forward(reference, graph, x_src, x_dst, *inputs[:-1])


@differentiable(
    values=(1, 2, 3, 4, 5), fake=_fake, save=_save, backward=_backward, composed=_composed
)
def gatv2_forward(
    edge_index: Tensor,
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    edge_attr: Tensor,
    lin: Tensor,
    seed: Tensor,
    negative_slope: float,
    dropout: float,
    backend: str,
) -> tuple[Tensor, Tensor]:
    """Sums ``[B, M, H, C]``, and the statistics of their softmax, ``[B, M, 2, H]``."""
    call = pairwise.of_backend(implementation(backend, x_src), "gatv2_forward")
    graph = _graph(edge_index, x_src, x_dst)
    return call(graph, x_src, x_dst, att, edge_attr, lin, seed, negative_slope, dropout)


def composed(
    edge_index: Tensor,
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    edge_attr: Tensor,
    lin: Tensor,
    seed: Tensor,
    negative_slope: float,
    dropout: float,
    backend: str,
) -> tuple[Tensor, Tensor]:
    """The sums and the weights ``[B, E, H]`` after dropout, by ops that keep the weights."""
    num_targets = x_dst.size(1)
    score = gatv2_score(edge_index, x_src, x_dst, att, edge_attr, lin, negative_slope)
    weight = softmax(edge_index, 1, score, num_targets, backend)
    if dropout > 0:
        weight = weight * keep_scale(seed, weight, dropout)
    out = sums.spmm(edge_index, weight, widened(x_src), num_targets, False, backend)
    return out.to(x_src.dtype), weight.to(x_src.dtype)
