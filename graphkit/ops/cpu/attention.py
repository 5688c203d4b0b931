"""Fused attention of the CPU backend."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from graphkit.ops import dropout as dropping
from graphkit.ops.cpu.arrays import Array, empty, flat, segment_sum, walk_of
from graphkit.ops.cpu.kernels import attention, attention_back, sums
from graphkit.ops.cpu.threads import run
from graphkit.ops.layout.rows import Graph

MOST_TABLES = 8
_NOTHING_DROPPED = np.empty(0, np.uint32)


def _keys(seed: Tensor, probability: float) -> Array:
    """What the kernels need to decide about dropout; empty if nothing is dropped."""
    if probability == 0:
        return _NOTHING_DROPPED
    words = [*dropping.keys(int(seed)), dropping.threshold(probability)]
    return np.array(words, dtype=np.uint32)


def _scale(like: Array, probability: float) -> Any:
    return like.dtype.type(1 / (1 - probability) if probability < 1 else 0)


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
    walk, features = walk_of(graph.target, batch), heads * width
    _, others = graph.by_target
    out = empty(x, batch, graph.target.size, heads, width)
    statistics = empty(x, batch, graph.target.size, 2, heads)
    sums, softmax = flat(out), flat(statistics)
    kind = sums.dtype
    # Rows that chunks share are written in pieces, which attend_pieces brings below one peak.
    pieces = np.empty(walk.slots.size * features, kind)
    piece_statistics = np.empty((2, walk.slots.size * heads), kind)
    nothing = np.empty(0, kind)
    run(
        attention.attend_rows,
        walk.units,
        batch * graph.num_edges * features,
        *walk.chunks,
        others.numpy(),
        walk.perm,
        flat(x),
        count,
        flat(score_src),
        flat(score_dst),
        # Numba knows no None: no edge scores are an array without entries.
        nothing if score_edge is None else flat(score_edge),
        score_edge is not None and score_edge.size(0) < batch,
        kind.type(negative_slope),
        _keys(seed, dropout),
        _scale(pieces, dropout),
        heads,
        width,
        sums,
        softmax,
        walk.slots,
        pieces,
        piece_statistics,
        nothing,
        nothing,
    )
    given = (walk.slots, pieces, piece_statistics, sums, softmax, nothing, nothing)
    attention.attend_pieces(*given, heads, width)
    return out.to(x.dtype), statistics


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
    num_out, features = graph.target.size, heads * width
    walk = walk_of(graph.source, batch)
    _, others = graph.sorted_by(True)
    # What an edge asks of its target lies side by side, so that it costs one look into memory.
    targets = empty(x, batch, num_out, 4, heads)
    gradient = flat(grad)
    run(
        attention_back.describe_targets,
        batch * num_out,
        batch * num_out * features,
        flat(score_dst),
        flat(statistics),
        flat(out),
        gradient,
        (features, 1),
        gradient,
        heads,
        width,
        flat(targets),
    )
    grad_x = empty(x, batch, count, heads, width)
    grad_src = empty(x, batch, count, heads)
    kind = gradient.dtype
    work = 2 * batch * graph.num_edges * features
    tables = min(walk.units, MOST_TABLES)
    # Gradients of targets: a table per share of the units, summed at the end, costs less than one
    # value per edge while there are few targets. Edge scores need a value per edge in any case.
    # Sizes alone decide: the number of threads must not change a sum. More than eight threads
    # find nothing to do here.
    per_edge = score_edge is not None or tables * num_out > graph.num_edges
    grad_edge = empty(x, batch, graph.num_edges if per_edge else 0, heads)
    grad_dst = empty(x, 0 if per_edge else tables, batch, num_out, heads)
    pieces = np.empty(walk.slots.size * features, kind)
    piece_src = np.empty(walk.slots.size * heads, kind)
    run(
        attention_back.attend_back,
        walk.units,
        work,
        *walk.chunks,
        others.numpy(),
        walk.perm,
        flat(x),
        num_out,
        flat(score_src),
        flat(targets),
        np.empty(0, kind) if score_edge is None else flat(score_edge),
        score_edge is not None and score_edge.size(0) < batch,
        kind.type(negative_slope),
        _keys(seed, dropout),
        _scale(pieces, dropout),
        heads,
        width,
        gradient,
        flat(grad_x),
        flat(grad_src),
        flat(grad_edge),
        flat(grad_dst),
        tables,
        walk.slots,
        pieces,
        piece_src,
        tasks=0 if per_edge else tables,
    )
    sums.add_pieces(walk.slots, pieces, flat(grad_x), features)
    sums.add_pieces(walk.slots, piece_src, flat(grad_src), heads)
    summed = segment_sum(graph.target, grad_edge) if per_edge else grad_dst.sum(0)
    kept = grad_edge[:, : 0 if score_edge is None else None]
    dtype = x.dtype
    grads = grad_src.to(score_src.dtype), summed.to(score_dst.dtype)
    return grad_x.to(dtype), *grads, kept.to(dtype)
