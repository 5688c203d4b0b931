"""Sums over groups by the CUDA backend."""

from __future__ import annotations

import triton
from torch import Tensor

from graphkit.ops.cuda import kernels
from graphkit.ops.cuda.tiles import blocks_of, perm_of, sum_type
from graphkit.ops.layout.rows import Rows


def segment_sum(rows: Rows, x: Tensor) -> Tensor:
    """See :func:`graphkit.ops.reference.segment_sum`."""
    return sum_groups(rows, None, None, x.unsqueeze(2)).squeeze(2)


def sum_groups(rows: Rows, others: Tensor | None, weight: Tensor | None, x: Tensor) -> Tensor:
    """Sums over the entries of each group what they find at ``others``."""
    batch, count, heads, width = x.shape
    out = x.new_zeros(batch, rows.size, heads, width)
    if out.numel() == 0 or rows.num_entries == 0:
        return out
    order, blocks = rows.order, blocks_of(heads, width)
    tiles = triton.cdiv(heads, blocks["BLOCK_H"]) * triton.cdiv(width, blocks["BLOCK_C"])
    kernels.sum_rows[rows.size, tiles, batch](
        order.indptr,
        order.indptr if others is None else others,
        weight=x if weight is None else weight.contiguous(),
        weight_stride=0 if weight is None or weight.size(0) == 1 else weight[0].numel(),
        x=x.contiguous(),
        out=out,
        num_in=count,
        heads=heads,
        width=width,
        HAS_OTHERS=others is not None,
        HAS_WEIGHT=weight is not None,
        SUM=sum_type(x),
        **perm_of(order),
        **blocks,
    )
    return out
