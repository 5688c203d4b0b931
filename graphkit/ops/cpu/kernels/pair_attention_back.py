# mypy: ignore-errors
"""Attention over scores that both ends' features decide, backward, for targets or for sources."""

import numpy as np

from graphkit.ops.cpu.kernels.blocks import BLOCK, draw, shares
from graphkit.ops.cpu.kernels.compiling import helper, kernel
from graphkit.ops.cpu.kernels.exponential import exp_range
from graphkit.ops.cpu.kernels.instructions import borrowed
from graphkit.ops.cpu.kernels.lanes import centre_lanes, in_lanes_or
from graphkit.ops.cpu.kernels.pair_attention import block_rows
from graphkit.ops.cpu.kernels.pairs import (
    Place,
    add_edge_gradient,
    finish,
    hand_out,
    look_ahead,
    score,
)
from graphkit.ops.cpu.kernels.tiles import LANES
from graphkit.ops.cpu.kernels.vector import (
    add_scaled,
    copy,
    dot_heads,
    inner,
    multiply,
    prefetch_row,
)
from graphkit.ops.cpu.kernels.walking import AHEAD, row_end, slot_of


@kernel
def attend_back(
    first,
    last,
    walk,
    pair,
    by_target,
    num_far,
    value,
    grad,
    softmax,
    keys,
    scale,
    heads,
    width,
    wide,
    rest,
    out,
    more_out,
    pieces,
    more_pieces,
):
    """Walks incoming edges (``by_target``) or, for GATv2 alone, outgoing ones: the gradients of the
    rows' features.

    ``out`` takes those of what scores are made of, ``heads`` times ``width`` a row, ``more_out``
    ``rest`` others, if there are any: of the queries of edges. What sources get of dot products
    is in :mod:`source_sums`.

    Both walks compute all weights anew from the scores and from ``softmax [M, 3, H]``: its
    largest score, one over its sum, and the product of the row's sums with their gradient.
    """
    # Arguments outlive the call; counting references to them would cost most of the time.
    walk, pair, value, grad = borrowed(walk), borrowed(pair), borrowed(value), borrowed(grad)
    softmax, keys = borrowed(softmax), borrowed(keys)
    out, more_out, pieces, more_pieces = (
        borrowed(out),
        borrowed(more_out),
        borrowed(pieces),
        borrowed(more_pieces),
    )
    features = heads * width
    num_rows = walk.indptr.shape[0] - 1
    num_entries = np.int64(walk.indptr[num_rows])
    buffers = np.empty((3, BLOCK * heads), out.dtype)
    alpha, kept, steps = borrowed(buffers)
    kept[:] = 1
    step = block_rows(features)
    # One row for sums, and one for each entry of a block.
    wide_rows = np.empty((1 + step) * features, out.dtype)
    total, rows = borrowed(wide_rows)[:features], borrowed(wide_rows)[features:]
    for u in range(first, last):
        p, b = u % walk.parts, u // walk.parts
        start = walk.entries[p]
        for r in range(walk.rows[p], walk.rows[p + 1] + 1):
            end = np.int64(row_end(r, p, walk.rows, walk.entries, walk.indptr))
            slot = slot_of(r, u, p, start, walk.rows, walk.indptr)
            if slot >= 0 and start == end:
                continue
            row = b * num_rows + r
            place = Place(u, row, b * num_far, b * num_entries, by_target, walk.others, walk.perm)
            target, base, more, at = out, row * features, more_out, row * rest
            if slot >= 0:
                walk.slots[slot] = row
                target, base, more, at = pieces, slot * features, more_pieces, slot * rest
            # GATv2's gradients lack the factor att until the row is complete: see finish.
            target[base : base + features] = 0
            more[at : at + rest] = 0
            total[:] = 0
            # A block's scores, weights and gradients of scores stay in the first-level cache.
            for k in range(start, end, step):
                size = min(step, end - k)
                for i in range(size):
                    # Asked for one by one: more at once would wait for each other.
                    _look_ahead(pair, place, value, grad, softmax, k + i, heads, width, wide)
                    score(pair, place, alpha, rows, k, i, heads, width)
                    s, t = _ends(place, k + i)
                    here, there = t * heads * wide, s * heads * wide
                    dot_heads(steps, i * heads, grad, here, value, there, heads, wide)
                    add_edge_gradient(pair, place, steps, k, i, heads)
                if keys.shape[0] > 0:
                    draw(kept, k, size, walk.perm, b * num_entries, heads, keys, scale)
                _centre(alpha, steps, kept, keys, place, softmax, k, size, heads)
                hand_out(
                    pair,
                    place,
                    rows,
                    steps,
                    alpha,
                    grad,
                    k,
                    size,
                    target,
                    base,
                    more,
                    at,
                    total,
                    heads,
                    width,
                    wide,
                )
            finish(pair, target, base, total)
            start = end
    # Buffers are freed after their last mention, which borrowers are not.
    buffers[:], wide_rows[:1] = 0, 0


@kernel
def prepare(
    first, last, statistics, grad, out, edge_grad, edge_out, heads, wide, num_attr, softmax
):
    """What :func:`attend_back` has to know about the softmax of each row: ``softmax [M, 3, H]``.

    Products of sums and gradients are taken as those of values and gradients are, later on.
    Where one weight is 1 both are then the same bits, and their difference is exactly zero:
    large scores would multiply the smallest one.
    """
    for row in range(first, last):
        place = row * 3 * heads
        copy(softmax, place, statistics, 2 * row * heads, heads)
        shares(softmax, place + heads, statistics, (2 * row + 1) * heads, heads)
        start = row * heads * wide
        dot_heads(softmax, place + 2 * heads, grad, start, out, start, heads, wide)
        for h in range(heads if num_attr > 0 else 0):
            edge = (row * heads + h) * num_attr
            softmax[place + 2 * heads + h] += inner(edge_grad, edge, edge_out, edge, num_attr)


@helper
def _ends(place, k):
    """The source and the target of the entry at position ``k``."""
    node = place.far_base + np.int64(place.others[k])
    return (node, place.row) if place.by_target else (place.row, node)


@helper
def _look_ahead(pair, place, value, grad, softmax, k, heads, width, wide):
    """Asks for what a later entry will read."""
    later = min(np.int64(place.others.shape[0]) - 1, k + AHEAD)
    look_ahead(pair, place, later, heads, width)
    node = place.far_base + np.int64(place.others[later])
    if place.by_target:
        prefetch_row(value, node * heads * wide, heads * wide)
    else:
        prefetch_row(grad, node * heads * wide, heads * wide)
        prefetch_row(softmax, node * 3 * heads, 3 * heads)


@helper
def _centre_any(alpha, steps, kept, keys, place, softmax, k, size, heads):
    """Turns scores into weights, and ``steps``, the gradients of weights, into those of scores."""
    # The largest score is taken off before the exponential, the sum after it: the logarithm of
    # the sum, added to a large score, would be rounded away.
    minus = alpha.dtype.type(-1)
    for i in range(size):
        _, t = _ends(place, k + i)
        add_scaled(alpha, i * heads, softmax, t * 3 * heads, minus, heads)
    exp_range(alpha, 0, size * heads)
    # Gradients of weights are masked before they are centred, weights after it.
    for i in range(size * heads if keys.shape[0] > 0 else 0):
        steps[i] *= kept[i]
    for i in range(size):
        _, t = _ends(place, k + i)
        multiply(alpha, i * heads, softmax, (t * 3 + 1) * heads, heads)
        add_scaled(steps, i * heads, softmax, (t * 3 + 2) * heads, minus, heads)
    for i in range(size * heads):
        steps[i] *= alpha[i]
    for i in range(size * heads if keys.shape[0] > 0 else 0):
        alpha[i] *= kept[i]


@helper
def _centre_lanes(alpha, steps, kept, keys, place, softmax, k, size, heads):
    """As :func:`_centre_any`, in one pass, for heads by the eight."""
    for i in range(size):
        _, t = _ends(place, k + i)
        for h in range(0, heads, LANES):
            p = i * heads + h
            centre_lanes(alpha, p, steps, p, softmax, t * 3 * heads + h, kept, p, heads)


_centre = in_lanes_or(_centre_lanes, _centre_any, 8)
