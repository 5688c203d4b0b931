"""Backend of the optional package ``torch_scatter``: fused reductions, chunked messages."""

# fingerprint: as graphkit.ops.reference

from __future__ import annotations

import functools

import torch
import torch_scatter
from torch import Tensor

from graphkit.ops import reference
from graphkit.ops.dtypes import widened
from graphkit.ops.layout.rows import Graph, Rows
from graphkit.ops.reference import (
    end_scores,
    end_scores_backward,
    segment_lse,
    softmax,
    softmax_backward,
)
from graphkit.ops.torch_backend import sddmm, slices

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
    _refuse_nondeterminism(x)
    source, target = graph.source, graph.target
    if transposed:
        source, target = target, source
    wide = widened(x)
    out = wide.new_zeros(x.size(0), target.size, *x.shape[2:])
    for part in slices(graph.num_edges, x.size(0) * x.size(2) * x.size(3)):
        message = wide.index_select(1, source.values[part])
        if weight is not None:
            message = message * widened(weight[:, part]).unsqueeze(-1)
        torch_scatter.scatter_add(message, target.values[part].long(), dim=1, out=out)
    return out.to(x.dtype)


def segment_sum(rows: Rows, x: Tensor) -> Tensor:
    """See :func:`graphkit.ops.reference.segment_sum`."""
    order = rows.order
    ordered = widened(x) if order.perm is None else widened(x)[:, order.perm.long()]
    indptr = order.indptr.long().unsqueeze(0).expand(x.size(0), -1)
    return torch_scatter.segment_sum_csr(ordered.contiguous(), indptr).to(x.dtype)


def segment_max(rows: Rows, x: Tensor) -> tuple[Tensor, Tensor]:
    """See :func:`graphkit.ops.reference.segment_max`."""
    order, count = rows.order, x.size(1)
    ordered = x if order.perm is None else x[:, order.perm.long()]
    indptr = order.indptr.long().unsqueeze(0).expand(x.size(0), -1)
    if count == 0:
        return reference.segment_max(rows, x)
    value, arg = torch_scatter.segment_max_csr(ordered.contiguous(), indptr)
    if order.perm is not None:
        padded = torch.cat([order.perm.long(), order.perm.new_full((1,), count).long()])
        arg = padded[arg]
    return value, arg


def _refuse_nondeterminism(x: Tensor) -> None:
    if x.is_cuda and torch.are_deterministic_algorithms_enabled():
        raise RuntimeError(
            "backend 'torch_scatter' adds in any order on CUDA, but "
            "torch.use_deterministic_algorithms(True) is on: choose 'triton' or 'torch'"
        )


gat_forward = functools.partial(reference.gat_forward, products=(spmm, sddmm))
gat_backward = functools.partial(reference.gat_backward, products=(spmm, sddmm))
