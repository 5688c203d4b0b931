# mypy: ignore-errors
"""Scores of nodes at both ends of their edges: a dot product per head with two vectors."""

from graphkit.ops.cpu.kernels.compiling import kernel
from graphkit.ops.cpu.kernels.narrow_ends import narrow_ends_back
from graphkit.ops.cpu.kernels.vector import add_heads, add_rows, dot_heads


@kernel
def score_ends(first, last, x, att_src, att_dst, heads, width, score_src, score_dst):
    """Fills ``score[n, h] = <x[n, h], att[h]>`` of rows ``first`` to ``last`` for both ends."""
    for row in range(first, last):
        # Both products while the row is in the cache: a second pass would fetch it again.
        feature, score = row * heads * width, row * heads
        dot_heads(score_src, score, x, feature, att_src, 0, heads, width)
        dot_heads(score_dst, score, x, feature, att_dst, 0, heads, width)


@kernel
def score_ends_back(
    first,
    last,
    chunk,
    num_rows,
    x,
    att_src,
    att_dst,
    grad_src,
    grad_dst,
    heads,
    width,
    grad_x,
    grad,
    tables,
):
    """Adds to ``grad_x``, and sums the vectors' gradients over each chunk of rows; with ``grad``
    also the rows of that.

    Tables ``[chunks, 2 or 3, H, C]`` are as many for any number of threads, so sums are the same,
    too.
    """
    features = heads * width
    summed = 3 if grad.shape[0] > 0 else 2
    for u in range(first, last):
        table = summed * u * features
        # A chunk has a table of its own: threads never add to the same place.
        tables[table : table + summed * features] = 0
        start, end = u * chunk, min((u + 1) * chunk, num_rows)
        if summed == 3:
            place, size = table + 2 * features, end - start
            add_rows(tables, place, grad, start * features, features, size, features)
        ends = (att_src, att_dst, grad_src, grad_dst)
        if narrow_ends_back(x, start, end, *ends, grad_x, tables, table, heads, width):
            continue
        for row in range(start, end):
            feature, score = row * features, row * heads
            add_heads(grad_x, feature, att_src, 0, grad_src, score, heads, width)
            add_heads(grad_x, feature, att_dst, 0, grad_dst, score, heads, width)
            add_heads(tables, table, x, feature, grad_src, score, heads, width)
            add_heads(tables, table + features, x, feature, grad_dst, score, heads, width)
