"""CPU backend: kernels compiled by numba, shared out over PyTorch's number of threads.

float32 and float64 are computed as they are, lower precision in float32. Tensors and arrays
share memory. Memory: the output, at most 512 pieces of a row, and ``E * H`` in the backward pass
of attention.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkit.ops import dropout as dropping
from graphkit.ops.kernels import attention, attention_back, sorting, sums
from graphkit.ops.kernels import softmax as groups
from graphkit.ops.layout import Graph, Rows, index_dtype
from graphkit.ops.reference import wide_dtype, widened
from graphkit.ops.threads import run

ENTRIES_PER_PART = 1024
MOST_PARTS = 128
Array = np.ndarray[Any, Any]


def counting_sort(values: Tensor, size: int) -> tuple[Tensor, Tensor | None]:
    """Group bounds and the stable order of entries, :obj:`None` if they are sorted already."""
    dtype = index_dtype(values.numel(), size)
    flat = values.contiguous().numpy()
    indptr = torch.empty(size + 1, dtype=dtype)
    if sorting.count_groups(flat, indptr.numpy()):
        return indptr, None
    perm = torch.empty(values.numel(), dtype=dtype)
    sorting.place(flat, indptr.numpy(), perm.numpy())
    return indptr, perm


@dataclass
class Walk:
    """What a row kernel needs to know about the order of its entries."""

    batch: int
    parts: int
    rows: Array
    entries: Array
    indptr: Array
    perm: Array
    slots: Array

    @property
    def chunks(self) -> tuple[Any, ...]:
        """The leading arguments of every row kernel."""
        return self.parts, self.rows, self.entries, self.indptr

    @property
    def units(self) -> int:
        """The number of chunks in the whole batch."""
        return self.batch * self.parts


def _walk(rows: Rows, batch: int) -> Walk:
    """The chunks of ``rows``: many of them, unless the batch is large enough to share out."""
    order = rows.order
    total = rows.size + rows.index.size(-1)
    parts = 1 if batch >= MOST_PARTS else min(MOST_PARTS, 1 + total // ENTRIES_PER_PART)
    first, entries = rows.remember(
        ("parts", rows.size, parts), lambda: sorting.cut(order.indptr.numpy(), parts)
    )
    perm = order.indptr.new_empty(0) if order.perm is None else order.perm
    slots = np.full(2 * batch * parts, -1, np.int64)
    return Walk(batch, parts, first, entries, order.indptr.numpy(), perm.numpy(), slots)


def _flat(x: Tensor) -> Array:
    """The values as a flat array, in the dtype they are computed in."""
    return widened(x.detach()).contiguous().view(-1).numpy()


def _empty(like: Tensor, *shape: int) -> Tensor:
    return torch.empty(shape, dtype=wide_dtype(like.dtype))


def spmm(graph: Graph, weight: Tensor | None, x: Tensor, transposed: bool) -> Tensor:
    """See :func:`graphkit.ops.reference.spmm`."""
    rows = graph.source if transposed else graph.target
    _, others = graph.sorted_by(transposed)
    return _sum(rows, others.numpy(), weight, x)


def segment_sum(rows: Rows, x: Tensor) -> Tensor:
    """See :func:`graphkit.ops.reference.segment_sum`."""
    perm = rows.order.perm
    others = np.empty(0, np.int32) if perm is None else perm.numpy()
    return _sum(rows, others, None, x.unsqueeze(2)).squeeze(2)


def _sum(rows: Rows, others: Array, weight: Tensor | None, x: Tensor) -> Tensor:
    batch, count, heads, width = x.shape
    walk, features = _walk(rows, batch), heads * width
    out = _empty(x, batch, rows.size, heads, width)
    pieces = np.empty(walk.slots.size * features, _flat(out).dtype)
    weights = np.empty(0, pieces.dtype) if weight is None else _flat(weight)
    shared = weight is not None and weight.size(0) == 1
    run(
        sums.sum_rows,
        walk.units,
        batch * rows.index.size(-1) * features,
        *walk.chunks,
        others,
        walk.perm,
        weights,
        shared,
        _flat(x),
        count,
        heads,
        width,
        _flat(out),
        walk.slots,
        pieces,
    )
    sums.add_pieces(walk.slots, pieces, _flat(out), features)
    return out.to(x.dtype)


def sddmm(graph: Graph, x_src: Tensor, x_dst: Tensor) -> Tensor:
    """See :func:`graphkit.ops.reference.sddmm`."""
    batch, count, heads, width = x_src.shape
    walk = _walk(graph.target, batch)
    _, others = graph.sorted_by(False)
    out = _empty(x_src, batch, graph.num_edges, heads)
    run(
        sums.dot_edges,
        walk.units,
        batch * graph.num_edges * heads * width,
        *walk.chunks,
        others.numpy(),
        walk.perm,
        _flat(x_dst),
        _flat(x_src),
        count,
        heads,
        width,
        _flat(out),
    )
    return out.to(x_src.dtype)


def segment_max(rows: Rows, x: Tensor) -> tuple[Tensor, Tensor]:
    """See :func:`graphkit.ops.reference.segment_max`."""
    batch, count, width = x.shape
    walk, out = _walk(rows, batch), _empty(x, batch, rows.size, width)
    arg = torch.empty(out.shape, dtype=torch.int64)
    pieces = np.empty(walk.slots.size * width, _flat(out).dtype)
    piece_arg = np.empty(walk.slots.size * width, np.int64)
    run(
        groups.peak_rows,
        walk.units,
        x.numel(),
        *walk.chunks,
        walk.perm,
        _flat(x),
        width,
        _flat(out),
        arg.view(-1).numpy(),
        walk.slots,
        pieces,
        piece_arg,
    )
    groups.peak_pieces(
        walk.slots, pieces, piece_arg, _flat(out), arg.view(-1).numpy(), width, count
    )
    return out.to(x.dtype), arg


def _exponents(rows: Rows, x: Tensor) -> tuple[Tensor, Tensor]:
    """The peak of each group and its sum of exponentials below the peak."""
    batch, _, width = x.shape
    walk = _walk(rows, batch)
    peak, total = (_empty(x, batch, rows.size, width) for _ in range(2))
    pieces = np.empty((2, walk.slots.size * width), _flat(peak).dtype)
    run(
        groups.exponent_rows,
        walk.units,
        8 * x.numel(),
        *walk.chunks,
        walk.perm,
        _flat(x),
        width,
        _flat(peak),
        _flat(total),
        walk.slots,
        pieces,
    )
    groups.exponent_pieces(walk.slots, pieces, _flat(peak), _flat(total), width)
    return peak, total


def segment_lse(rows: Rows, x: Tensor) -> Tensor:
    """See :func:`graphkit.ops.reference.segment_lse`."""
    peak, total = _exponents(rows, x)
    return peak.add_(total.log_()).to(x.dtype)


def softmax(rows: Rows, score: Tensor) -> Tensor:
    """See :func:`graphkit.ops.reference.softmax`."""
    peak, total = _exponents(rows, score)
    out = _empty(score, *score.shape)
    _each_entry(groups.normalise, rows, score, peak, total, out)
    return out.to(score.dtype)


def softmax_backward(rows: Rows, alpha: Tensor, grad: Tensor) -> Tensor:
    """See :func:`graphkit.ops.reference.softmax_backward`."""
    total = segment_sum(rows, widened(alpha) * widened(grad))
    out = _empty(alpha, *alpha.shape)
    _each_entry(groups.centre, rows, alpha, grad, total, out)
    return out.to(alpha.dtype)


def _each_entry(
    kernel: Any, rows: Rows, x: Tensor, left: Tensor, right: Tensor, out: Tensor
) -> None:
    """Runs a kernel over entries; one of ``left``, ``right`` may hold entries too."""
    batch, count, width = x.shape
    values = rows.values.contiguous().numpy()
    arrays = (_flat(x), width, _flat(left), _flat(right), _flat(out))
    if kernel is groups.centre:
        arrays = (_flat(x), _flat(left), _flat(right), width, _flat(out))
    run(kernel, batch * count, 4 * x.numel(), values, count, rows.size, *arrays)


def _keys(seed: Tensor, probability: float) -> Array:
    """What the kernels need to decide about dropout; empty if nothing is dropped."""
    if probability == 0:
        return np.empty(0, np.uint32)
    first, second = dropping.keys(seed)
    words = [int(first), int(second), dropping.threshold(probability)]
    return np.array(words, dtype=np.uint32)


def _scale(like: Array, probability: float) -> Any:
    return like.dtype.type(1 / (1 - probability) if probability < 1 else 0)


def gat_forward(
    graph: Graph,
    x: Tensor,
    score_src: Tensor,
    score_dst: Tensor,
    score_edge: Tensor | None,
    negative_slope: float,
    dropout: float,
    seed: Tensor,
) -> tuple[Tensor, Tensor]:
    """See :func:`graphkit.ops.reference.gat_forward`."""
    batch, count, heads, width = x.shape
    walk, features = _walk(graph.target, batch), heads * width
    _, others = graph.sorted_by(False)
    out = _empty(x, batch, graph.target.size, heads, width)
    normaliser = _empty(x, batch, graph.target.size, heads)
    kind = _flat(out).dtype
    pieces = np.empty(walk.slots.size * features, kind)
    statistics = np.empty((2, walk.slots.size * heads), kind)
    run(
        attention.attend_rows,
        walk.units,
        batch * graph.num_edges * features,
        *walk.chunks,
        others.numpy(),
        walk.perm,
        _flat(x),
        count,
        _flat(score_src),
        _flat(score_dst),
        np.empty(0, kind) if score_edge is None else _flat(score_edge),
        score_edge is not None and score_edge.size(0) < batch,
        kind.type(negative_slope),
        _keys(seed, dropout),
        _scale(pieces, dropout),
        heads,
        width,
        _flat(out),
        _flat(normaliser),
        walk.slots,
        pieces,
        statistics,
    )
    attention.attend_pieces(
        walk.slots, pieces, statistics, _flat(out), _flat(normaliser), heads, width
    )
    return out.to(x.dtype), normaliser


def gat_backward(
    graph: Graph,
    x: Tensor,
    score_src: Tensor,
    score_dst: Tensor,
    score_edge: Tensor | None,
    out: Tensor,
    normaliser: Tensor,
    grad: Tensor,
    negative_slope: float,
    dropout: float,
    seed: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """See :func:`graphkit.ops.reference.gat_backward`."""
    batch, count, heads, width = x.shape
    num_out, features = graph.target.size, heads * width
    walk = _walk(graph.source, batch)
    _, others = graph.sorted_by(True)
    inner_products = _empty(x, batch, num_out, heads)
    gradient = _flat(grad)
    run(
        sums.dot_rows,
        batch * num_out * heads,
        batch * num_out * features,
        gradient,
        _flat(out),
        width,
        _flat(inner_products),
    )
    grad_x = _empty(x, batch, count, heads, width)
    grad_src = _empty(x, batch, count, heads)
    grad_edge = _empty(x, batch, graph.num_edges, heads)
    kind = gradient.dtype
    pieces = np.empty(walk.slots.size * features, kind)
    piece_src = np.empty(walk.slots.size * heads, kind)
    run(
        attention_back.attend_back,
        walk.units,
        2 * batch * graph.num_edges * features,
        *walk.chunks,
        others.numpy(),
        walk.perm,
        _flat(x),
        num_out,
        _flat(score_src),
        _flat(score_dst),
        np.empty(0, kind) if score_edge is None else _flat(score_edge),
        score_edge is not None and score_edge.size(0) < batch,
        kind.type(negative_slope),
        _keys(seed, dropout),
        _scale(pieces, dropout),
        heads,
        width,
        gradient,
        _flat(normaliser),
        _flat(inner_products),
        _flat(grad_x),
        _flat(grad_src),
        _flat(grad_edge),
        walk.slots,
        pieces,
        piece_src,
    )
    sums.add_pieces(walk.slots, pieces, _flat(grad_x), features)
    sums.add_pieces(walk.slots, piece_src, _flat(grad_src), heads)
    grad_dst = segment_sum(graph.target, grad_edge)
    dtype = x.dtype
    return grad_x.to(dtype), grad_src.to(dtype), grad_dst.to(dtype), grad_edge.to(dtype)
