"""CUDA backend: Triton kernels, one program per row; also runs on a CPU in Triton's interpreter.

Rows are never shared between programs, so there are no atomics and results are deterministic; a
hub takes as long as its own edges. Largest entries come from PyTorch's scatter reduction.
"""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from graphkit.ops.cuda import kernels
from graphkit.ops.cuda.attention import gat_backward, gat_forward
from graphkit.ops.cuda.sums import segment_sum, sum_groups
from graphkit.ops.cuda.tiles import MOST_CHANNELS, TILE, blocks_of, perm_of, sum_type
from graphkit.ops.layout.rows import Graph, Rows
from graphkit.ops.reference import (
    end_scores,
    end_scores_backward,
    segment_max,
    softmax_backward,
)

__all__ = [
    "end_scores",
    "end_scores_backward",
    "gat_backward",
    "gat_forward",
    "sddmm",
    "segment_lse",
    "segment_max",
    "segment_sum",
    "softmax",
    "softmax_backward",
    "spmm",
]


def spmm(graph: Graph, weight: Tensor | None, x: Tensor, transposed: bool) -> Tensor:
    """See :func:`graphkit.ops.reference.spmm`."""
    rows = graph.source if transposed else graph.target
    _, others = graph.sorted_by(transposed)
    return sum_groups(rows, others, weight, x)


def sddmm(graph: Graph, x_src: Tensor, x_dst: Tensor) -> Tensor:
    """See :func:`graphkit.ops.reference.sddmm`."""
    batch, count, heads, width = x_src.shape
    out = x_src.new_zeros(batch, graph.num_edges, heads)
    if out.numel() == 0 or width == 0:
        return out
    blocks = blocks_of(heads, width)
    grid = (
        triton.cdiv(graph.num_edges, blocks["BLOCK_E"]),
        triton.cdiv(heads, blocks["BLOCK_H"]),
        batch,
    )
    kernels.dot_edges[grid](
        graph.source.values.contiguous(),
        graph.target.values.contiguous(),
        x_src.contiguous(),
        x_dst.contiguous(),
        out,
        graph.num_edges,
        count,
        x_dst.size(1),
        heads,
        width,
        SUM=sum_type(x_src),
        **blocks,
    )
    return out


def softmax(rows: Rows, score: Tensor) -> Tensor:
    """See :func:`graphkit.ops.reference.softmax`."""
    out = torch.empty_like(score, memory_format=torch.contiguous_format)
    return _softmax(rows, score, out, normalised=True)


def segment_lse(rows: Rows, x: Tensor) -> Tensor:
    """See :func:`graphkit.ops.reference.segment_lse`."""
    out = x.new_full((x.size(0), rows.size, x.size(2)), -torch.inf)
    return _softmax(rows, x, out, normalised=False)


def _softmax(rows: Rows, x: Tensor, out: Tensor, normalised: bool) -> Tensor:
    batch, count, width = x.shape
    if x.numel() == 0 or rows.size == 0:
        return out
    channels = min(triton.next_power_of_2(width), MOST_CHANNELS)
    kernels.softmax_rows[rows.size, triton.cdiv(width, channels), batch](
        rows.order.indptr,
        x=x.contiguous(),
        out=out,
        num_entries=count,
        width=width,
        NORMALISED=normalised,
        SUM=sum_type(x),
        BLOCK_E=max(1, min(32, TILE // channels)),
        BLOCK_C=channels,
        **perm_of(rows.order),
    )
    return out
