# mypy: ignore-errors
"""How a chunk of rows is walked, and how rows that chunks cut are finished.

Every row kernel has the same loop: the unit ``u`` is chunk ``u % parts`` of batch element
``u // parts``; it visits rows ``rows[p]`` to ``rows[p + 1]``, the first and the last perhaps in
part. Pieces of such rows go to slot ``2 u`` (a row that began earlier) or ``2 u + 1`` (a row
that ends later); slots of one row are neighbours, in order.
"""

from __future__ import annotations

from graphkit.ops.cpu.kernels.compiling import helper

AHEAD = 12


@helper
def row_end(r, p, rows, entries, indptr):
    """Where the part of row ``r`` that belongs to chunk ``p`` ends."""
    return entries[p + 1] if r == rows[p + 1] else indptr[r + 1]


@helper
def slot_of(r, u, p, start, rows, indptr):
    """The slot for a piece of a row, or -1 if the chunk has all of the row."""
    if r == rows[p + 1]:
        return 2 * u + 1
    return 2 * u if start != indptr[r] else -1


@helper
def entry_at(perm, k):
    """The ``k``-th entry in sorted order; an empty ``perm`` means that order is the given one."""
    return perm[k] if perm.shape[0] > 0 else k
