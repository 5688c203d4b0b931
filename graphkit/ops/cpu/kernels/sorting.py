# mypy: ignore-errors
"""Entries sorted by group, and the chunks that share the work."""

from __future__ import annotations

import numpy as np

from graphkit.ops.cpu.kernels.compiling import kernel


@kernel
def count_groups(values, indptr):
    """Fills ``indptr`` with group bounds; returns whether the values were sorted."""
    indptr[:] = 0
    is_sorted = True
    for k in range(values.shape[0]):
        indptr[values[k] + 1] += 1
        if k > 0 and values[k] < values[k - 1]:
            is_sorted = False
    for g in range(indptr.shape[0] - 1):
        indptr[g + 1] += indptr[g]
    return is_sorted


@kernel
def place(values, indptr, perm):
    """Fills ``perm`` with the entries group by group, in their given order."""
    # A counting sort: linear, and equal entries keep their order.
    start = indptr[:-1].copy()
    for k in range(values.shape[0]):
        group = values[k]
        perm[start[group]] = k
        start[group] += 1


@kernel
def cut(indptr, parts):
    """Cuts rows plus entries into equal shares: first row and first entry of each part."""
    num_rows = indptr.shape[0] - 1
    total = num_rows + np.int64(indptr[num_rows])
    rows = np.empty(parts + 1, np.int64)
    entries = np.empty(parts + 1, np.int64)
    for p in range(parts + 1):
        # Merge path: rows and entries count alike, so that a hub and many empty rows are shared,
        # too.
        diagonal = total * p // parts
        low, high = max(0, diagonal - np.int64(indptr[num_rows])), min(diagonal, num_rows)
        while low < high:
            middle = (low + high) // 2
            if np.int64(indptr[middle + 1]) + middle < diagonal:
                low = middle + 1
            else:
                high = middle
        rows[p] = low
        entries[p] = diagonal - low
    return rows, entries
