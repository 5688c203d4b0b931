# mypy: ignore-errors
"""Manhattan lengths of edges and the way back, without the differences of any two rows."""

from __future__ import annotations

import numpy as np

from graphkit.ops.cpu.kernels.compiling import kernel


@kernel
def edge_lengths(first, last, source, target, x, width, out):
    """``out[e] = |x[source[e]] - x[target[e]]|_1`` of the edges ``first`` to ``last``."""
    for e in range(first, last):
        i, j = source[e] * width, target[e] * width
        # In views of their own indices are never negative: only then are loops made of vectors.
        left, right = x[i : i + width], x[j : j + width]
        total = x.dtype.type(0)
        for c in range(width):
            total += abs(left[c] - right[c])
        out[e] = total


@kernel
def add_signs(first, last, indptr, others, perm, x, grad, width, out):
    """Adds to each row the signs of its differences to its neighbours, times their gradients."""
    one, zero = x.dtype.type(1), x.dtype.type(0)
    for r in range(first, last):
        own, sums = x[r * width : (r + 1) * width], out[r * width : (r + 1) * width]
        # A row belongs to one thread, which walks its edges in order: no sum hangs on the schedule.
        for k in range(indptr[r], indptr[r + 1]):
            far = np.int64(others[k]) * width
            other = x[far : far + width]
            step = grad[perm[k] if perm.shape[0] > 0 else k]
            for c in range(width):
                difference = own[c] - other[c]
                sign = (one if difference > zero else zero) - (one if difference < zero else zero)
                sums[c] += sign * step
