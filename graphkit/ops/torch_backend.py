"""Backend for any device: PyTorch's own scatter ops on a bounded number of edges at a time.

Memory: the output, ``E * H``, and at most ``BUDGET`` message values, never ``E * H * C``.
"""

# fingerprint: as graphkit.ops.reference

from __future__ import annotations

import functools
from collections.abc import Iterator

import torch
from torch import Tensor

from graphkit.ops import reference
from graphkit.ops.dtypes import widened
from graphkit.ops.layout.rows import Graph
from graphkit.ops.reference import (
    end_scores,
    end_scores_backward,
    segment_lse,
    segment_max,
    segment_sum,
    softmax,
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

BUDGET = 1 << 22


def slices(num_edges: int, values_per_edge: int) -> Iterator[slice]:
    """Ranges of edges whose messages stay within the budget."""
    step = max(1, BUDGET // max(1, values_per_edge))
    return (slice(start, start + step) for start in range(0, num_edges, step))


def spmm(graph: Graph, weight: Tensor | None, x: Tensor, transposed: bool) -> Tensor:
    """See :func:`graphkit.ops.reference.spmm`."""
    source, target = graph.source, graph.target
    if transposed:
        source, target = target, source
    wide = widened(x)
    out = wide.new_zeros(x.size(0), target.size, *x.shape[2:])
    for part in slices(graph.num_edges, x.size(0) * x.size(2) * x.size(3)):
        message = wide.index_select(1, source.values[part])
        if weight is not None:
            message = message * widened(weight[:, part]).unsqueeze(-1)
        out.index_add_(1, target.values[part], message)
    return out.to(x.dtype)


def sddmm(graph: Graph, x_src: Tensor, x_dst: Tensor) -> Tensor:
    """See :func:`graphkit.ops.reference.sddmm`."""
    left, right = widened(x_src), widened(x_dst)
    out = left.new_empty(left.size(0), graph.num_edges, left.size(2))
    for part in slices(graph.num_edges, left.size(0) * left.size(2) * left.size(3)):
        ends = left[:, graph.source.values[part]], right[:, graph.target.values[part]]
        out[:, part] = torch.linalg.vecdot(*ends)
    return out.to(x_src.dtype)


gat_forward = functools.partial(reference.gat_forward, products=(spmm, sddmm))
gat_backward = functools.partial(reference.gat_backward, products=(spmm, sddmm))
