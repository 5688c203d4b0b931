# mypy: ignore-errors
"""Fused attention, backward: weights are computed anew from scores and their statistics."""

import numpy as np

from graphkit.ops.cpu.kernels.back_steps import weigh_back
from graphkit.ops.cpu.kernels.blocks import BLOCK, draw, shares
from graphkit.ops.cpu.kernels.compiling import helper, kernel
from graphkit.ops.cpu.kernels.instructions import borrowed
from graphkit.ops.cpu.kernels.narrow_rows import back_narrow
from graphkit.ops.cpu.kernels.vector import (
    add_entries,
    add_rows,
    add_scaled,
    copy,
    dot_heads,
    fill,
)
from graphkit.ops.cpu.kernels.walking import entry_at, row_end, slot_of


@kernel
def describe_targets(
    first, last, score_dst, statistics, out, given, steps, grad, heads, width, targets
):
    """Fills ``targets [rows, 4, heads]``: score, peak, share of one exponential, and step.

    The share is one over the sum of exponentials; the step is ``<out, grad>``, which every weight's
    gradient is measured from. Side by side, one edge reads them from two cache lines. ``grad`` is
    filled from ``given``, whose rows and columns are ``steps`` apart, unless both are one.
    """
    features = heads * width
    laid_out = steps[0] == features and steps[1] == 1
    for row in range(first, last):
        base, feature = 4 * row * heads, row * features
        start = row * steps[0]
        if steps[1] == 0:
            # A sum hands out one value, repeated.
            fill(grad, feature, given[start], features)
        elif steps[1] == 1 and not laid_out:
            copy(grad, feature, given, start, features)
        elif not laid_out:
            for c in range(features):
                grad[feature + c] = given[start + c * steps[1]]
        copy(targets, base, score_dst, row * heads, heads)
        copy(targets, base + heads, statistics, 2 * row * heads, heads)
        shares(targets, base + 2 * heads, statistics, (2 * row + 1) * heads, heads)
        dot_heads(targets, base + 3 * heads, out, feature, grad, feature, heads, width)


@kernel
def attend_back(
    first,
    last,
    parts,
    rows,
    entries,
    indptr,
    others,
    perm,
    x,
    num_out,
    score_src,
    targets,
    score_edge,
    shared,
    slope,
    keys,
    scale,
    heads,
    width,
    grad,
    grad_x,
    grad_src,
    grad_edge,
    grad_dst,
    tables,
    slots,
    pieces,
    piece_src,
):
    """Walks outgoing edges: gradients of features, of source scores and of every edge's score.

    Where ``grad_dst`` holds ``tables``, one for each share of the units, the latter are summed
    by target there, and not kept.
    """
    # Arguments outlive the call; counting references to them would cost most of the time.
    x, score_src, targets, grad = (
        borrowed(x),
        borrowed(score_src),
        borrowed(targets),
        borrowed(grad),
    )
    score_edge, grad_edge, grad_dst = borrowed(score_edge), borrowed(grad_edge), borrowed(grad_dst)
    indptr, others, perm, keys = borrowed(indptr), borrowed(others), borrowed(perm), borrowed(keys)
    rows, entries, slots = borrowed(rows), borrowed(entries), borrowed(slots)
    grad_x, grad_src = borrowed(grad_x), borrowed(grad_src)
    pieces, piece_src = borrowed(pieces), borrowed(piece_src)
    features = heads * width
    num_rows = indptr.shape[0] - 1
    num_entries = np.int64(indptr[num_rows])
    # raw decides the slope of the LeakyReLU, alpha the weight, kept the dropout, step the gradient.
    buffers = np.empty((4, BLOCK * heads), x.dtype)
    raw, alpha, kept, step = borrowed(buffers)
    kept[:] = 1
    units = slots.shape[0] // 2
    for u in range(first, last):
        # Units of one share run one after another, so that no two of them write a table at once.
        share = ((u + 1) * tables - 1) // units
        table = share * (grad_dst.shape[0] // tables)
        if grad_dst.shape[0] > 0 and (u == 0 or (u * tables - 1) // units != share):
            # By whoever fills it, who then has it in the cache.
            grad_dst[table : table + grad_dst.shape[0] // tables] = 0
        p, b = u % parts, u // parts
        start = entries[p]
        for r in range(rows[p], rows[p + 1] + 1):
            end = np.int64(row_end(r, p, rows, entries, indptr))
            slot = slot_of(r, u, p, start, rows, indptr)
            if slot >= 0 and start == end:
                continue
            row = b * num_rows + r
            target, base, total, sum_base = grad_x, row * features, grad_src, row * heads
            if slot >= 0:
                slots[slot] = row
                # A row that chunks share is written in pieces, as in the forward pass.
                target, base, total, sum_base = pieces, slot * features, piece_src, slot * heads
            target[base : base + features] = 0
            total[sum_base : sum_base + heads] = 0
            for k in range(start, end, BLOCK):
                size = min(BLOCK, end - k)
                far_base, edge_base = b * num_out, b * num_entries
                if back_narrow(
                    grad,
                    k,
                    size,
                    others,
                    perm,
                    score_src,
                    targets,
                    score_edge,
                    slope,
                    keys,
                    scale,
                    kept,
                    x,
                    row,
                    far_base,
                    edge_base,
                    target,
                    base,
                    total,
                    sum_base,
                    grad_dst,
                    table,
                    heads,
                    width,
                ):
                    continue
                dropping = keys.shape[0] > 0
                if dropping:
                    draw(kept, k, size, perm, edge_base, heads, keys, scale)
                weigh_back(
                    step,
                    alpha,
                    raw,
                    kept,
                    dropping,
                    k,
                    size,
                    others,
                    perm,
                    x,
                    row,
                    score_src,
                    targets,
                    far_base,
                    score_edge,
                    0 if shared else edge_base,
                    edge_base,
                    slope,
                    grad,
                    grad_edge,
                    grad_dst,
                    table,
                    heads,
                    width,
                )
                _hand_out(
                    step,
                    alpha,
                    k,
                    size,
                    others,
                    perm,
                    far_base,
                    edge_base,
                    grad,
                    grad_edge,
                    grad_dst,
                    table,
                    target,
                    base,
                    total,
                    sum_base,
                    heads,
                    width,
                )
            start = end
    # They are freed after their last mention, which borrowers are not.
    buffers[:] = 0


@helper
def _hand_out(
    step,
    alpha,
    k,
    size,
    others,
    perm,
    far_base,
    edge_base,
    grad,
    grad_edge,
    grad_dst,
    table,
    target,
    base,
    total,
    sum_base,
    heads,
    width,
):
    """Adds what a block of edges contributes to each gradient."""
    one = step.dtype.type(1)
    features = heads * width
    add_rows(total, sum_base, step, 0, heads, size, heads)
    for i in range(size):
        node = far_base + np.int64(others[k + i])
        if grad_dst.shape[0] > 0:
            add_scaled(grad_dst, table + node * heads, step, i * heads, one, heads)
        else:
            edge = edge_base + np.int64(entry_at(perm, k + i))
            copy(grad_edge, edge * heads, step, i * heads, heads)
    # Last, since it reads the rows of grad once more, which dot_heads has just brought in.
    start = far_base * features
    add_entries(target, base, grad, start, others, k, size, alpha, 0, heads, width)
