"""The ops PyTorch sees: opaque to the compiler, each with a fake kernel and a gradient.

A gradient is written in ops of this file, so gradients of gradients are as well.
"""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.ops.backends import implementation
from graphkit.ops.layout.rows import Graph, Rows


def _graph(edge_index: Tensor, inner: int, outer: int, transposed: bool) -> Graph:
    """The graph of ``inner`` summed-over nodes and ``outer`` nodes that sums land on."""
    return Graph(edge_index, outer, inner) if transposed else Graph(edge_index, inner, outer)


@torch.library.custom_op("graphkit::spmm", mutates_args=())
def spmm(
    edge_index: Tensor,
    weight: Tensor | None,
    x: Tensor,
    num_out: int,
    transposed: bool,
    backend: str,
) -> Tensor:
    """``[B, N, H, C] -> [B, num_out, H, C]``; ``transposed`` sums at the sources."""
    graph = _graph(edge_index, x.size(1), num_out, transposed)
    return implementation(backend, x).spmm(graph, weight, x, transposed)


@spmm.register_fake
def _(edge_index, weight, x, num_out, transposed, backend):
    return x.new_empty(x.size(0), num_out, x.size(2), x.size(3))


def _spmm_setup(ctx, inputs, output):
    edge_index, weight, x, _, ctx.transposed, ctx.backend = inputs
    ctx.save_for_backward(edge_index, weight, x)


def _spmm_backward(ctx, grad):
    edge_index, weight, x = ctx.saved_tensors
    grad_weight = grad_x = None
    if ctx.needs_input_grad[1]:
        ends = (grad, x) if ctx.transposed else (x, grad)
        grad_weight = sddmm(edge_index, *ends, ctx.backend)
        if weight.size(0) < x.size(0):
            grad_weight = grad_weight.sum(0, keepdim=True)
    if ctx.needs_input_grad[2]:
        grad_x = spmm(edge_index, weight, grad, x.size(1), not ctx.transposed, ctx.backend)
    return None, grad_weight, grad_x, None, None, None


spmm.register_autograd(_spmm_backward, setup_context=_spmm_setup)


@torch.library.custom_op("graphkit::sddmm", mutates_args=())
def sddmm(edge_index: Tensor, x_src: Tensor, x_dst: Tensor, backend: str) -> Tensor:
    """``[B, N, H, C], [B, M, H, C] -> [B, E, H]``."""
    graph = Graph(edge_index, x_src.size(1), x_dst.size(1))
    return implementation(backend, x_src).sddmm(graph, x_src, x_dst)


@sddmm.register_fake
def _(edge_index, x_src, x_dst, backend):
    return x_src.new_empty(x_src.size(0), edge_index.size(1), x_src.size(2))


def _sddmm_setup(ctx, inputs, output):
    edge_index, x_src, x_dst, ctx.backend = inputs
    ctx.save_for_backward(edge_index, x_src, x_dst)


def _sddmm_backward(ctx, grad):
    edge_index, x_src, x_dst = ctx.saved_tensors
    grad_src = grad_dst = None
    if ctx.needs_input_grad[1]:
        grad_src = spmm(edge_index, grad, x_dst, x_src.size(1), True, ctx.backend)
    if ctx.needs_input_grad[2]:
        grad_dst = spmm(edge_index, grad, x_src, x_dst.size(1), False, ctx.backend)
    return None, grad_src, grad_dst, None


sddmm.register_autograd(_sddmm_backward, setup_context=_sddmm_setup)


@torch.library.custom_op("graphkit::segment_sum", mutates_args=())
def segment_sum(index: Tensor, row: int, x: Tensor, size: int, backend: str) -> Tensor:
    """``[B, E, K] -> [B, size, K]``."""
    return implementation(backend, x).segment_sum(Rows(index, row, size, _name(row)), x)


@segment_sum.register_fake
def _(index, row, x, size, backend):
    return x.new_empty(x.size(0), size, x.size(2))


def _segment_sum_setup(ctx, inputs, output):
    index, ctx.row, _, _, ctx.backend = inputs
    ctx.save_for_backward(index)


def _segment_sum_backward(ctx, grad):
    (index,) = ctx.saved_tensors
    return None, None, gather(index, ctx.row, grad, ctx.backend), None, None


segment_sum.register_autograd(_segment_sum_backward, setup_context=_segment_sum_setup)


@torch.library.custom_op("graphkit::gather", mutates_args=())
def gather(index: Tensor, row: int, x: Tensor, backend: str) -> Tensor:
    """``[B, N, K] -> [B, E, K]``: the adjoint of :func:`segment_sum`."""
    return x.index_select(1, Rows(index, row, x.size(1), _name(row)).values)


@gather.register_fake
def _(index, row, x, backend):
    return x.new_empty(x.size(0), index.size(-1), x.size(2))


def _gather_setup(ctx, inputs, output):
    index, ctx.row, x, ctx.backend = inputs
    ctx.size = x.size(1)
    ctx.save_for_backward(index)


def _gather_backward(ctx, grad):
    (index,) = ctx.saved_tensors
    return None, None, segment_sum(index, ctx.row, grad, ctx.size, ctx.backend), None


gather.register_autograd(_gather_backward, setup_context=_gather_setup)


def _name(row: int) -> str:
    return "index" if row < 0 else f"edge_index[{row}]"
