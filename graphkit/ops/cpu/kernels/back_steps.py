# mypy: ignore-errors
"""Fused attention, backward: from the scores of a block of edges to weights and their gradients."""

import numpy as np

from graphkit.ops.cpu.kernels.blocks import add_edge_scores, leak, read_scores
from graphkit.ops.cpu.kernels.compiling import helper
from graphkit.ops.cpu.kernels.exponential import exp_range
from graphkit.ops.cpu.kernels.lanes import back_lanes, in_lanes_or
from graphkit.ops.cpu.kernels.tiles import LANES
from graphkit.ops.cpu.kernels.vector import (
    add_scaled,
    dot_heads,
    multiply,
    prefetch_row,
    prefetch_to_write,
)
from graphkit.ops.cpu.kernels.walking import AHEAD, entry_at


@helper
def _weigh_any(
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
    score_base,
    edge_base,
    slope,
    grad,
    grad_edge,
    grad_dst,
    table,
    heads,
    width,
):
    """Fills ``alpha`` with the weights of features, and ``step`` with the gradients of scores."""
    features = heads * width
    minus = x.dtype.type(-1)
    last = np.int64(others.shape[0]) - 1
    for i in range(size):
        ahead = min(last, k + i + AHEAD)
        _look_ahead(
            ahead,
            others,
            perm,
            far_base,
            edge_base,
            targets,
            grad,
            grad_edge,
            grad_dst,
            table,
            heads,
            features,
        )
    read_scores(
        raw,
        k,
        size,
        others,
        perm,
        score_src,
        row * heads,
        targets,
        far_base,
        4,
        score_edge,
        score_base,
        heads,
    )
    # The same score as before, minus the same peak: the weight comes out as it was, bit for bit.
    leak(raw, alpha, size * heads, slope)
    for i in range(size):
        node = far_base + np.int64(others[k + i])
        add_scaled(alpha, i * heads, targets, (4 * node + 1) * heads, minus, heads)
        dot_heads(step, i * heads, x, row * features, grad, node * features, heads, width)
    exp_range(alpha, 0, size * heads)
    for i in range(size):
        node = far_base + np.int64(others[k + i])
        multiply(alpha, i * heads, targets, (4 * node + 2) * heads, heads)
    if dropping:
        for i in range(size * heads):
            step[i] *= kept[i]
    for i in range(size):
        node = far_base + np.int64(others[k + i])
        add_scaled(step, i * heads, targets, (4 * node + 3) * heads, minus, heads)
    for i in range(size * heads):
        # Softmax: a * (g - <out, grad>); then the slope of whichever side of 0 the score was on.
        step[i] *= alpha[i] if raw[i] > 0 else alpha[i] * slope
    # Features got the dropped weight, the softmax did not: only from here on does it count.
    if dropping:
        for i in range(size * heads):
            alpha[i] *= kept[i]


@helper
def _weigh_lanes(
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
    score_base,
    edge_base,
    slope,
    grad,
    grad_edge,
    grad_dst,
    table,
    heads,
    width,
):
    """As :func:`_weigh_any`, in one pass, for heads and columns by the eight."""
    if width % LANES != 0:
        _weigh_any(
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
            score_base,
            edge_base,
            slope,
            grad,
            grad_edge,
            grad_dst,
            table,
            heads,
            width,
        )
        return
    features = heads * width
    last = np.int64(others.shape[0]) - 1
    # Where edges have scores, near and edge are added first, as in the forward pass: the sums must
    # be the same bits.
    with_edges = score_edge.shape[0] > 0
    if with_edges:
        add_edge_scores(raw, k, size, perm, score_src, row * heads, score_edge, score_base, heads)
    for i in range(size):
        # Asked for one by one: more at once would wait for each other.
        _look_ahead(
            min(last, k + i + AHEAD),
            others,
            perm,
            far_base,
            edge_base,
            targets,
            grad,
            grad_edge,
            grad_dst,
            table,
            heads,
            features,
        )
        node = far_base + np.int64(others[k + i])
        for h in range(0, heads, LANES):
            place = i * heads + h
            # Eight heads lie side by side in every array but the two of features.
            own, other = row * features + h * width, node * features + h * width
            near, start = (raw, place) if with_edges else (score_src, row * heads + h)
            back_lanes(
                near,
                start,
                targets,
                4 * node * heads + h,
                x,
                own,
                grad,
                other,
                kept,
                place,
                step,
                place,
                alpha,
                place,
                slope,
                heads,
                width,
            )


weigh_back = in_lanes_or(_weigh_lanes, _weigh_any, 22)


@helper
def _look_ahead(
    i,
    others,
    perm,
    far_base,
    edge_base,
    targets,
    grad,
    grad_edge,
    grad_dst,
    table,
    heads,
    features,
):
    """Asks for what entry ``i`` will read and write."""
    node = far_base + np.int64(others[i])
    prefetch_row(targets, 4 * node * heads, 4 * heads)
    prefetch_row(grad, node * features, features)
    # Either targets have tables and edges nothing, or the other way round: one array is empty.
    if grad_dst.shape[0] > 0:
        prefetch_to_write(grad_dst, table + node * heads)
    else:
        prefetch_to_write(grad_edge, (edge_base + np.int64(entry_at(perm, i))) * heads)
