# mypy: ignore-errors
"""Fused attention, forward: the weights of a few edges at a time live in a small buffer."""

import numpy as np

from graphkit.ops.cpu.kernels.blocks import (
    BLOCK,
    add_edge_scores,
    draw,
    leak,
    read_scores,
    settle,
    shares,
    take_in,
)
from graphkit.ops.cpu.kernels.compiling import helper, kernel
from graphkit.ops.cpu.kernels.exponential import exp
from graphkit.ops.cpu.kernels.instructions import borrowed
from graphkit.ops.cpu.kernels.lanes import in_lanes_or, score_lanes, weigh_lanes
from graphkit.ops.cpu.kernels.narrow_rows import attend_narrow
from graphkit.ops.cpu.kernels.tiles import LANES
from graphkit.ops.cpu.kernels.vector import (
    add_entries,
    add_scaled,
    copy,
    fill,
    prefetch,
    prefetch_row,
    scale_heads,
)
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
    bias,
    biased,
):
    """Sums over incoming edges, weighted by the softmax of their scores, in one pass.

    Unless it is empty, ``biased`` gets the sums with ``bias [heads * width]`` added to each.
    """
    # Arguments outlive the call; counting references to them would cost most of the time.
    x, score_src, score_dst = borrowed(x), borrowed(score_src), borrowed(score_dst)
    score_edge, out, statistics = borrowed(score_edge), borrowed(out), borrowed(statistics)
    indptr, others, perm, keys = borrowed(indptr), borrowed(others), borrowed(perm), borrowed(keys)
    rows, entries, slots = borrowed(rows), borrowed(entries), borrowed(slots)
    pieces, piece_statistics = borrowed(pieces), borrowed(piece_statistics)
    bias, biased = borrowed(bias), borrowed(biased)
    features = heads * width
    num_rows = indptr.shape[0] - 1
    num_entries = np.int64(indptr[num_rows])
    # One set of buffers for all rows: what is allocated per row would cost more than short rows.
    few, many = np.empty((4, heads), x.dtype), np.empty((2, BLOCK * heads), x.dtype)
    top, shift, low, decay = borrowed(few)
    block, kept = borrowed(many)
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
            elif attend_narrow(
                x,
                start,
                end - start,
                others,
                perm,
                score_dst,
                score_src,
                score_edge,
                slope,
                keys,
                keep,
                block,
                kept,
                out,
                statistics,
                row,
                b * num_in,
                b * num_entries,
                bias,
                biased,
                heads,
                width,
            ):
                start = end
                continue
            fill(target, base, x.dtype.type(0), features)
            fill(top, 0, x.dtype.type(-np.inf), heads)
            fill(shift, 0, x.dtype.type(0), heads)
            fill(low, 0, x.dtype.type(0), heads)
            for k in range(start, end, BLOCK):
                size = min(BLOCK, end - k)
                edge_base = 0 if shared else b * num_entries
                # Softmax in one pass: when the peak rises, what was summed below the old one
                # shrinks.
                if _weigh(
                    block,
                    k,
                    size,
                    others,
                    perm,
                    x,
                    score_dst,
                    row * heads,
                    score_src,
                    b * num_in,
                    score_edge,
                    edge_base,
                    slope,
                    top,
                    shift,
                    low,
                    decay,
                    heads,
                    features,
                ):
                    scale_heads(target, base, decay, heads, width)
                if keys.shape[0] > 0:
                    draw(kept, k, size, perm, b * num_entries, heads, keys, keep)
                    for i in range(size * heads):
                        block[i] *= kept[i]
                start_in = b * num_in * features
                add_entries(target, base, x, start_in, others, k, size, block, 0, heads, width)
            if slot >= 0:
                for h in range(heads):
                    piece_statistics[0, slot * heads + h] = shift[h]
                    piece_statistics[1, slot * heads + h] = low[h]
            else:
                _finish(out, statistics, row, shift, low, decay, bias, biased, heads, width)
            start = end
    # Buffers are freed after their last mention, which borrowers are not.
    few[:], many[:] = 0, 0


@helper
def _weigh_any(
    block,
    k,
    size,
    others,
    perm,
    x,
    near,
    near_base,
    far,
    far_base,
    edge,
    edge_base,
    slope,
    top,
    shift,
    low,
    decay,
    heads,
    features,
):
    """Fills ``block`` with exponentials of scores; returns whether earlier sums must shrink."""
    # Rows lie anywhere in memory: asked for early, they arrive while other edges are summed.
    for i in range(k + AHEAD, min(k + AHEAD + size, np.int64(others.shape[0]))):
        node = far_base + np.int64(others[i])
        prefetch(far, node * heads)
        prefetch_row(x, node * features, features)
    read_scores(
        block, k, size, others, perm, near, near_base, far, far_base, 1, edge, edge_base, heads
    )
    leak(block, block, size * heads, slope)
    return take_in(block, size, top, shift, low, decay, heads)


@helper
def _weigh_lanes(
    block,
    k,
    size,
    others,
    perm,
    x,
    near,
    near_base,
    far,
    far_base,
    edge,
    edge_base,
    slope,
    top,
    shift,
    low,
    decay,
    heads,
    features,
):
    """As :func:`_weigh_any`, in two passes, for heads by the eight."""
    last = np.int64(others.shape[0]) - 1
    with_edges = edge.shape[0] > 0
    if with_edges:
        add_edge_scores(block, k, size, perm, near, near_base, edge, edge_base, heads)
    for i in range(size):
        node = (far_base + np.int64(others[k + i])) * heads
        prefetch(far, (far_base + np.int64(others[min(last, k + i + AHEAD)])) * heads)
        for h in range(0, heads, LANES):
            place = i * heads + h
            if with_edges:
                score_lanes(block, place, far, node + h, slope, block, place, top, h)
            else:
                score_lanes(near, near_base + h, far, node + h, slope, block, place, top, h)
    rose = settle(top, shift, low, decay, heads)
    for i in range(size):
        # Asked for one by one between exponentials: more at once would wait for each other.
        node = far_base + np.int64(others[min(last, k + i + AHEAD)])
        prefetch_row(x, node * features, features)
        for h in range(0, heads, LANES):
            weigh_lanes(block, i * heads + h, shift, h, low, h)
    return rose


_weigh = in_lanes_or(_weigh_lanes, _weigh_any, 17)


@helper
def _finish(out, statistics, row, shift, low, share, bias, biased, heads, width):
    """Divides by the sum of exponentials, and keeps it and the peak they are taken below."""
    copy(statistics, 2 * row * heads, shift, 0, heads)
    copy(statistics, (2 * row + 1) * heads, low, 0, heads)
    # A row without edges, or of scores that are all -inf, has no share: it stays 0.
    shares(share, 0, low, 0, heads)
    features = heads * width
    scale_heads(out, row * features, share, heads, width)
    if biased.shape[0] > 0:
        copy(biased, row * features, out, row * features, features)
        add_scaled(biased, row * features, bias, 0, out.dtype.type(1), features)


@kernel
def attend_pieces(slots, pieces, piece_statistics, out, statistics, bias, biased, heads, width):
    """Finishes the rows that chunks cut: brings their pieces below a common peak."""
    shift, low, share = np.empty((3, heads), out.dtype)
    row = -1
    for s in range(slots.shape[0]):
        if slots[s] < 0:
            continue
        if slots[s] != row:
            if row >= 0:
                _finish(out, statistics, row, shift, low, share, bias, biased, heads, width)
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
        _finish(out, statistics, row, shift, low, share, bias, biased, heads, width)
