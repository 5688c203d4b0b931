# mypy: ignore-errors
"""Fused attention, forward: the weights of a few edges at a time live in a small buffer."""

import numpy as np

from graphkit.ops.cpu.kernels.blocks import BLOCK, draw, leak, read_scores, take_in
from graphkit.ops.cpu.kernels.compiling import helper, kernel
from graphkit.ops.cpu.kernels.exponential import exp
from graphkit.ops.cpu.kernels.vector import add_entries, copy, fill, prefetch, prefetch_row, scale
from graphkit.ops.cpu.kernels.walking import AHEAD, row_end, slot_of


@kernel
def attend_rows(
    first,
    last,
    parts,
    rows,
    entries,
    indptr,
    others,
    perm,
    x,
    num_in,
    score_src,
    score_dst,
    score_edge,
    shared,
    slope,
    keys,
    keep,
    heads,
    width,
    out,
    statistics,
    slots,
    pieces,
    piece_statistics,
):
    """Sums over incoming edges, weighted by the softmax of their scores, in one pass."""
    features = heads * width
    num_rows = indptr.shape[0] - 1
    num_entries = np.int64(indptr[num_rows])
    # One set of buffers for all rows: what is allocated per row would cost more than short rows.
    top, shift, low, decay = np.empty((4, heads), x.dtype)
    block, kept = np.empty((2, BLOCK * heads), x.dtype)
    for u in range(first, last):
        p, b = u % parts, u // parts
        start = entries[p]
        for r in range(rows[p], rows[p + 1] + 1):
            end = np.int64(row_end(r, p, rows, entries, indptr))
            slot = slot_of(r, u, p, start, rows, indptr)
            # An empty piece of a row that goes on in the next chunk: nothing to finish.
            if slot >= 0 and start == end:
                continue
            row = b * num_rows + r
            target, base = out, row * features
            if slot >= 0:
                slots[slot] = row
                # Two chunks share this row, so each writes a piece of its own; attend_pieces
                # joins them.
                target, base = pieces, slot * features
            fill(target, base, x.dtype.type(0), features)
            fill(top, 0, x.dtype.type(-np.inf), heads)
            fill(shift, 0, x.dtype.type(0), heads)
            fill(low, 0, x.dtype.type(0), heads)
            for k in range(start, end, BLOCK):
                size = min(BLOCK, end - k)
                _look_ahead(k, size, others, x, b * num_in, score_src, heads, features)
                edge_base = 0 if shared else b * num_entries
                read_scores(
                    block,
                    k,
                    size,
                    others,
                    perm,
                    score_dst,
                    row * heads,
                    score_src,
                    b * num_in,
                    1,
                    score_edge,
                    edge_base,
                    heads,
                )
                leak(block, block, size * heads, slope)
                # Softmax in one pass: when the peak rises, what was summed below the old one
                # shrinks.
                if take_in(block, size, top, shift, low, decay, heads):
                    _shrink(target, base, decay, heads, width)
                if keys.shape[0] > 0:
                    draw(kept, k, size, perm, b * num_entries, heads, keys, keep)
                    for i in range(size * heads):
                        block[i] *= kept[i]
                start_in = b * num_in * features
                add_entries(target, base, x, start_in, others, k, size, block, 0, heads, width)
            if slot >= 0:
                piece_statistics[0, slot * heads : (slot + 1) * heads] = shift
                piece_statistics[1, slot * heads : (slot + 1) * heads] = low
            else:
                _finish(out, statistics, row, shift, low, heads, width)
            start = end


@helper
def _look_ahead(k, size, others, x, base, scores, heads, features):
    """Asks for what the next entries will read."""
    # Rows lie anywhere in memory: asked for early, they arrive while other edges are summed.
    for i in range(k + AHEAD, min(k + AHEAD + size, np.int64(others.shape[0]))):
        node = base + np.int64(others[i])
        prefetch(scores, node * heads)
        prefetch_row(x, node * features, features)


@helper
def _shrink(target, base, decay, heads, width):
    for h in range(heads):
        for c in range(width):
            target[base + h * width + c] *= decay[h]


@helper
def _finish(out, statistics, row, shift, low, heads, width):
    """Divides by the sum of exponentials, and keeps it and the peak they are taken below."""
    copy(statistics, 2 * row * heads, shift, 0, heads)
    copy(statistics, (2 * row + 1) * heads, low, 0, heads)
    for h in range(heads):
        # A row without edges, or of scores that are all -inf, has no share: it stays 0.
        share = out.dtype.type(1) / low[h] if low[h] != 0 else low[h]
        scale(out, (row * heads + h) * width, share, width)


@kernel
def attend_pieces(slots, pieces, piece_statistics, out, statistics, heads, width):
    """Finishes the rows that chunks cut: brings their pieces below a common peak."""
    shift, low = np.empty((2, heads), out.dtype)
    row = -1
    for s in range(slots.shape[0]):
        if slots[s] < 0:
            continue
        if slots[s] != row:
            if row >= 0:
                _finish(out, statistics, row, shift, low, heads, width)
            row = slots[s]
            shift[:], low[:] = 0, 0
            out[row * heads * width : (row + 1) * heads * width] = 0
        for h in range(heads):
            group = s * heads + h
            new_shift, new_low = piece_statistics[0, group], piece_statistics[1, group]
            if new_low == 0:
                continue
            peak = new_shift if low[h] == 0 else max(shift[h], new_shift)
            old = low[h] if low[h] == 0 else exp(shift[h] - peak)
            new = exp(new_shift - peak)
            shift[h], low[h] = peak, low[h] * old + new_low * new
            for c in range(width):
                target = (row * heads + h) * width + c
                out[target] = out[target] * old + pieces[group * width + c] * new
    if row >= 0:
        _finish(out, statistics, row, shift, low, heads, width)
