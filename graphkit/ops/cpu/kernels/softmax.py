# mypy: ignore-errors
"""Statistics of groups: largest entry and sum of exponentials, and what is made of them."""

from __future__ import annotations

import numpy as np

from graphkit.ops.cpu.kernels.blocks import BLOCK, take_in
from graphkit.ops.cpu.kernels.compiling import helper, kernel
from graphkit.ops.cpu.kernels.exponential import exp, exp_range
from graphkit.ops.cpu.kernels.vector import add_scaled, copy, divide, multiply, prefetch_row
from graphkit.ops.cpu.kernels.walking import AHEAD, entry_at, row_end, slot_of


@kernel
def peak_rows(
    first, last, parts, rows, entries, indptr, perm, x, width, out, arg, slots, pieces, piece_arg
):
    """The largest entry of each group and its first position; NaN wins."""
    num_rows = indptr.shape[0] - 1
    num_entries = np.int64(indptr[num_rows])
    for u in range(first, last):
        p, b = u % parts, u // parts
        start = entries[p]
        for r in range(rows[p], rows[p + 1] + 1):
            end = np.int64(row_end(r, p, rows, entries, indptr))
            slot = slot_of(r, u, p, start, rows, indptr)
            if slot >= 0 and start == end:
                continue
            value, position, base = out, arg, (b * num_rows + r) * width
            if slot >= 0:
                slots[slot] = b * num_rows + r
                value, position, base = pieces, piece_arg, slot * width
            for c in range(width):
                # Empty groups give 0, as segment_reduce says.
                value[base + c] = -np.inf if start < end else 0
                position[base + c] = num_entries
            for k in range(start, end):
                e = np.int64(entry_at(perm, k))
                source = (b * num_entries + e) * width
                if k + AHEAD < num_entries:
                    ahead = np.int64(entry_at(perm, k + AHEAD))
                    prefetch_row(x, (b * num_entries + ahead) * width, width)
                for c in range(width):
                    _challenge(value, position, base + c, x[source + c], e, num_entries)
            start = end


@helper
def _challenge(value, position, i, candidate, e, nobody):
    """Keeps the larger of two, the earlier of equal ones, and NaN once met."""
    current = value[i]
    # No comparison with NaN is true, so it is asked for by name, once.
    better = candidate > current or (np.isnan(candidate) and not np.isnan(current))
    if better or position[i] == nobody:
        value[i] = candidate
        position[i] = e


@kernel
def peak_pieces(slots, pieces, piece_arg, out, arg, width, nobody):
    """Finishes the rows that chunks cut."""
    row = -1
    for s in range(slots.shape[0]):
        if slots[s] < 0:
            continue
        for c in range(width):
            base = slots[s] * width + c
            if slots[s] != row:
                out[base] = pieces[s * width + c]
                arg[base] = piece_arg[s * width + c]
            else:
                _challenge(out, arg, base, pieces[s * width + c], piece_arg[s * width + c], nobody)
        row = slots[s]


@kernel
def exponent_rows(
    first, last, parts, rows, entries, indptr, perm, x, width, peak, total, slots, pieces
):
    """The largest entry of each group (0 if infinite) and the sum of exponentials below it."""
    num_rows = indptr.shape[0] - 1
    num_entries = np.int64(indptr[num_rows])
    top, shift, low, decay = np.empty((4, width), x.dtype)
    block = np.empty(BLOCK * width, x.dtype)
    for u in range(first, last):
        p, b = u % parts, u // parts
        start = entries[p]
        for r in range(rows[p], rows[p + 1] + 1):
            end = np.int64(row_end(r, p, rows, entries, indptr))
            slot = slot_of(r, u, p, start, rows, indptr)
            if slot >= 0 and start == end:
                continue
            # Gathered into a block first: exponentials of neighbours in memory are vector code.
            low[:], top[:], shift[:] = 0, -np.inf, 0
            for k in range(start, end, BLOCK):
                size = min(BLOCK, end - k)
                for i in range(size):
                    if k + i + AHEAD < num_entries:
                        ahead = b * num_entries + np.int64(entry_at(perm, k + i + AHEAD))
                        prefetch_row(x, ahead * width, width)
                    source = b * num_entries + np.int64(entry_at(perm, k + i))
                    copy(block, i * width, x, source * width, width)
                take_in(block, size, top, shift, low, decay, width)
            if slot >= 0:
                # Two chunks share this row: its peak is known only when both are done.
                slots[slot] = b * num_rows + r
                for c in range(width):
                    pieces[0, slot * width + c] = shift[c]
                    pieces[1, slot * width + c] = low[c]
            else:
                copy(peak, (b * num_rows + r) * width, shift, 0, width)
                copy(total, (b * num_rows + r) * width, low, 0, width)
            start = end


@kernel
def exponent_pieces(slots, pieces, peak, total, width):
    """Finishes the rows that chunks cut: moves their sums below a common peak."""
    row = -1
    for s in range(slots.shape[0]):
        if slots[s] < 0:
            continue
        for c in range(width):
            base, piece = slots[s] * width + c, s * width + c
            # The first piece of a row is taken as it is; later ones are brought below a common
            # peak.
            if slots[s] != row:
                peak[base], total[base] = pieces[0, piece], pieces[1, piece]
            elif pieces[1, piece] != 0:
                top = max(peak[base], pieces[0, piece]) if total[base] != 0 else pieces[0, piece]
                old = total[base] * exp(peak[base] - top) if total[base] != 0 else total[base]
                total[base] = old + pieces[1, piece] * exp(pieces[0, piece] - top)
                peak[base] = top
        row = slots[s]


@kernel
def normalise(first, last, groups, num_entries, num_rows, x, width, peak, total, out):
    """``out[e] = exp(x[e] - peak[g]) / total[g]``."""
    minus = x.dtype.type(-1)
    start = first
    while start < last:
        # A block ends with its element of the batch, so that one division serves all entries.
        b = start // num_entries
        size = min(BLOCK, last - start, (b + 1) * num_entries - start)
        entry = start - b * num_entries
        copy(out, start * width, x, start * width, size * width)
        for i in range(size):
            base = b * num_rows + np.int64(groups[entry + i])
            add_scaled(out, (start + i) * width, peak, base * width, minus, width)
        exp_range(out, start * width, (start + size) * width)
        for i in range(size):
            base = b * num_rows + np.int64(groups[entry + i])
            divide(out, (start + i) * width, total, base * width, width)
        start += size


@kernel
def centre(first, last, groups, num_entries, num_rows, alpha, width, grad, total, out):
    """``out[e] = alpha[e] * (grad[e] - total[g])``."""
    minus = alpha.dtype.type(-1)
    # One division for the range: one per entry would take longer than the sum.
    b, entry = first // num_entries, first % num_entries
    for i in range(first, last):
        if entry == num_entries:
            b, entry = b + 1, 0
        base = b * num_rows + np.int64(groups[entry])
        copy(out, i * width, grad, i * width, width)
        add_scaled(out, i * width, total, base * width, minus, width)
        multiply(out, i * width, alpha, i * width, width)
        entry += 1
