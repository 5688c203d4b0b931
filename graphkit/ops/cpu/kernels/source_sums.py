# mypy: ignore-errors
"""What sources get of what the walk over targets wrote down about each edge."""

from __future__ import annotations

import numpy as np

from graphkit.ops.cpu.kernels.blocks import BLOCK
from graphkit.ops.cpu.kernels.compiling import helper, kernel
from graphkit.ops.cpu.kernels.instructions import borrowed
from graphkit.ops.cpu.kernels.vector import add_entries, copy, prefetch_row
from graphkit.ops.cpu.kernels.walking import AHEAD, entry_at, row_end, slot_of


@kernel
def sum_terms(
    first, last, walk, terms, query, grad, num_far, heads, width, wide, out, more, pieces, others
):
    """``out[s] = sum of terms[e, 0] * query[t]`` and ``more[s] = sum of terms[e, 1] * grad[t]``
    over the edges ``e = (s -> t)``; ``terms [E, 2, H]`` lie where ``walk.perm`` says.
    """
    # Arguments outlive the call; counting references to them would cost most of the time.
    walk, terms, query, grad = borrowed(walk), borrowed(terms), borrowed(query), borrowed(grad)
    out, more, pieces, others = borrowed(out), borrowed(more), borrowed(pieces), borrowed(others)
    features, wides = heads * width, heads * wide
    num_rows = walk.indptr.shape[0] - 1
    num_entries = np.int64(walk.indptr[num_rows])
    buffers = np.empty((2, BLOCK * heads), out.dtype)
    left, right = borrowed(buffers)
    for u in range(first, last):
        p, b = u % walk.parts, u // walk.parts
        start, far = walk.entries[p], b * num_far
        for r in range(walk.rows[p], walk.rows[p + 1] + 1):
            end = np.int64(row_end(r, p, walk.rows, walk.entries, walk.indptr))
            slot = slot_of(r, u, p, start, walk.rows, walk.indptr)
            if slot >= 0 and start == end:
                continue
            row = b * num_rows + r
            target, base, second, at = out, row * features, more, row * wides
            if slot >= 0:
                walk.slots[slot] = row
                target, base, second, at = pieces, slot * features, others, slot * wides
            target[base : base + features] = 0
            second[at : at + wides] = 0
            for k in range(start, end, BLOCK):
                size = min(BLOCK, end - k)
                for i in range(size):
                    _look_ahead(walk, terms, query, grad, k + i, far, b, heads, features, wides)
                    term = _term(walk, b * num_entries, k + i, heads)
                    copy(left, i * heads, terms, term, heads)
                    copy(right, i * heads, terms, term + heads, heads)
                x, y = far * features, far * wides
                add_entries(target, base, query, x, walk.others, k, size, left, 0, heads, width)
                add_entries(second, at, grad, y, walk.others, k, size, right, 0, heads, wide)
            start = end
    # Buffers are freed after their last mention, which borrowers are not.
    buffers[:] = 0


@helper
def _term(walk, base, k, heads):
    """Where the two rows of the entry at position ``k`` begin."""
    return (base + np.int64(entry_at(walk.perm, k))) * 2 * heads


@helper
def _look_ahead(walk, terms, query, grad, k, far, b, heads, features, wides):
    """Asks for what a later entry will read."""
    later = min(np.int64(walk.others.shape[0]) - 1, k + AHEAD)
    node = far + np.int64(walk.others[later])
    prefetch_row(query, node * features, features)
    prefetch_row(grad, node * wides, wides)
    num_entries = np.int64(walk.others.shape[0])
    prefetch_row(terms, _term(walk, b * num_entries, later, heads), 2 * heads)
