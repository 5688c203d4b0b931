"""The fused attention layer as an op PyTorch sees, and the same made of smaller ops."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from graphkit.ops.autograd import sums as p
from graphkit.ops.autograd.softmax import softmax
from graphkit.ops.backends import implementation
from graphkit.ops.dropout import keep_scale
from graphkit.ops.dtypes import wide_dtype
from graphkit.ops.layout.rows import Graph


@torch.library.custom_op("graphkit::gat_forward", mutates_args=())
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
    """Sums ``[B, M, H, C]`` and the log-normalisers ``[B, M, H]`` the backward pass needs."""
    graph = Graph(edge_index, x.size(1), score_dst.size(1))
    return implementation(backend, x).gat_forward(
        graph, x, score_src, score_dst, score_edge, negative_slope, dropout, seed
    )


@gat_forward.register_fake
def _(edge_index, x, score_src, score_dst, score_edge, seed, negative_slope, dropout, backend):
    shape = (x.size(0), score_dst.size(1), x.size(2))
    return x.new_empty(*shape, x.size(3)), x.new_empty(shape, dtype=wide_dtype(x.dtype))


@torch.library.custom_op("graphkit::gat_backward", mutates_args=())
def gat_backward(
    edge_index: Tensor,
    x: Tensor,
    score_src: Tensor,
    score_dst: Tensor,
    score_edge: Tensor | None,
    out: Tensor,
    normaliser: Tensor,
    grad: Tensor,
    seed: Tensor,
    negative_slope: float,
    dropout: float,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of ``x`` and of the three scores; weights are computed anew."""
    graph = Graph(edge_index, x.size(1), score_dst.size(1))
    return implementation(backend, x).gat_backward(
        graph,
        x,
        score_src,
        score_dst,
        score_edge,
        out,
        normaliser,
        grad,
        negative_slope,
        dropout,
        seed,
    )


@gat_backward.register_fake
def _(edge_index, x, score_src, score_dst, score_edge, out, normaliser, grad, *_):
    rows = 0 if score_edge is None else edge_index.size(1)
    edges = x.new_empty(x.size(0), rows, x.size(2))
    return x.new_empty(x.shape), x.new_empty(score_src.shape), x.new_empty(score_dst.shape), edges


def _setup(ctx, inputs, output):
    edge_index, x, score_src, score_dst, score_edge, seed, *ctx.settings = inputs
    ctx.save_for_backward(edge_index, x, score_src, score_dst, score_edge, seed, *output)
    ctx.mark_non_differentiable(output[1])


def _backward(ctx, grad, _):
    edge_index, x, score_src, score_dst, score_edge, seed, out, normaliser = ctx.saved_tensors
    if torch.is_grad_enabled():
        inputs = (x, score_src, score_dst, score_edge)
        grads = _differentiable_backward(ctx, edge_index, inputs, seed, grad)
    else:
        *rest, grad_edge = gat_backward(
            edge_index,
            x,
            score_src,
            score_dst,
            score_edge,
            out,
            normaliser,
            grad,
            seed,
            *ctx.settings,
        )
        grads = (*rest, None if score_edge is None else _like(grad_edge, score_edge))
    return None, *grads, None, None, None, None


gat_forward.register_autograd(_backward, setup_context=_setup)


def _like(grad: Tensor, value: Tensor) -> Tensor:
    """The gradient summed over the batch where the value is shared by it."""
    return grad if value.size(0) == grad.size(0) else grad.sum(0, keepdim=True)


def _differentiable_backward(
    ctx: Any, edge_index: Tensor, inputs: Any, seed: Tensor, grad: Tensor
) -> Any:
    """The same gradients through smaller ops, so that they have gradients in turn."""
    wanted = [
        value
        for value, needed in zip(inputs, ctx.needs_input_grad[1:5], strict=True)
        if needed and value is not None
    ]
    x, score_src, score_dst, score_edge = inputs
    out, _ = composed(edge_index, x, score_src, score_dst, score_edge, seed, *ctx.settings)
    found = iter(torch.autograd.grad(out, wanted, grad, create_graph=True))
    return tuple(
        next(found) if needed and value is not None else None
        for value, needed in zip(inputs, ctx.needs_input_grad[1:5], strict=True)
    )


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
    score = p.gather(edge_index, 0, score_src, backend)
    score = score + p.gather(edge_index, 1, score_dst, backend)
    if score_edge is not None:
        score = score + score_edge
    score = F.leaky_relu(score, negative_slope)
    weight = softmax(edge_index, 1, score, num_targets, backend)
    if dropout > 0:
        weight = weight * keep_scale(seed, weight, dropout)
    return p.spmm(edge_index, weight, x, num_targets, False, backend), weight
