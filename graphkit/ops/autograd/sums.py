"""Sums along edges and over groups, and their adjoints, as ops PyTorch sees.

A gradient is written in ops of this file, so gradients of gradients are as well.
"""

from __future__ import annotations

from torch import Tensor

from graphkit.ops import reference
from graphkit.ops.autograd.op import differentiable
from graphkit.ops.backends import implementation
from graphkit.ops.layout.rows import Graph, graph_of, rows_of


def _graph(edge_index: Tensor, inner: int, outer: int, transposed: bool) -> Graph:
    """The graph of ``inner`` summed-over nodes and ``outer`` nodes that sums land on."""
    sizes = (outer, inner) if transposed else (inner, outer)
    return graph_of(edge_index, *sizes)


def _spmm_fake(edge_index, weight, x, num_out, transposed, backend):
    return x.new_empty(x.size(0), num_out, x.size(2), x.size(3))


def _spmm_save(ctx, inputs, output):
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


def _spmm_composed(edge_index, weight, x, num_out, transposed, backend):
    graph = _graph(edge_index, x.size(1), num_out, transposed)
    return reference.spmm(graph, weight, x, transposed)


@differentiable(
    values=(1, 2),
    fake=_spmm_fake,
    save=_spmm_save,
    backward=_spmm_backward,
    composed=_spmm_composed,
)
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


def _sddmm_fake(edge_index, x_src, x_dst, backend):
    return x_src.new_empty(x_src.size(0), edge_index.size(1), x_src.size(2))


def _sddmm_save(ctx, inputs, output):
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


def _sddmm_composed(edge_index, x_src, x_dst, backend):
    return reference.sddmm(graph_of(edge_index, x_src.size(1), x_dst.size(1)), x_src, x_dst)


@differentiable(
    values=(1, 2),
    fake=_sddmm_fake,
    save=_sddmm_save,
    backward=_sddmm_backward,
    composed=_sddmm_composed,
)
def sddmm(edge_index: Tensor, x_src: Tensor, x_dst: Tensor, backend: str) -> Tensor:
    """``[B, N, H, C], [B, M, H, C] -> [B, E, H]``."""
    graph = graph_of(edge_index, x_src.size(1), x_dst.size(1))
    return implementation(backend, x_src).sddmm(graph, x_src, x_dst)


def _segment_sum_fake(index, row, x, size, backend):
    return x.new_empty(x.size(0), size, x.size(2))


def _segment_sum_save(ctx, inputs, output):
    index, ctx.row, _, _, ctx.backend = inputs
    ctx.save_for_backward(index)


def _segment_sum_backward(ctx, grad):
    (index,) = ctx.saved_tensors
    return None, None, gather(index, ctx.row, grad, ctx.backend), None, None


def _segment_sum_composed(index, row, x, size, backend):
    return reference.segment_sum(rows_of(index, row, size), x)


@differentiable(
    values=(2,),
    fake=_segment_sum_fake,
    save=_segment_sum_save,
    backward=_segment_sum_backward,
    composed=_segment_sum_composed,
)
def segment_sum(index: Tensor, row: int, x: Tensor, size: int, backend: str) -> Tensor:
    """``[B, E, K] -> [B, size, K]``."""
    return implementation(backend, x).segment_sum(rows_of(index, row, size), x)


def _gather_fake(index, row, x, backend):
    return x.new_empty(x.size(0), index.size(-1), x.size(2))


def _gather_save(ctx, inputs, output):
    index, ctx.row, x, ctx.backend = inputs
    ctx.size = x.size(1)
    ctx.save_for_backward(index)


def _gather_backward(ctx, grad):
    (index,) = ctx.saved_tensors
    return None, None, segment_sum(index, ctx.row, grad, ctx.size, ctx.backend), None


def _gather_composed(index, row, x, backend):
    return x.index_select(1, rows_of(index, row, x.size(1)).values)


@differentiable(
    values=(2,),
    fake=_gather_fake,
    save=_gather_save,
    backward=_gather_backward,
    composed=_gather_composed,
)
def gather(index: Tensor, row: int, x: Tensor, backend: str) -> Tensor:
    """``[B, N, K] -> [B, E, K]``: the adjoint of :func:`segment_sum`."""
    return x.index_select(1, rows_of(index, row, x.size(1)).values)
