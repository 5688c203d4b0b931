"""Fused attention of the CUDA backend."""

from __future__ import annotations

from typing import Any

import torch
import triton
from torch import Tensor

from graphkit.ops import dropout as dropping
from graphkit.ops import reference
from graphkit.ops.cuda import attention_kernels as kernels
from graphkit.ops.cuda.sums import segment_sum
from graphkit.ops.cuda.tiles import TILE, blocks_of, perm_of, sum_type
from graphkit.ops.dtypes import wide_dtype, widened
from graphkit.ops.layout.rows import Graph, Rows


def gat_forward(
    graph: Graph,
    x: Tensor,
    score_src: Tensor,
    score_dst: Tensor,
    score_edge: Tensor | None,
    seed: Tensor,
    negative_slope: float,
    dropout: float,
) -> tuple[Tensor, Tensor]:
    """See :func:`graphkit.ops.reference.gat_forward`."""
    batch, count, heads, width = x.shape
    if width > TILE:
        # A program holds all channels of a head; nobody has met a head as wide as that.
        inputs = (graph, x, score_src, score_dst, score_edge, seed, negative_slope, dropout)
        return reference.gat_forward(*inputs)
    size = graph.target.size
    out = x.new_zeros(batch, size, heads, width)
    statistics = x.new_zeros(batch, size, 2, heads, dtype=wide_dtype(x.dtype))
    if out.numel() == 0 or graph.num_edges == 0:
        return out, statistics
    settings = _settings(graph.target, x, score_edge, negative_slope, dropout, seed)
    _, others = graph.sorted_by(False)
    kernels.attend_rows[size, triton.cdiv(heads, settings["BLOCK_H"]), batch](
        others=others,
        x=x.contiguous(),
        score_src=score_src.contiguous(),
        score_dst=score_dst.contiguous(),
        out=out,
        statistics=statistics,
        num_in=count,
        num_edges=graph.num_edges,
        heads=heads,
        width=width,
        **settings,
    )
    return out, statistics


def gat_backward(
    graph: Graph,
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
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """See :func:`graphkit.ops.reference.gat_backward`."""
    batch, count, heads, width = x.shape
    if width > TILE:
        rest = (out, statistics, grad, seed, negative_slope, dropout)
        return reference.gat_backward(graph, x, score_src, score_dst, score_edge, *rest)
    wide = wide_dtype(x.dtype)
    grad_x, grad_src = x.new_zeros(x.shape), score_src.new_zeros(score_src.shape)
    grad_edge = x.new_zeros(batch, graph.num_edges, heads, dtype=wide)
    if x.numel() > 0 and graph.num_edges > 0:
        settings = _settings(graph.source, x, score_edge, negative_slope, dropout, seed)
        _, others = graph.sorted_by(True)
        kernels.attend_back[count, triton.cdiv(heads, settings["BLOCK_H"]), batch](
            others=others,
            x=x.contiguous(),
            score_src=score_src.contiguous(),
            score_dst=score_dst.contiguous(),
            grad=grad.contiguous(),
            statistics=statistics.contiguous(),
            products=torch.linalg.vecdot(widened(grad), widened(out)).contiguous(),
            grad_x=grad_x,
            grad_src=grad_src,
            grad_edge=grad_edge,
            num_out=graph.target.size,
            num_edges=graph.num_edges,
            heads=heads,
            width=width,
            **settings,
        )
    grad_dst = segment_sum(graph.target, grad_edge).to(score_dst.dtype)
    kept = 0 if score_edge is None else None
    return grad_x, grad_src, grad_dst, grad_edge[:, :kept].to(x.dtype)


def _settings(
    rows: Rows,
    x: Tensor,
    score_edge: Tensor | None,
    negative_slope: float,
    dropout: float,
    seed: Tensor,
) -> dict[str, Any]:
    """Arguments that both directions share."""
    shared = score_edge is None or score_edge.size(0) < x.size(0)
    return {
        "indptr": rows.order.indptr,
        "score_edge": x if score_edge is None else score_edge.contiguous(),
        "edge_stride": 0 if shared else rows.num_entries * x.size(2),
        "keys": torch.cat(dropping.keys(seed)),
        "SLOPE": negative_slope,
        "threshold": dropping.threshold(dropout),
        "SCALE": 1 / (1 - dropout) if dropout < 1 else 0.0,
        "HAS_EDGE": score_edge is not None,
        "DROP": dropout > 0,
        "SUM": sum_type(x),
        **perm_of(rows.order),
        **blocks_of(x.size(2), x.size(3), most_channels=TILE),
    }
