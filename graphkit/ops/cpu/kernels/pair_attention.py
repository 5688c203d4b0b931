# mypy: ignore-errors
"""Attention over scores that both ends' features decide, forward: one pass over each row."""

import numpy as np

from graphkit.ops.cpu.kernels.blocks import BLOCK, draw, settle, shares, take_in
from graphkit.ops.cpu.kernels.compiling import helper, kernel
from graphkit.ops.cpu.kernels.exponential import exp
from graphkit.ops.cpu.kernels.instructions import borrowed
from graphkit.ops.cpu.kernels.lanes import in_lanes_or, weigh_lanes
from graphkit.ops.cpu.kernels.pairs import Place, add_edges, look_ahead, score
from graphkit.ops.cpu.kernels.tiles import LANES
from graphkit.ops.cpu.kernels.vector import (
    add_entries,
    copy,
    keep_largest,
    prefetch_row,
    scale_heads,
)
from graphkit.ops.cpu.kernels.walking import AHEAD, row_end, slot_of


@helper
def block_rows(features):
    """How many entries make a block: fewer if rows are wide, so that a block stays in the cache."""
    return max(4, min(BLOCK, 8192 // max(1, features)))


@kernel
def attend_rows(
    first,
    last,
    walk,
    pair,
    num_far,
    value,
    keys,
    scale,
    heads,
    width,
    wide,
    length,
    out,
    statistics,
    pieces,
    piece_statistics,
):
    """Sums over incoming edges, weighted by the softmax of their scores.

    A row of ``out`` holds ``heads`` times ``wide`` sums of values, and the sums of edge features
    after them: ``length`` in all. ``statistics [M, 2, H]`` describe the softmax: the largest
    score, and the sum of exponentials below it.
    """
    # Arguments outlive the call; counting references to them would cost most of the time.
    walk, pair, value, keys = borrowed(walk), borrowed(pair), borrowed(value), borrowed(keys)
    out, pieces = borrowed(out), borrowed(pieces)
    statistics, piece_statistics = borrowed(statistics), borrowed(piece_statistics)
    num_rows = walk.indptr.shape[0] - 1
    num_entries = np.int64(walk.indptr[num_rows])
    few, many = np.empty((4, heads), out.dtype), np.empty((2, BLOCK * heads), out.dtype)
    top, shift, low, decay = borrowed(few)
    block, kept = borrowed(many)
    step = block_rows(heads * width)
    wide_rows = np.empty(step * heads * width, out.dtype)
    rows = borrowed(wide_rows)
    for u in range(first, last):
        p, b = u % walk.parts, u // walk.parts
        start = walk.entries[p]
        for r in range(walk.rows[p], walk.rows[p + 1] + 1):
            end = np.int64(row_end(r, p, walk.rows, walk.entries, walk.indptr))
            slot = slot_of(r, u, p, start, walk.rows, walk.indptr)
            if slot >= 0 and start == end:
                continue
            row = b * num_rows + r
            place = Place(u, row, b * num_far, b * num_entries, True, walk.others, walk.perm)
            target, softmax, at = out, statistics, row
            if slot >= 0:
                walk.slots[slot] = row
                target, softmax, at = pieces, piece_statistics, slot
            # A row that chunks cut is summed to a piece, to be joined with the others at the end.
            base = at * length
            target[base : base + length] = 0
            top[:], shift[:], low[:] = -np.inf, 0, 0
            for k in range(start, end, step):
                size = min(step, end - k)
                for i in range(size):
                    # Asked for one by one: more at once would wait for each other.
                    _look_ahead(pair, place, value, k + i, heads, width, wide)
                    score(pair, place, block, rows, k, i, heads, width)
                # Sums so far shrink when a larger score comes: exponentials never overflow.
                if _take_in(block, size, top, shift, low, decay, heads):
                    _scale(target, base, decay, heads, wide, length)
                if keys.shape[0] > 0:
                    draw(kept, k, size, walk.perm, b * num_entries, heads, keys, scale)
                    for i in range(size * heads):
                        block[i] *= kept[i]
                begin = b * num_far * heads * wide
                add_entries(target, base, value, begin, walk.others, k, size, block, 0, heads, wide)
                add_edges(pair, place, target, base + heads * wide, block, k, size, heads)
            copy(softmax, 2 * at * heads, shift, 0, heads)
            copy(softmax, (2 * at + 1) * heads, low, 0, heads)
            if slot < 0:
                # Where nothing counts the sum of exponentials is 0, and so is the share.
                shares(decay, 0, low, 0, heads)
                _scale(out, base, decay, heads, wide, length)
            start = end
    # Buffers are freed after their last mention, which borrowers are not.
    few[:], many[:], wide_rows[:1] = 0, 0, 0


@helper
def _look_ahead(pair, place, value, k, heads, width, wide):
    """Asks for what a later entry will read."""
    later = min(np.int64(place.others.shape[0]) - 1, k + AHEAD)
    look_ahead(pair, place, later, heads, width)
    node = place.far_base + np.int64(place.others[later])
    prefetch_row(value, node * heads * wide, heads * wide)


@helper
def _take_in_lanes(block, size, top, shift, low, decay, heads):
    """As :func:`~graphkit.ops.cpu.kernels.blocks.take_in`, for heads by the eight."""
    keep_largest(top, 0, block, 0, heads, size, heads)
    rose = settle(top, shift, low, decay, heads)
    for i in range(size):
        for h in range(0, heads, LANES):
            weigh_lanes(block, i * heads + h, shift, h, low, h)
    return rose


_take_in = in_lanes_or(_take_in_lanes, take_in, 6)


@helper
def _scale(out, base, share, heads, wide, length):
    """Multiplies the sums of a row, those of values and those of edge features behind them."""
    scale_heads(out, base, share, heads, wide)
    scale_heads(out, base + heads * wide, share, heads, (length - heads * wide) // heads)


@kernel
def attend_pieces(slots, pieces, piece_statistics, out, statistics, heads, wide, length):
    """Finishes the rows that chunks cut: brings their pieces below a common peak."""
    rest = (length - heads * wide) // heads
    old, new = np.empty((2, heads), out.dtype)
    row = -1
    for s in range(slots.shape[0]):
        if slots[s] < 0:
            continue
        if slots[s] != row:
            if row >= 0:
                _close(out, row, statistics, old, heads, wide, length)
            row = slots[s]
            statistics[2 * row * heads : 2 * (row + 1) * heads] = 0
            out[row * length : (row + 1) * length] = 0
        for h in range(heads):
            place, other = 2 * row * heads + h, 2 * s * heads + h
            old[h], new[h] = _join(statistics, place, piece_statistics, other, heads)
        # Behind the sums of values lie those of edge features, head by head as well.
        for i in range(length):
            c = i - heads * wide
            h = i // wide if c < 0 else c // rest
            value = out[row * length + i] * old[h]
            out[row * length + i] = value + pieces[s * length + i] * new[h]
    if row >= 0:
        _close(out, row, statistics, old, heads, wide, length)


@helper
def _close(out, row, statistics, share, heads, wide, length):
    """Divides the sums of a row by its sum of exponentials."""
    shares(share, 0, statistics, (2 * row + 1) * heads, heads)
    _scale(out, row * length, share, heads, wide, length)


@helper
def _join(statistics, i, others, j, heads):
    """Joins the softmax of a row with that of a piece; the factors that their sums shrink by."""
    zero, one = statistics.dtype.type(0), statistics.dtype.type(1)
    peak, total = statistics[i], statistics[i + heads]
    new_peak, new_total = others[j], others[j + heads]
    if new_total == 0:
        return one, zero
    if total == 0:
        statistics[i], statistics[i + heads] = new_peak, new_total
        return zero, one
    top = max(peak, new_peak)
    old, new = exp(peak - top), exp(new_peak - top)
    statistics[i], statistics[i + heads] = top, total * old + new_total * new
    return old, new
