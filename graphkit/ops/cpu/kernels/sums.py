# mypy: ignore-errors
"""Weighted sums over neighbours, and dot products along edges."""

from __future__ import annotations

import numpy as np

from graphkit.ops.cpu.kernels.compiling import helper, kernel
from graphkit.ops.cpu.kernels.instructions import borrowed
from graphkit.ops.cpu.kernels.tiles import sum_tile
from graphkit.ops.cpu.kernels.vector import (
    add_heads,
    add_scaled,
    dot_heads,
    prefetch,
    prefetch_row,
    prefetch_to_write,
)
from graphkit.ops.cpu.kernels.walking import AHEAD, entry_at, row_end, slot_of


@kernel
def sum_rows(
    first,
    last,
    parts,
    rows,
    entries,
    indptr,
    others,
    perm,
    weight,
    shared,
    x,
    num_in,
    heads,
    width,
    out,
    slots,
    pieces,
):
    """``out[r] = sum of weight[e] * x[other]`` over the entries of ``r``; no weight means 1."""
    # Arguments outlive the call; counting references to them would cost most of the time.
    weight, x, out, pieces = borrowed(weight), borrowed(x), borrowed(out), borrowed(pieces)
    others, perm, indptr, slots = (
        borrowed(others),
        borrowed(perm),
        borrowed(indptr),
        borrowed(slots),
    )
    features = heads * width
    num_rows = indptr.shape[0] - 1
    num_entries = np.int64(indptr[num_rows])
    for u in range(first, last):
        p, b = u % parts, u // parts
        # Weights may serve all elements of a batch.
        w_base = 0 if shared else b * num_entries * heads
        start = entries[p]
        for r in range(rows[p], rows[p + 1] + 1):
            end = np.int64(row_end(r, p, rows, entries, indptr))
            slot = slot_of(r, u, p, start, rows, indptr)
            if slot >= 0 and start == end:
                continue
            target, base = out, (b * num_rows + r) * features
            if slot >= 0:
                slots[slot] = b * num_rows + r
                target, base = pieces, slot * features
            # Set to zero here, not before the call: the row is in the cache when it is summed.
            target[base : base + features] = 0
            _accumulate(
                target,
                base,
                start,
                end,
                others,
                perm,
                weight,
                w_base,
                x,
                b * num_in * features,
                heads,
                width,
            )
            start = end


@helper
def _accumulate(target, base, start, end, others, perm, weight, w_base, x, x_base, heads, width):
    features = heads * width
    one = x.dtype.type(1)
    limit = np.int64(max(others.shape[0], perm.shape[0]))
    # Sums without weights stay in registers until all of the row's entries are added.
    if weight.shape[0] == 0 and features % 64 == 0 and others.shape[0] > 0:
        for c in range(0, features, 64):
            sum_tile(target, base + c, x, x_base + c, features, others, start, end, AHEAD)
        return
    for k in range(start, end):
        # What is needed some edges later is asked for now: a row takes longer to arrive than to
        # add.
        if k + AHEAD < limit:
            prefetch_row(x, x_base + np.int64(entry_at(others, k + AHEAD)) * features, features)
            if weight.shape[0] > 0:
                prefetch(weight, w_base + np.int64(entry_at(perm, k + AHEAD)) * heads)
        source = x_base + np.int64(entry_at(others, k)) * features
        if weight.shape[0] == 0:
            add_scaled(target, base, x, source, one, features)
            continue
        w = w_base + np.int64(entry_at(perm, k)) * heads
        add_heads(target, base, x, source, weight, w, heads, width)


@kernel
def add_pieces(slots, pieces, out, features):
    """Finishes the rows that chunks cut: adds up their pieces in order."""
    row = -1
    for s in range(slots.shape[0]):
        if slots[s] < 0:
            continue
        # In order, whichever thread was first: sums do not depend on the schedule.
        if slots[s] != row:
            row = slots[s]
            out[row * features : (row + 1) * features] = 0
        for f in range(features):
            out[row * features + f] += pieces[s * features + f]


@kernel
def dot_edges(
    first,
    last,
    parts,
    rows,
    entries,
    indptr,
    others,
    perm,
    mine,
    other,
    num_other,
    heads,
    width,
    out,
):
    """``out[e, h] = <mine[r, h], other[o, h]>`` for the entries ``e`` of the rows ``r``."""
    mine, other, out = borrowed(mine), borrowed(other), borrowed(out)
    others, perm, indptr = borrowed(others), borrowed(perm), borrowed(indptr)
    features = heads * width
    num_rows = indptr.shape[0] - 1
    num_entries = np.int64(indptr[num_rows])
    for u in range(first, last):
        p, b = u % parts, u // parts
        start = entries[p]
        for r in range(rows[p], rows[p + 1] + 1):
            end = np.int64(row_end(r, p, rows, entries, indptr))
            own = (b * num_rows + r) * features
            for k in range(start, end):
                if k + AHEAD < others.shape[0]:
                    ahead = np.int64(others[k + AHEAD])
                    prefetch_row(other, (b * num_other + ahead) * features, features)
                    edge = np.int64(entry_at(perm, k + AHEAD))
                    prefetch_to_write(out, (b * num_entries + edge) * heads)
                far = (b * num_other + np.int64(others[k])) * features
                e = (b * num_entries + np.int64(entry_at(perm, k))) * heads
                dot_heads(out, e, mine, own, other, far, heads, width)
            start = end
