"""CPU backend: kernels compiled by numba, shared out over PyTorch's number of threads.

float32 and float64 are computed as they are, lower precision in float32. Memory: the output, at
most 256 pieces of rows, and ``E * H`` in the backward pass of attention.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkit.ops.cpu.arrays import empty, flat, groups_of, segment_sum, sum_groups, walk_of
from graphkit.ops.cpu.attention import gat_backward, gat_forward
from graphkit.ops.cpu.end_scores import end_scores, end_scores_backward
from graphkit.ops.cpu.kernels import softmax as groups
from graphkit.ops.cpu.kernels import sums
from graphkit.ops.cpu.pair_attention import (
    dot_backward,
    dot_forward,
    gatv2_backward,
    gatv2_forward,
)
from graphkit.ops.cpu.self_attention import (
    gat_layer,
    gat_layer_backward,
    is_small,
    parts_of_state,
    self_attention,
    self_attention_backward,
)
from graphkit.ops.cpu.threads import run
from graphkit.ops.dtypes import widened
from graphkit.ops.layout.rows import Graph, Rows

__all__ = [
    "dot_backward",
    "dot_forward",
    "end_scores",
    "end_scores_backward",
    "gat_backward",
    "gat_forward",
    "gat_layer",
    "gat_layer_backward",
    "gatv2_backward",
    "gatv2_forward",
    "is_small",
    "parts_of_state",
    "sddmm",
    "segment_lse",
    "segment_max",
    "segment_sum",
    "self_attention",
    "self_attention_backward",
    "softmax",
    "softmax_backward",
    "spmm",
]


def spmm(graph: Graph, weight: Tensor | None, x: Tensor, transposed: bool) -> Tensor:
    """See :func:`graphkit.ops.reference.spmm`."""
    rows = graph.source if transposed else graph.target
    _, others = graph.sorted_by(transposed)
    return sum_groups(rows, others.numpy(), weight, x)


def sddmm(graph: Graph, x_src: Tensor, x_dst: Tensor) -> Tensor:
    """See :func:`graphkit.ops.reference.sddmm`."""
    batch, count, heads, width = x_src.shape
    walk = walk_of(graph.target, batch)
    _, others = graph.sorted_by(False)
    out = empty(x_src, batch, graph.num_edges, heads)
    run(
        sums.dot_edges,
        walk.units,
        batch * graph.num_edges * heads * width,
        *walk.chunks,
        others.numpy(),
        walk.perm,
        flat(x_dst),
        flat(x_src),
        count,
        heads,
        width,
        flat(out),
    )
    return out.to(x_src.dtype)


def segment_max(rows: Rows, x: Tensor) -> tuple[Tensor, Tensor]:
    """See :func:`graphkit.ops.reference.segment_max`."""
    batch, count, width = x.shape
    walk, out = walk_of(rows, batch), empty(x, batch, rows.size, width)
    arg = torch.empty(out.shape, dtype=torch.int64)
    pieces = np.empty(walk.slots.size * width, flat(out).dtype)
    piece_arg = np.empty(walk.slots.size * width, np.int64)
    run(
        groups.peak_rows,
        walk.units,
        x.numel(),
        *walk.chunks,
        walk.perm,
        flat(x),
        width,
        flat(out),
        arg.view(-1).numpy(),
        walk.slots,
        pieces,
        piece_arg,
    )
    groups.peak_pieces(walk.slots, pieces, piece_arg, flat(out), arg.view(-1).numpy(), width, count)
    return out.to(x.dtype), arg


def _exponents(rows: Rows, x: Tensor) -> tuple[Tensor, Tensor]:
    """The peak of each group and its sum of exponentials below the peak."""
    batch, _, width = x.shape
    walk = walk_of(rows, batch)
    peak, total = (empty(x, batch, rows.size, width) for _ in range(2))
    pieces = np.empty((2, walk.slots.size * width), flat(peak).dtype)
    run(
        groups.exponent_rows,
        walk.units,
        8 * x.numel(),
        *walk.chunks,
        walk.perm,
        flat(x),
        width,
        flat(peak),
        flat(total),
        walk.slots,
        pieces,
    )
    groups.exponent_pieces(walk.slots, pieces, flat(peak), flat(total), width)
    return peak, total


def segment_lse(rows: Rows, x: Tensor) -> Tensor:
    """See :func:`graphkit.ops.reference.segment_lse`."""
    peak, total = _exponents(rows, x)
    return peak.add_(total.log_()).to(x.dtype)


def softmax(rows: Rows, score: Tensor) -> Tensor:
    """See :func:`graphkit.ops.reference.softmax`."""
    peak, total = _exponents(rows, score)
    # Where all scores of a group are -inf there is nothing to share out: 0 / 1, not 0 / 0.
    total.masked_fill_(total == 0, 1)
    out = empty(score, *score.shape)
    _each_entry(groups.normalise, rows, score, peak, total, out)
    return out.to(score.dtype)


def softmax_backward(rows: Rows, alpha: Tensor, grad: Tensor) -> Tensor:
    """See :func:`graphkit.ops.reference.softmax_backward`."""
    total = segment_sum(rows, widened(alpha) * widened(grad))
    out = empty(alpha, *alpha.shape)
    _each_entry(groups.centre, rows, alpha, grad, total, out)
    return out.to(alpha.dtype)


def _each_entry(
    kernel: Any, rows: Rows, x: Tensor, left: Tensor, right: Tensor, out: Tensor
) -> None:
    """Runs a kernel over entries; one of ``left``, ``right`` may hold entries too."""
    batch, count, width = x.shape
    groups = rows.derive("groups", lambda: groups_of(rows))
    arrays = (flat(left), flat(right), flat(out))
    run(kernel, batch * count, 4 * x.numel(), groups, count, rows.size, flat(x), width, *arrays)
