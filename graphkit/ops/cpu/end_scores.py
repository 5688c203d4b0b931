"""Scores of both ends, of the CPU backend."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from graphkit.ops.cpu.arrays import empty, flat
from graphkit.ops.cpu.kernels import ends
from graphkit.ops.cpu.kernels.self_attention import ROWS_PER_CHUNK
from graphkit.ops.cpu.threads import run


def end_scores(x: Tensor, att_src: Tensor, att_dst: Tensor) -> tuple[Tensor, Tensor]:
    """See :func:`graphkit.ops.reference.end_scores`."""
    batch, count, heads, width = x.shape
    score_src, score_dst = (empty(x, batch, count, heads) for _ in range(2))
    run(
        ends.score_ends,
        batch * count,
        2 * x.numel(),
        flat(x),
        flat(att_src),
        flat(att_dst),
        heads,
        width,
        flat(score_src),
        flat(score_dst),
    )
    return score_src, score_dst


def end_scores_backward(
    x: Tensor,
    att_src: Tensor,
    att_dst: Tensor,
    grad_src: Tensor,
    grad_dst: Tensor,
    grad_x: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """See :func:`graphkit.ops.reference.end_scores_backward`."""
    batch, count, heads, width = x.shape
    rows = batch * count
    chunks = -(-rows // ROWS_PER_CHUNK)
    total = flat(grad_x)
    tables = np.empty((chunks, 2, heads, width), total.dtype)
    run(
        ends.score_ends_back,
        chunks,
        4 * x.numel(),
        ROWS_PER_CHUNK,
        rows,
        flat(x),
        flat(att_src),
        flat(att_dst),
        flat(grad_src),
        flat(grad_dst),
        heads,
        width,
        total,
        np.empty(0, total.dtype),
        tables.reshape(-1),
    )
    # An array for each sum: what a custom op returns may not share memory.
    vectors = [torch.from_numpy(tables[:, i].sum(0)).to(x.dtype) for i in range(2)]
    # In low precision the sum was taken in an array of its own, not in the memory of grad_x.
    grad_x = torch.from_numpy(total).view(x.shape).to(x.dtype)
    return grad_x, vectors[0].view_as(att_src), vectors[1].view_as(att_dst)
